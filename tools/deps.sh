#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/deps.sh build|test|fuzz|browser|demo|bench|plots|micro|guest|image|test-image|deb|test-deb|k8s: installs the Debian or Ubuntu packages that step needs and lacks, and says which. Packages only: no
# apt source, pin, sysctl or service is touched. With everything there it takes a fraction of a second.
set -eu

build="gcc libc6-dev make meson ninja-build pkg-config clang llvm libbpf-dev libseccomp-dev libelf-dev zlib1g-dev libssl-dev libnghttp2-dev libuv1-dev \
libyaml-dev libjansson-dev libpcre2-dev libc-ares-dev libcmocka-dev curl ca-certificates python3"
test="libclang-rt-dev groff-base python3-pytest python3-h2 python3-websockets python3-grpcio python3-httpx python3-hypothesis python3-yaml iproute2 util-linux openssl tcpdump nghttp2-client nghttp2-server wrk dwarves procps \
netcat-openbsd libasan-dev"
fuzz="libclang-rt-dev"
demo="iproute2 util-linux openssl tcpdump curl procps python3"
bench="wrk nghttp2-client nghttp2-server openssl python3"
plots="python3-matplotlib"
micro="valgrind"
browser="chromium"
image="buildah binutils tar"
test_image="podman containerd runc git"
k8s="containerd runc containernetworking-plugins nftables iproute2 util-linux openssl procps tcpdump python3-pytest python3-yaml gcc libc6-dev"
deb="debhelper dpkg-dev"
test_deb="mmdebstrap systemd systemd-container lintian util-linux git"
guest="qemu-system-x86 busybox-static kmod"

present() { dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'; }

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "tools/deps.sh: this is no Debian or Ubuntu; install by hand: $build $test" >&2
    exit 0
fi

# Names that differ between releases.
resolve() {
    case "$1" in
    bpftool) if [ -n "$(apt-cache policy bpftool 2>/dev/null | grep Candidate | grep -v none)" ]; then echo bpftool; else
        echo linux-tools-common linux-tools-generic; fi ;;
    libclang-rt-dev) clang_major=$(clang --version 2>/dev/null | sed -n 's/.*clang version \([0-9]*\).*/\1/p')
        echo "libclang-rt-${clang_major:-14}-dev" ;;
    libasan-dev) echo "libasan8" ;;
    *) echo "$1" ;;
    esac
}

have_bpftool() { [ -x /usr/sbin/bpftool ] || ls /usr/lib/linux-tools/*/bpftool >/dev/null 2>&1; }

case "${1:-}" in
build) want="$build" ;;
test) want="$test" ;;
fuzz) want="$fuzz" ;;
demo) want="$demo" ;;
bench) want="$bench" ;;
plots) want="$plots" ;;
micro) want="$micro" ;;
browser) want="$browser" ;;
guest) want="$guest" ;;
image) want="$image" ;;
test-image) want="$test_image" ;;
deb) want="$deb" ;;
test-deb) want="$test_deb" ;;
k8s) want="$k8s" ;;
*) echo "usage: tools/deps.sh build|test|fuzz|browser|demo|bench|plots|micro|guest|image|test-image|deb|test-deb|k8s" >&2; exit 2 ;;
esac

missing=""
for p in $want; do
    for q in $(resolve "$p"); do present "$q" || missing="$missing $q"; done
done
if [ "$1" = build ] && ! have_bpftool; then missing="$missing bpftool"; fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=""; elif command -v sudo >/dev/null 2>&1; then as_root=sudo; else
    echo "tools/deps.sh: missing packages and neither root nor sudo:$missing" >&2
    exit 1
fi
echo "installing packages ($1):$missing"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
names=""
for p in $missing; do names="$names $(resolve "$p")"; done
# A package that brings a service must not start it: none in these lists does, and this makes sure.
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $names >/dev/null

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unpacks llhttp 9.2.1 (headers and static library) under build/third/llhttp, unless pkg-config finds 9.2 or newer.
# It comes from Debian's archive (suite trixie), whatever the host distribution, is verified against a pinned SHA-256
# and touches nothing outside the build tree.
set -eu
cd "$(dirname "$0")/.."

if pkg-config --atleast-version=9.2 libllhttp 2>/dev/null; then exit 0; fi
dest=build/third/llhttp
if [ -f "$dest/lib/libllhttp.a" ]; then exit 0; fi

version='9.2.1~7.3.0+dfsg1+~cs24.12.11-1'
arch=$(dpkg --print-architecture)
case "$arch" in
amd64) sha=c018069b22f5d53ac630bdc360d6c8bc7df78626cfb22276cbfb280aa64ac4b6 ;;
arm64) sha=7415055a32bf90e71b63782876792a7ac10c0163b14625d2e735ed151d970361 ;;
*) echo "tools/llhttp.sh: no pinned llhttp for architecture $arch; install libllhttp-dev >= 9.2" >&2; exit 1 ;;
esac

mirror=${WEIR_DEBIAN_MIRROR:-http://deb.debian.org/debian}
deb=libllhttp-dev_${version}_${arch}.deb
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "llhttp: downloading $deb"
curl -fsSL --retry 3 --max-time 120 -o "$work/llhttp.deb" "$mirror/pool/main/n/node-undici/$deb"
echo "$sha  $work/llhttp.deb" | sha256sum -c --quiet - || {
    echo "tools/llhttp.sh: $deb does not have the pinned SHA-256; refusing to use it" >&2; exit 1; }
dpkg-deb -x "$work/llhttp.deb" "$work/root"
mkdir -p "$dest/include" "$dest/lib"
cp "$work/root/usr/include/llhttp.h" "$dest/include/"
cp "$(find "$work/root/usr/lib" -name libllhttp.a | head -n 1)" "$dest/lib/libllhttp.a"
echo "llhttp: unpacked under $dest"

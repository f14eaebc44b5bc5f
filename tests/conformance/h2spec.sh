#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/conformance/h2spec.sh BUILD: h2spec (145 cases of RFC 7540 and 7541) against `weir proxy`, with TLS and ALPN and on a plain port. Needs Go, which
# builds h2spec once below BUILD/third. On the plain port one case cannot pass: what opens with neither HTTP/2's preface nor TLS is read as HTTP/1
# there, and answered with 400 before the connection ends.
set -euo pipefail

build=$(realpath "$1")
version=v2.2.1+incompatible
expected_plain=1
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT

command -v go >/dev/null || { echo "test-conformance: needs go (golang-go)" >&2; exit 2; }
export GOBIN=$build/third/h2spec
[[ -x $GOBIN/h2spec ]] || go install "github.com/summerwind/h2spec/cmd/h2spec@$version"

free_port() { PYTHONPATH=tests/support /usr/bin/python3 -c 'import ports; print(ports.free_port(), ports.free_port(), ports.free_port())'; }
read -r site plain tls < <(free_port)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key" -out "$work/crt" -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>"$work/log" || { cat "$work/log"; exit 1; }
mkdir "$work/www"
head -c 4096 /dev/zero >"$work/www/index.html"
/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$work/www" --protocol HTTP/1.1 "$site" >"$work/site.log" 2>&1 &
pids+=($!)
"$build/weir" proxy --listen "127.0.0.1:$plain" --to "http://127.0.0.1:$site" 2>"$work/plain.log" &
pids+=($!)
"$build/weir" proxy --listen "127.0.0.1:$tls" --cert "$work/crt" --key "$work/key" --to "http://127.0.0.1:$site" 2>"$work/tls.log" &
pids+=($!)
for url in "http://127.0.0.1:$plain/" "https://127.0.0.1:$tls/"; do
    curl -ksSf --retry 50 --retry-delay 0 --retry-all-errors --retry-max-time 20 -o /dev/null "$url" 2>"$work/log" || { cat "$work/log"; exit 1; }
done

# against NAME ALLOWED ARGUMENT...
failed=0
against() {
    local name=$1 allowed=$2 count
    shift 2
    "$GOBIN/h2spec" -h 127.0.0.1 --timeout 5 "$@" >"$work/$name" 2>&1 || true
    count=$(sed -n 's/^[0-9]* tests, .* \([0-9]*\) failed.*/\1/p' "$work/$name")
    echo "h2spec, $name: $(tail -1 "$work/$name")"
    if [[ -z $count || $count -gt $allowed ]]; then
        sed -n '/^Failures/,$p' "$work/$name"
        failed=1
    fi
}
against tls 0 -p "$tls" -t -k
against plain "$expected_plain" -p "$plain"
exit $failed

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/conformance/grpc.sh BUILD: gRPC's own interoperability cases, client and server of grpc-go, through two `weir proxy` with mutual TLS between them.
# Needs Go, which builds both once below BUILD/third.
set -euo pipefail

build=$(realpath "$1")
version=v1.85.0
cases="empty_unary large_unary client_streaming server_streaming ping_pong empty_stream timeout_on_sleeping_server cancel_after_begin
    cancel_after_first_response status_code_and_message special_status_message custom_metadata unimplemented_method unimplemented_service rpc_soak channel_soak"
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT

command -v go >/dev/null || { echo "test-conformance: needs go (golang-go)" >&2; exit 2; }
export GOBIN=$build/third/grpc-$version
for program in client server; do
    [[ -x $GOBIN/$program ]] || go install "google.golang.org/grpc/interop/$program@$version"
done

read -r server near far < <(PYTHONPATH=tests/support /usr/bin/python3 -c 'import ports; print(ports.free_port(), ports.free_port(), ports.free_port())')
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
cd "$work"
{
    openssl req -x509 "${new_key[@]}" -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
    for name in near far; do
        openssl req "${new_key[@]}" -keyout $name.key -out $name.csr -subj /CN=$name
        openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile <(echo "subjectAltName=DNS:$name.test") -out $name.crt
    done
} 2>log || { cat log; exit 1; }
"$GOBIN/server" -port "$server" 2>server.log &
pids+=($!)
"$build/weir" proxy --listen "127.0.0.1:$far" --to "h2c://127.0.0.1:$server" --cert far.crt --key far.key --client-ca ca.crt 2>far.log &
pids+=($!)
"$build/weir" proxy --listen "127.0.0.1:$near" --to "https://127.0.0.1:$far" --to-ca ca.crt --to-cert near.crt --to-key near.key --to-sni far.test 2>near.log &
pids+=($!)
for port in "$server" "$far" "$near"; do
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
        sleep 0.1
    done
done

passed=0
failed=0
for case in $cases; do
    if timeout 60 "$GOBIN/client" -server_host 127.0.0.1 -server_port "$near" -test_case "$case" -soak_iterations 100 >"$case.log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$case failed:"
        tail -5 "$case.log"
    fi
done
echo "gRPC interoperability: $passed passed, $failed failed"
exit $((failed > 0))

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/k8s/build.sh: what go.mod pins, built into build/k8s/bin, once for each content of go.mod, go.sum and the test file. Prints why it
# cannot. Ten minutes on 2 cores with a cold Go cache, seconds with a warm one.
set -eu
cd "$(dirname "$0")"
bin=$PWD/../../build/k8s/bin

if ! command -v go >/dev/null 2>&1; then
    echo "tests/k8s: Kubernetes is built from source and needs Go 1.26 or later: https://go.dev/dl" >&2
    exit 1
fi
want=$(cat go.mod go.sum conformance_test.go build.sh | sha256sum)
[ "$(cat "$bin/.built" 2>/dev/null)" != "$want" ] || exit 0

echo "building Kubernetes, etcd and the conformance suite into build/k8s (ten minutes the first time)" >&2
mkdir -p "$bin"
rm -f "$bin/.built"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
stamp="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
export CGO_ENABLED=0
build() { go build -trimpath -ldflags "-s -w $stamp" -o "$@"; }
# shellcheck disable=SC2046
build "$bin/" $(go list tool | grep '^k8s.io/')
build "$bin/etcd" go.etcd.io/etcd/server/v3
mkdir -p "$bin/echo"
# shellcheck disable=SC2046
build "$bin/echo/" $(go list tool | grep '/echo/cmd/')
go test -c -trimpath -ldflags "-s -w" -o "$bin/conformance.test" .
cc -static -Os -o "$bin/pause" "$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c"
cp -r --no-preserve=mode "$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd/standard" "$bin/crds.new"
rm -rf "$bin/crds"
mv "$bin/crds.new" "$bin/crds"
echo "$want" >"$bin/.built"

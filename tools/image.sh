#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/image.sh [NAME]: build/image/weir.tar, an OCI archive that holds the static binary, its licences and nothing else. The same sources,
# compiler and libraries give the same digest: no time, path or build id is in it. Needs neither a daemon nor a registry.
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n "s/^ *version: '\(.*\)',.*/\1/p" meson.build | head -1)
name=${1:-weir:$version}
dir=build/image
out=$dir/weir.tar

mkdir -p $dir/root/licenses
strip -s -R .note.gnu.build-id -R .comment -o $dir/root/weir build/static/weir
chmod 0755 $dir/root/weir $dir/root/licenses
cp LICENSE LICENSES/* $dir/root/licenses/
chmod 0644 $dir/root/licenses/*

store="$PWD/$dir/store"
# Its own storage, so that nothing of the user's is read or left behind. vfs needs no mount.
b() { buildah --root "$store" --runroot "$store/run" --storage-driver vfs "$@"; }
trap 'b rm --all >/dev/null 2>&1 || :; rm -rf "$store"' EXIT INT TERM

c=$(b from scratch)
b copy --quiet "$c" $dir/root / >/dev/null
b config --user 65532:65532 --entrypoint '["/weir"]' --cmd '' --workingdir / \
    --label org.opencontainers.image.title=weir --label "org.opencontainers.image.version=$version" \
    --label org.opencontainers.image.licenses=Apache-2.0 "$c"
rm -f $out
b commit --quiet --timestamp 0 --format oci --disable-compression=false "$c" "oci-archive:$out:$name" >/dev/null
digest=$(tar -xOf $out index.json | sed -n 's/.*"digest":"\(sha256:[0-9a-f]*\)".*/\1/p')
echo "$out: $name $digest $(stat -c %s $out) bytes"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/deb.sh [REVISION]: build/deb/weir_VERSION-REVISION_ARCH.deb by debhelper, from deploy/debian, with meson.build's version. The same
# sources, compiler and packages give the same bytes: times are the commit's, no path of the build is in it.
set -eu
cd "$(dirname "$0")/.."

revision=${1:-1}
version=$(sed -n "s/^ *version: '\(.*\)',.*/\1/p" meson.build | head -1)
out=build/deb
tree=$out/tree
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
export SOURCE_DATE_EPOCH TOP="$PWD" OBJ="$PWD/$out/obj" LC_ALL=C TZ=UTC

map="-ffile-prefix-map=$PWD=. -ffile-prefix-map=../../..=."
[ -f $out/obj/build.ninja ] || meson setup $out/obj --prefix=/usr -Dtests=false -Dc_args="$map" >/dev/null
ninja -C $out/obj weir

rm -rf $tree $out/*.deb
mkdir -p $tree/debian
cp deploy/debian/* $tree/debian/
cp deploy/systemd/weir-agent.service $tree/debian/weir.weir-agent.service
cat >$tree/debian/changelog <<END
weir ($version-$revision) unstable; urgency=medium

  * See /usr/share/doc/weir/changelog.gz.

 -- The weir authors <weir@weir.dev>  $(date -R -d "@$SOURCE_DATE_EPOCH")
END
chmod 755 $tree/debian/rules
(cd $tree && dpkg-buildpackage -b -d -us -uc --no-check-builddeps >../package.log 2>&1) || { tail -40 $out/package.log; exit 1; }
sha256sum $out/weir_*.deb

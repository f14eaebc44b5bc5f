#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/static.sh [quick]: build/static/weir, the program to ship: one file without a shared library, as one unit of compilation, and compiled a
# second time with what the compiler has counted in the micro benchmarks of the request path (docs/adr/0031-profile.md). These are one thread
# each over memory, without clock or network: the same sources, compiler and libraries give the same program. `quick` leaves all that out.
set -eu
cd "$(dirname "$0")/.."
dir=build/static
mode=${1:-trained}
made=$dir/made.$mode
sources="meson.build meson_options.txt proxy include bpf bench/micro tests/flow tests/support tools/static.sh tools/static.ld"

if [ -e $made ] && [ -e $dir/weir ] && [ -z "$(find $sources -newer $made -print -quit)" ]; then exit 0; fi

quietly() { "$@" >build/static.log 2>&1 || { cat build/static.log >&2; exit 1; }; }
setup() {
    if [ -f $dir/build.ninja ]; then quietly meson configure $dir "$@"; else quietly meson setup $dir "$@"; fi
}
train() { program=$1; shift; quietly "$dir/bench/bench_$program" "$@"; }

rm -f $dir/made.*
if [ "$mode" = quick ]; then
    setup -Db_lto=false -Db_pgo=off -Dstatic_pie=true -Dtests=false
else
    setup -Db_lto=true -Db_pgo=generate -Dstatic_pie=false -Dtests=true
    find $dir -name '*.gcda' -delete
    quietly ninja -C $dir bench/bench_exchange bench/bench_h1_codec bench/bench_h2_exchange bench/bench_pieces
    for case in $($dir/bench/bench_exchange --list); do train exchange "$case" 3000; done
    for grpc in 0 1; do
        for depth in 1 16; do train h2_exchange 3000 $depth $grpc; done
    done
    train h1_codec 3000
    train pieces balancer 3000
    setup -Db_pgo=use -Dstatic_pie=true -Dtests=false
fi
quietly ninja -C $dir weir
touch $made

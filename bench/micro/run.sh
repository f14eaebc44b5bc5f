#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/micro/run.sh [CASE...]: instructions per request of the whole core over memory streams, counted by callgrind: the same figure in
# every run on one machine and compiler, so a change of a few instructions shows. PROFILE=1 also prints the dearest functions. The case
# `routes` compares a request among 10 routes with one among 10,000, ends with 1 when that costs more than a twentieth, and times a reload.
set -eu

cd "$(dirname "$0")/../.."
if ! command -v valgrind >/dev/null 2>&1; then
    echo "bench/micro: valgrind is not installed: tools/deps.sh micro" >&2
    exit 2
fi
ninja -C build bench/bench_exchange >/dev/null
out=build/bench/micro
mkdir -p "$out"
few=500
many=2500
[ $# -gt 0 ] || set -- $(build/bench/bench_exchange --list | grep -v ^routes-) routes

routes() {
    small=$(sed -n 's/^routes-10  *\([0-9]*\) .*/\1/p' "$out/routes.txt")
    large=$(sed -n 's/^routes-10000  *\([0-9]*\) .*/\1/p' "$out/routes.txt")
    for n in 10 1000 10000; do build/bench/bench_exchange --reload $n; done
    awk -v small="$small" -v large="$large" 'BEGIN {
        printf "10,000 routes cost a request %.3f times what 10 do\n", large / small; exit large > small * 1.05 }'
}

measure() {
    # The difference of two lengths leaves start-up and end out.
    for n in $few $many; do
        valgrind --tool=callgrind --callgrind-out-file="$out/$1.$n" --log-file="$out/log" --trace-children=no \
            build/bench/bench_exchange "$1" "$n" || { cat "$out/log" >&2; exit 1; }
    done
    python3 bench/micro/split.py "$1" "$out/$1.$few" $few "$out/$1.$many" $many ${PROFILE:+--functions}
}

for case in "$@"; do
    if [ "$case" = routes ]; then
        for one in routes-10 routes-1000 routes-10000; do measure $one; done | tee "$out/routes.txt"
        routes
    else
        measure "$case"
    fi
done

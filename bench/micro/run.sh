#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/micro/run.sh [CASE...]: instructions per request of the whole core over memory streams, counted by callgrind: the same figure in
# every run on one machine and compiler, so a change of a few instructions shows. PROFILE=1 also prints the dearest functions.
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
[ $# -gt 0 ] || set -- $(build/bench/bench_exchange --list)

for case in "$@"; do
    # The difference of two lengths leaves start-up and end out.
    for n in $few $many; do
        valgrind --tool=callgrind --callgrind-out-file="$out/$case.$n" --log-file="$out/log" --trace-children=no \
            build/bench/bench_exchange "$case" "$n" || { cat "$out/log" >&2; exit 1; }
    done
    python3 bench/micro/split.py "$case" "$out/$case.$few" $few "$out/$case.$many" $many ${PROFILE:+--functions}
done

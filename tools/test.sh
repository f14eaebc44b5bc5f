#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/test.sh [lint|unit|san|bpf|e2e]...: builds and runs the tests; all of them when none is named.
#   lint   who includes whom, purity, layouts, sizes, licences
#   unit   unit and flow tests, optimised build
#   san    the same under AddressSanitizer and UndefinedBehaviorSanitizer; a leak fails
#   bpf    the kernel half over real namespaces and cgroups (root)
#   e2e    the binary over real sockets and pods (partly root)
# Skipped tests are listed with their reasons; the last line is "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/.."

python=/usr/bin/python3
results=build/test-results
parts=${*:-lint unit san bpf e2e}
broken=0
export PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS=detect_leaks=1:halt_on_error=1:abort_on_error=1
export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1

for part in $parts; do
    case $part in
    lint | unit | san | bpf | e2e) ;;
    *) echo "usage: tools/test.sh [lint|unit|san|bpf|e2e]..." >&2; exit 2 ;;
    esac
done
rm -rf "$results"
mkdir -p "$results"

wanted() { [[ " $parts " == *" $1 "* ]]; }
began=$SECONDS
title() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - began)); }

# broke NAME: a step that gave no results of its own is one failed test of that name.
broke() { touch "$results/$1.broken"; broken=1; }

# build DIRECTORY OPTIONS...
build() {
    local dir=$1
    shift
    if [[ ! -f $dir/build.ninja ]]; then
        meson setup "$dir" "$@" >"$results/setup.log" 2>&1 || { cat "$results/setup.log"; return 1; }
    fi
    ninja -C "$dir" >"$results/ninja.log" 2>&1 || { tail -40 "$results/ninja.log"; return 1; }
}

# suites NAME DIRECTORY SUITE...: meson's own results, kept under our name.
suites() {
    local name=$1 dir=$2
    shift 2
    local args=()
    for s in "$@"; do args+=(--suite "$s"); done
    rm -f "$dir/meson-logs/testlog.json"
    meson test -C "$dir" --no-rebuild --print-errorlogs "${args[@]}" >"$results/$name.log" 2>&1 ||
        sed -n '/FAIL\|TIMEOUT\|――/,$p' "$results/$name.log"
    cp "$dir/meson-logs/testlog.json" "$results/$name.json" 2>/dev/null || broke "$name"
}

# py NAME PATH...: pytest; 1 is a failed test, which the summary counts, 5 is no test at all.
py() {
    local name=$1
    shift
    "$python" -m pytest -q -p no:cacheprovider --junitxml="$results/$name.xml" "$@" ||
        { local r=$?; [[ $r == 1 || $r == 5 ]] || broke "$name"; }
    [[ -f $results/$name.xml ]] || broke "$name"
}

if wanted lint || wanted unit || wanted bpf || wanted e2e; then
    title "building"
    build build || broke build
fi
if wanted lint; then
    title "lints"
    suites lint build lint
fi
if wanted unit; then
    title "unit and flow tests"
    suites unit build unit flow
fi
if wanted san; then
    title "building with sanitizers"
    # -O1: a third less to compile, and more exact traces.
    if build build/san -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false; then
        title "unit and flow tests with sanitizers"
        suites san build/san unit flow
    else
        broke build-san
    fi
fi
if wanted bpf; then
    title "the kernel half"
    # Most of their time agents and helpers wait, and so do the tests over real sockets: side by side.
    WEIR_BIN=$PWD/build/weir py node tests/node >"$results/node.out" 2>&1 &
    node=$!
    WEIR_KERN_DRIVER=$PWD/build/tests/bpf/weir-kern-driver py bpf tests/bpf
fi
if wanted e2e; then
    title "end to end"
    py e2e tests/e2e
fi
if [[ -n ${node:-} ]]; then
    wait "$node"
    title "agent and helper"
    cat "$results/node.out"
fi
title "summary"
"$python" tools/test_summary.py "$results" || broken=1
exit $broken

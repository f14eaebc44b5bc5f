#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the libFuzzer targets of tests/fuzz with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and runs each from its committed
corpus. What it learns goes to build/fuzz/corpus/TARGET, what it finds to build/fuzz/findings; the exit code says whether it found anything."""

import argparse
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "fuzz")
CORPUS = os.path.join(ROOT, "tests", "fuzz", "corpus")
OPTIONS = ["-Dfuzz=true", "-Dtests=false", "-Dkernel=false", "-Db_sanitize=address,undefined", "-Db_lundef=false",
           "-Dc_args=-fsanitize=fuzzer-no-link"]
HALT = "halt_on_error=1:abort_on_error=1:print_stacktrace=1"


def targets():
    return sorted(os.listdir(CORPUS))


def build():
    """Exits when it fails, with the end of the log."""
    steps = [["ninja", "-C", BUILD, "-k", "0"]]
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        steps.insert(0, ["meson", "setup", BUILD, *OPTIONS])
    for step in steps:
        done = subprocess.run(step, cwd=ROOT, env={**os.environ, "CC": "clang"}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(step)} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")


def fuzz(target, seconds):
    """Runs one target; True when it found nothing."""
    learned, findings = os.path.join(BUILD, "corpus", target), os.path.join(BUILD, "findings")
    os.makedirs(learned, exist_ok=True)
    os.makedirs(findings, exist_ok=True)
    before = set(os.listdir(findings))
    done = subprocess.run(
        [os.path.join(BUILD, "tests", "fuzz", f"fuzz_{target}"), f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=10",
         "-rss_limit_mb=2048", f"-artifact_prefix={findings}/{target}-", learned, os.path.join(CORPUS, target)],
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1:" + HALT, "UBSAN_OPTIONS": HALT}, capture_output=True, text=True,
        errors="replace", check=False)
    found = sorted(set(os.listdir(findings)) - before)
    stats = dict(re.findall(r"^stat::(\w+):\s+(\d+)$", done.stderr, re.MULTILINE))
    print(f"{target:12} {stats.get('number_of_executed_units', '?'):>9} executions  {stats.get('new_units_added', '?'):>5} new inputs  "
          f"{len(found)} findings  (exit {done.returncode})", flush=True)
    for name in found:
        print(f"  {os.path.join(findings, name)}")
    if done.returncode != 0:
        print(re.sub(r"^", "  ", done.stderr[-6000:], flags=re.MULTILINE))
    return done.returncode == 0 and not found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="per target (default 60)")
    parser.add_argument("target", nargs="*", help=f"any of {' '.join(targets())} (default all)")
    args = parser.parse_args()
    unknown = set(args.target) - set(targets())
    if unknown:
        parser.error(f"no such target: {' '.join(sorted(unknown))}; there are {' '.join(targets())}")
    build()
    results = [fuzz(target, args.seconds) for target in args.target or targets()]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

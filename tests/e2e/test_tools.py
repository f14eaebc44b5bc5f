# SPDX-License-Identifier: Apache-2.0
"""The summary that `make test` ends with, and the verdict of `make soak`: what they add up, and that they fail when they must."""

import json
import os
import random
import subprocess
import sys

import pods

sys.path.append(os.path.join(pods.ROOT, "tests", "soak"))
import soak  # noqa: E402

SUMMARY = os.path.join(pods.ROOT, "tools", "test_summary.py")


def summary(directory):
    done = subprocess.run([sys.executable, "-B", SUMMARY, directory], capture_output=True, text=True,
                          timeout=30)
    return done.returncode, done.stdout.splitlines()


def meson(directory, name, *tests):
    (directory / f"{name}.json").write_text("".join(json.dumps(
        {"name": f"unit / {n}", "result": result, "stdout": out}) + "\n" for n, result, out in tests))


def test_cmocka_cases_are_counted_one_by_one(tmp_path):
    meson(tmp_path, "unit", ("a", "OK", "[  PASSED  ] 7 test(s).\n"), ("b", "OK", "no cases\n"))
    assert summary(tmp_path) == (0, ["8 passed, 0 failed, 0 skipped"])


def test_failed_cases_crashes_and_leaks_fail(tmp_path):
    meson(tmp_path, "unit", ("a", "FAIL", "[  PASSED  ] 5 test(s).\n[  FAILED  ] 2 test(s), listed below:\n"),
          ("leaks", "FAIL", "[  PASSED  ] 3 test(s).\n"), ("late", "TIMEOUT", ""))
    code, lines = summary(tmp_path)
    assert code == 1 and lines[-1] == "8 passed, 4 failed, 0 skipped"
    assert "FAILED unit: leaks (FAIL)" in lines


def test_skipped_tests_are_listed_with_their_reason(tmp_path):
    (tmp_path / "e2e.xml").write_text(
        '<testsuites><testsuite><testcase classname="x" name="a"/><testcase classname="x" name="b">'
        '<skipped message="needs root"/></testcase><testcase classname="x" name="c"><skipped message="needs root"/>'
        '</testcase></testsuite></testsuites>')
    assert summary(tmp_path) == (0, ["skipped 2: needs root", "1 passed, 0 failed, 2 skipped"])


def test_a_step_without_results_and_no_test_at_all_fail(tmp_path):
    assert summary(tmp_path)[0] == 1
    meson(tmp_path, "unit", ("a", "OK", ""))
    (tmp_path / "san.broken").write_text("")
    assert summary(tmp_path) == (1, ["FAILED san (no results)", "1 passed, 1 failed, 0 skipped"])


def series(rss, fds):
    noise = random.Random(1)
    return [(t, {"edge": (int(rss(t)) + noise.randrange(1 << 20), fds(t) + noise.randrange(20))}) for t in range(0, 600, 2)]


def test_a_soak_that_only_warms_up_is_flat():
    assert not soak.growth(series(lambda t: (20 << 20) + min(t, 100) * 50_000, lambda t: 60))


def test_a_soak_that_leaks_is_not():
    leaking = soak.growth(series(lambda t: (20 << 20) + t * 12_000, lambda t: 60))
    assert len(leaking) == 1 and leaking[0].startswith("edge: memory rose by 5")
    assert soak.growth(series(lambda t: 20 << 20, lambda t: 60 + t // 20))[0].startswith("edge: descriptors rose")
    assert "too short" in soak.growth(series(lambda t: 1, lambda t: 1)[:10])[0]

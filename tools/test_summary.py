#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up what meson (testlog.json, one object per line) and pytest (JUnit XML) wrote into a directory. A cmocka
program counts as many tests as it ran. A file NAME.broken is one failed test: a step without results.

usage: test_summary.py DIRECTORY
"""

import json
import os
import re
import sys
import xml.etree.ElementTree

CASES = re.compile(r"^\[\s*(PASSED|FAILED|SKIPPED)\s*\] (\d+) test\(s\)", re.MULTILINE)


class Sum:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def meson(self, name, path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                self.program(name, json.loads(line))

    def program(self, name, test):
        output = test.get("stdout", "") + "\n" + test.get("stderr", "")
        cases = {}
        for word, n in CASES.findall(output):
            cases[word] = cases.get(word, 0) + int(n)
        title = f"{name}: {test['name'].split(' / ', 1)[-1]}"
        result = test["result"]
        if result == "SKIP":
            self.skipped.append((title, output.strip().splitlines()[-1] if output.strip() else "no reason"))
            return
        self.passed += cases.get("PASSED", 0 if cases or result != "OK" else 1)
        self.skipped += [(title, "skipped by itself")] * cases.get("SKIPPED", 0)
        failed = cases.get("FAILED", 0)
        # A program can fail without a failed case: a leak, a crash, a time-out.
        if result not in ("OK", "EXPECTEDFAIL") and failed == 0:
            failed = 1
        self.failed += [f"{title} ({result})"] * failed

    def junit(self, name, path):
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            title = f"{name}: {case.get('classname')}.{case.get('name')}"
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(title)
            elif skipped is not None:
                self.skipped.append((title, skipped.get("message") or "no reason"))
            else:
                self.passed += 1


def main():
    directory = sys.argv[1]
    total = Sum()
    for file in sorted(os.listdir(directory)):
        name, kind = os.path.splitext(file)
        path = os.path.join(directory, file)
        if kind == ".json":
            total.meson(name, path)
        elif kind == ".xml":
            total.junit(name, path)
        elif kind == ".broken":
            total.failed.append(f"{name} (no results)")
    reasons = {}
    for _, reason in total.skipped:
        reasons[reason] = reasons.get(reason, 0) + 1
    for reason, n in sorted(reasons.items()):
        print(f"skipped {n}: {reason}")
    for title in total.failed:
        print(f"FAILED {title}")
    print(f"{total.passed} passed, {len(total.failed)} failed, {len(total.skipped)} skipped")
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

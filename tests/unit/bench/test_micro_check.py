#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What bench/micro/check.py makes of counts; nothing is counted."""
import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, 'bench', 'micro'))

import check  # noqa: E402


class Judged(unittest.TestCase):
    def test_more_than_two_percent_is_too_much(self):
        lines, grown = check.judged({'a': 1030.0, 'b': 1019.0, 'c': 900.0}, {'a': 1000.0, 'b': 1000.0, 'c': 1000.0})
        self.assertEqual(grown, ['a'])
        self.assertIn('+3.00%', lines[0])
        self.assertIn('worth recording', lines[2])

    def test_without_a_record_nothing_is_judged(self):
        for recorded in (None, {}, {'b': 1.0}):
            lines, grown = check.judged({'a': 1030.0}, recorded)
            self.assertEqual(grown, [])
            self.assertIn('not recorded', lines[0])


class Baseline(unittest.TestCase):
    def test_what_is_written_is_read_back(self):
        whole = {'gcc 12': {'h1 codec': 100.5, 'router': 7.0}, 'clang 14': {'router': 8.0}}
        self.assertEqual(check.read(check.written(whole)), whole)

    def test_the_one_of_the_repository_names_every_case(self):
        with open(check.BASELINE, encoding='utf-8') as f:
            baselines = check.read(f.read())
        self.assertTrue(baselines)
        for key, cases in baselines.items():
            self.assertEqual(set(cases), set(check.CASES), key)
            self.assertTrue(all(n > 0 for n in cases.values()))


if __name__ == '__main__':
    unittest.main()

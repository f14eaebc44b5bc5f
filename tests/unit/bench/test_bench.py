#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks compute from a run: medians, ratios, targets, tables, plots' lines; and what they take as a fault. Nothing is started."""
import os
import sys
import types
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, 'bench'))

import cases  # noqa: E402
import contenders  # noqa: E402
import load  # noqa: E402
import report  # noqa: E402
import rounds  # noqa: E402
import table  # noqa: E402
import targets  # noqa: E402
from harness import Failed  # noqa: E402

cases.load_all()

FIGURES = (cases.Figure('cpu_us', 'CPU', '.1f'), cases.Figure('rps', 'req/s', ',.0f', more_is_better=True))


def case(name, group=None):
    return cases.Case(name, group=group or name, what='', figures=FIGURES, run=None)


def samples(*cpu, rps=100):
    return [{'cpu_us': c, 'rps': rps} for c in cpu]


def results(**rows_of_case):
    return table.Results([case(n.replace('_', '-')) for n in rows_of_case], {n.replace('_', '-'): r for n, r in rows_of_case.items()})


class Statistics(unittest.TestCase):
    def test_a_ratio_is_taken_round_by_round(self):
        # The second round was slow for both: the ratio of the medians would be 8/15.
        r = results(x={'floor': samples(10, 30, 15), 'weir': samples(5, 15, 12)})
        self.assertAlmostEqual(r.ratio('x', 'weir', 'floor'), 0.5)

    def test_the_best_peer_is_neither_floor_nor_weir_nor_any_other_program(self):
        r = results(x={'floor': samples(1), 'none': samples(0), 'ztunnel': samples(2), 'nginx': samples(5), 'haproxy': samples(4),
                       'weir': samples(3)})
        self.assertEqual(r.best('x'), 'haproxy')
        self.assertAlmostEqual(r.to_best('x'), 0.75)

    def test_more_is_better_where_a_figure_says_so(self):
        r = results(x={'nginx': samples(5, rps=7), 'haproxy': samples(4, rps=6)})
        self.assertEqual(r.best('x', 'rps'), 'nginx')

    def test_between_cases_medians_are_compared(self):
        r = results(a={'weir': samples(1, 2, 9)}, b={'nginx': samples(4, 4, 5)})
        self.assertAlmostEqual(r.across(('a', 'weir'), ('b', 'nginx')), 0.5)

    def test_what_was_not_measured_is_none(self):
        r = results(x={'weir': samples(1)})
        for value in (r.best('x'), r.best('y'), r.to_best('x'), r.ratio('x', 'weir', 'floor'), r.get('y', 'weir'),
                      r.across(('x', 'weir'), ('y', None))):
            self.assertIsNone(value)

    def test_spread(self):
        self.assertAlmostEqual(table.spread(samples(9, 10, 12), 'cpu_us'), 0.3)
        self.assertIsNone(table.spread(samples(0, 0), 'cpu_us'))


class Tables(unittest.TestCase):
    def test_markdown_names_the_best_and_weir(self):
        text = table.markdown(results(x={'floor': samples(2), 'nginx': samples(4), 'weir': samples(3)}))
        self.assertIn('| x | nginx \\* | 4.0 | 0% | 2.00 | 1.00 | 100 |', text)
        self.assertIn('| x | **weir** | 3.0 | 0% | 1.50 | 0.75 | 100 |', text)

    def test_cases_with_other_figures_have_a_table_of_their_own(self):
        other = cases.Case('y', group='y', what='', figures=(cases.Figure('kib', 'KiB'),), run=None)
        r = table.Results([case('x'), other, case('z')], {'x': {'weir': samples(1)}, 'y': {'weir': [{'kib': 7}]}, 'z': {'weir': samples(2)}})
        self.assertEqual([[c.name for c in members] for _, members in table.groups(r.cases)], [['x', 'z'], ['y']])
        self.assertIn('KiB', table.text(r))

    def test_json_keeps_every_sample(self):
        import json
        r = results(x={'weir': samples(1.23456789, 2)})
        bench = types.SimpleNamespace(faults=['f'], notes=[])
        kept = json.loads(report.as_json({'date': 'd'}, r, bench, []))
        self.assertEqual(kept['samples']['x']['weir'], [{'cpu_us': 1.2346, 'rps': 100}, {'cpu_us': 2, 'rps': 100}])
        self.assertEqual(kept['faults'], ['f'])


class Targets(unittest.TestCase):
    def judged(self, limit, value, at_least=False):
        t = cases.Target('n', 'what', limit, lambda _: value, at_least=at_least)
        return targets.judge([t], None)

    def test_at_most_and_at_least(self):
        self.assertTrue(self.judged(0.8, 0.8)[0]['reached'])
        self.assertFalse(self.judged(0.8, 0.8001)[0]['reached'])
        self.assertTrue(self.judged(1.4, 1.5, at_least=True)[0]['reached'])
        self.assertFalse(self.judged(1.4, 1.3, at_least=True)[0]['reached'])

    def test_what_a_run_did_not_measure_is_neither(self):
        judged = self.judged(1, None)
        self.assertIsNone(judged[0]['reached'])
        self.assertEqual(targets.markdown(judged, {}), '')
        self.assertEqual(targets.summary(judged), '0 of 0 reached, 1 not measured in this run')

    def test_what_was_tried_stands_beside_what_was_missed_alone(self):
        reasons = targets.tried('# x\n## What was tried\n| a | b |\n|---|---|\n| `n` | this and that |\n## y\n| `m` | no |\n')
        self.assertEqual(reasons, {'n': 'this and that'})
        self.assertIn('| n | what: at most 1 | 2.000 | **missed** | this and that |', targets.markdown(self.judged(1, 2), reasons))
        self.assertIn('| n | what: at most 1 | 0.500 | reached |  |', targets.markdown(self.judged(1, 0.5), reasons))

    def test_the_readme_tells_of_targets_that_exist(self):
        with open(os.path.join(ROOT, 'bench', 'README.md'), encoding='utf-8') as f:
            self.assertLessEqual(set(targets.tried(f.read())), {t.name for t in cases.TARGETS})

    def test_every_target_bears_a_run_without_its_case(self):
        empty = table.Results([], {})
        for t in cases.TARGETS:
            self.assertIsNone(t.measured(empty), t.name)

    def test_the_figures_of_the_http_cases(self):
        r = results(h1_c32={'floor': samples(10), 'none': samples(0, rps=50), 'nginx': samples(20), 'envoy': samples(60), 'weir': samples(11)},
                    h1_joined={'floor': samples(8), 'weir': samples(9, rps=80)}, pair_c32={'haproxy': samples(40), 'envoy': samples(100)},
                    pair_joined={'weir': samples(20)}, tls_full={'nginx': samples(500), 'envoy': samples(400), 'weir': samples(500)})
        found = {t.name: t.measured(r) for t in cases.TARGETS}
        for name, value in (('h1-c32/floor', 1.1), ('h1-c32/best', 0.55), ('h1-joined/best', 0.45), ('h1-joined/floor', 1.125),
                            ('h1-joined/none', 1.6), ('pair-joined/best', 0.5), ('pair-joined/envoy', 0.2), ('tls-full/best', 1.0)):
            self.assertAlmostEqual(found[name], value, msg=name)


class Registry(unittest.TestCase):
    def test_names_and_groups(self):
        self.assertEqual([c.name for c in cases.wanted(['h1'], False)], ['h1-c32', 'h1-c1', 'h1-c256'])
        self.assertEqual([c.name for c in cases.wanted(['h1-c1'], False)], ['h1-c1'])
        with self.assertRaisesRegex(ValueError, 'no case is called h3'):
            cases.wanted(['h3'], False)

    def test_quick_is_part_of_it(self):
        quick, everything = cases.wanted(None, True), cases.wanted(None, False)
        self.assertTrue(quick)
        self.assertLess(len(quick), len(everything))

    def test_a_name_is_taken_once(self):
        with self.assertRaises(ValueError):
            cases.register(cases.CASES[0])
        with self.assertRaises(ValueError):
            cases.reach(cases.TARGETS[0])


class Rounds(unittest.TestCase):
    def bench(self):
        return rounds.Bench(types.SimpleNamespace(rounds=2, seconds=1, quick=True, weir=''), None, [], {})

    def test_rows_are_measured_in_turn_and_stopped(self):
        order = []

        def start(name):
            return lambda: rounds.Row(measure=lambda: order.append(name) or {'x': len(order)}, stop=lambda: order.append('-' + name))

        got = self.bench().alternate('c', {'a': start('a'), 'b': start('b'), 'no part': lambda: None})
        self.assertEqual(order, ['a', 'b', 'a', 'b', '-a', '-b'])
        self.assertEqual(got, {'a': [{'x': 1}, {'x': 3}], 'b': [{'x': 2}, {'x': 4}]})

    def test_a_fault_leaves_the_row_out_and_is_told(self):
        stopped = []

        def wrong():
            raise Failed('wrong answer')

        bench = self.bench()
        sys.stderr = open(os.devnull, 'w', encoding='ascii')
        try:
            got = bench.alternate('c', {'a': lambda: rounds.Row(wrong, lambda: stopped.append('a')), 'b': lambda: rounds.Row(lambda: {'x': 1}),
                                        'c': wrong})
        finally:
            sys.stderr.close()
            sys.stderr = sys.__stderr__
        self.assertEqual(got, {'b': [{'x': 1}, {'x': 1}]})
        self.assertEqual((stopped, bench.faults), (['a'], ['c: c: wrong answer', 'c: a: wrong answer']))


H2LOAD = '''finished in 501.20ms, 2000.00 req/s, 1.00MB/s
requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, %d failed, 0 errored, 0 timeout
status codes: %d 2xx, 0 3xx, %d 4xx, 0 5xx
traffic: 50.00KB (50000) total, 1.00KB (1000) headers (space savings 90.00%%), 13.00KB (13000) data
                     min         max         mean         sd        +/- sd
time for request:      100us     20.00ms       1.50ms       200us    90.00%%
'''
WRK = 'x\nRESULT {"requests":10,"us":1000000,"bytes":130,"connect":0,"read":%d,"write":0,"status":0,"timeout":0,"p50":1,"p90":2,"p99":3,"max":4}\n'


class Generators(unittest.TestCase):
    def test_h2load_is_understood(self):
        got = load._h2load(H2LOAD % (0, 1000, 0))
        self.assertEqual((got['requests'], got['bytes'], got['latency']), (1000, 50000, {'max_us': 20000.0, 'mean_us': 1500.0}))
        self.assertAlmostEqual(got['seconds'], 0.5012)

    def test_any_status_or_error_is_a_fault(self):
        for text in (H2LOAD % (0, 999, 1), H2LOAD % (1, 999, 0), 'nothing'):
            with self.assertRaises(Failed):
                load._h2load(text)
        self.assertEqual(load._result(WRK % 0)['requests'], 10)
        for text in (WRK % 1, 'nothing'):
            with self.assertRaises(Failed):
                load._result(text)


class Contenders(unittest.TestCase):
    def able(self, contender, **way):
        return bool(contender.able(contenders.Way('x', 1, **way)))

    def test_each_takes_part_in_what_it_can(self):
        place = types.SimpleNamespace()
        h2o, nginx = contenders.H2o(place, '/h2o'), contenders.Nginx(place, '/nginx')
        one, two = contenders.Command(place, 'a=p {listen} {target}'), contenders.Command(place, 'b=p {listen} {target}', pair=True)
        floor, none = contenders.Relay(place, '/relay'), contenders.Nobody(place)
        for contender, can in ((h2o, (1, 0, 0, 1)), (nginx, (1, 1, 1, 1)), (one, (1, 0, 0, 0)), (two, (0, 1, 0, 0)), (floor, (1, 1, 1, 0)),
                               (none, (1, 0, 1, 0))):
            got = (self.able(contender), self.able(contender, pair=True), self.able(contender, down='h2', up='h2'), self.able(contender, tls=True))
            self.assertEqual(got, tuple(bool(c) for c in can), contender.name)

    def test_a_command_without_its_ports_is_refused(self):
        with self.assertRaisesRegex(Failed, 'listen'):
            contenders.Command(types.SimpleNamespace(), 'a=p {target}')


class Configuration(unittest.TestCase):
    TEXT = 'a\n  @tls b $x\n@!tls c\n@tls,h2 d\n@!tls,!h2 e $$f\n"@type": g\n'

    def test_lines_go_by_flags(self):
        self.assertEqual(contenders.filled_in(self.TEXT, {'tls'}, {'x': 1}), 'a\n  b 1\n"@type": g\n')
        self.assertEqual(contenders.filled_in(self.TEXT, {'tls', 'h2'}, {'x': 1}), 'a\n  b 1\nd\n"@type": g\n')
        self.assertEqual(contenders.filled_in(self.TEXT, (), {'x': 1}), 'a\nc\ne $f\n"@type": g\n')

    def test_every_peer_configuration_fills_in_for_every_way(self):
        values = {'dir': '/d', 'certs': '/c', 'listen': 1, 'target': 2, 'token': 't', 'kib': '', 'kib64': '', 'bytes': 3}
        folder = os.path.join(ROOT, 'bench', 'conf')
        ways = [set(a) | set(b) for a in ((), ('tls',), ('mutual',)) for b in ((), ('h2',), ('to-h2',), ('to-tls',), ('to-tls', 'to-h2', 'h2'))]
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding='utf-8') as f:
                text = f.read()
            for flags in ways:
                filled = contenders.filled_in(text, flags, values)
                self.assertNotRegex(filled, r'(?m)^ *@', f'{name} {flags}')


if __name__ == '__main__':
    unittest.main()

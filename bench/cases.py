# SPDX-License-Identifier: Apache-2.0
"""The registry. A file bench/cases_NAME.py adds to it by calling `register` (`reach` for its targets, `draw` for curves); bench/run.py reads all of them.

    from cases import Case, Figure, register

    def run(bench):                                # a rounds.Bench
        return {'no weir': [{'us': 11.2}, ...],    # row -> samples, one a round, rounds taken in turn
                'weir': [{'us': 11.9}, ...]}

    register(Case('l4-connect', group='l4', what='connect(), echo, close', figures=(Figure('us', 'connect us', '.1f'),), run=run,
                  needs=('root',), rows=('no weir', 'weir')))

Every figure of every sample is kept in the JSON; the first figure of a case is the one compared: its spread is shown, and its ratio to the
row called `floor` and to the best peer. What is lacking for a whole case is raised as Skipped (said, and listed in the table's footer);
what goes wrong is bench.fault(...), or Failed for the whole case: the run then ends with 1."""
import dataclasses
import importlib
import os
import shutil
import sys
from typing import Callable

from harness import Failed, Skipped

# Rows that count as peers: the best of them is what weir is compared with. Not any other program given with --also.
PEERS = ('nginx', 'haproxy', 'h2o', 'nghttpx', 'envoy')


@dataclasses.dataclass(frozen=True)
class Figure:
    key: str  # in each sample
    heading: str  # with its unit
    form: str = '.1f'  # as format() takes it
    more_is_better: bool = False


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    group: str  # the cases of one subject: `--only` takes either
    what: str  # one line, for --list
    figures: tuple  # of Figure; the first one is compared
    run: Callable  # rounds.Bench -> {row: [sample]}
    needs: tuple = ()  # `root`, or programs that must be in PATH
    rows: tuple = ()  # which rows to expect; empty: the contenders
    quick: bool = False  # part of `make bench QUICK=1`


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure to reach. `measured` is given a table.Results and returns a number, or None when the run did not measure it."""
    name: str  # in bench/README.md's list of what was tried
    what: str
    limit: float
    measured: Callable
    at_least: bool = False  # else at most
    form: str = '.3f'  # of what was measured


@dataclasses.dataclass(frozen=True)
class Curve:
    """A plot of lines, from what was measured at several sizes."""
    name: str  # of the file
    title: str
    x: str  # what the axes say
    y: str
    lines: Callable  # table.Results -> {label: [(x, y)]}


CASES = []
TARGETS = []
CURVES = []


def register(case):
    if any(c.name == case.name for c in CASES):
        raise ValueError(f'two cases are called {case.name}')
    CASES.append(case)


def reach(*targets):
    for t in targets:
        if any(u.name == t.name for u in TARGETS):
            raise ValueError(f'two targets are called {t.name}')
        TARGETS.append(t)


def draw(*curves):
    CURVES.extend(curves)


def load_all():
    """Reads every cases_*.py beside this file: the HTTP cases first, others by name."""
    here = os.path.dirname(os.path.abspath(__file__))
    if here not in sys.path:
        sys.path.insert(0, here)
    names = sorted(f[:-3] for f in os.listdir(here) if f.startswith('cases_') and f.endswith('.py'))
    for name in sorted(names, key=lambda n: n != 'cases_http'):
        importlib.import_module(name)


def wanted(only, quick):
    """The cases of that name or group; without any, all, or those of a quick run. ValueError names one that is not there."""
    for name in only or ():
        if not any(name in (c.name, c.group) for c in CASES):
            raise ValueError(f'no case is called {name}: {" ".join(c.name for c in CASES)}')
    if only:
        return [c for c in CASES if c.name in only or c.group in only]
    return [c for c in CASES if c.quick or not quick]


def check_needs(case):
    for need in case.needs:
        if need == 'root':
            if os.geteuid() != 0:
                raise Skipped('needs root')
        elif not shutil.which(need):
            raise Skipped(f'{need} is not installed: tools/deps.sh bench')


__all__ = ['CASES', 'CURVES', 'Case', 'Curve', 'Failed', 'Figure', 'PEERS', 'Skipped', 'TARGETS', 'Target', 'check_needs', 'draw', 'load_all',
           'reach', 'register', 'wanted']

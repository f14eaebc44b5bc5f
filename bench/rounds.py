# SPDX-License-Identifier: Apache-2.0
"""What a case is run with, and rounds: A B C, A B C, ... so that what slows the machine for a while slows all of them."""
import contextlib
import dataclasses
import os
import subprocess
import sys
from typing import Callable

from harness import Failed
from origins import Origin

FAULTS = (Failed, OSError, subprocess.SubprocessError)


def say(text):
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)


@dataclasses.dataclass
class Row:
    """One row of a case, ready to be measured."""
    measure: Callable  # () -> {figure: number}; Failed leaves the row out and fails the run
    stop: Callable = lambda: None


class Bench:
    def __init__(self, args, place, found, peers):
        self.args, self.place, self.found, self.peers = args, place, found, peers
        self.faults = []  # the run fails
        self.notes = []  # said below the table: what was left out, and why
        self._origins = {}

    @property
    def weir(self):
        return self.args.weir

    @property
    def rounds(self):
        return self.args.rounds

    @property
    def seconds(self):
        return self.args.seconds

    @property
    def quick(self):
        return self.args.quick

    def fault(self, case, text):
        self.faults.append(f'{case}: {text}')
        print(f'bench: {self.faults[-1]}', file=sys.stderr)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            print(f'bench: {text}', file=sys.stderr)

    def origin(self, kind='h1'):
        """The server behind the contenders (origins.Origin), on the core of the load, started once and stopped by `stop`."""
        if kind not in self._origins:
            self._origins[kind] = Origin(self.place, self.peers, kind)
        return self._origins[kind]

    @contextlib.contextmanager
    def own_origin(self, kind='h1'):
        """The same for one case alone: started where harness.inside says."""
        origin = Origin(self.place, self.peers, kind)
        try:
            yield origin
        finally:
            origin.stop()

    def alternate(self, case, starters, rounds=None):
        """starters: {row: () -> Row or None}, None when the row has no part in the case. Starts all of them, measures them in turn, stops
        them: {row: [sample]}. A row with a fault is left out, and the run fails in the end."""
        running, samples = {}, {}

        def drop(name, why):
            self.fault(case, f'{name}: {why}')
            if name in running:
                running.pop(name).stop()
            samples.pop(name, None)

        try:
            for name, start in starters.items():
                try:
                    row = start()
                    if row:
                        running[name], samples[name] = row, []
                except FAULTS as e:
                    drop(name, e)
            n_rounds = rounds or self.rounds
            for n in range(n_rounds):
                for name in list(running):
                    say(f'{case}: round {n + 1} of {n_rounds}, {name}')
                    try:
                        samples[name].append(running[name].measure())
                    except FAULTS as e:
                        drop(name, e)
        finally:
            for row in running.values():
                row.stop()
        return samples

    def scratch(self, name):
        return self.place.scratch(name)

    def path(self, *parts):
        """Below the folder of this run, which goes when it succeeds."""
        return os.path.join(self.place.folder, *parts)

    def stop(self):
        for origin in self._origins.values():
            origin.stop()
        self._origins.clear()

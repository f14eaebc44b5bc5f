# SPDX-License-Identifier: Apache-2.0
"""Requests at a fixed rate, each timed from the instant it was due (bench/clients/rate.c): what a caller waits when nothing is overloaded."""
import functools

from cases import Case, Figure, Target, reach, register
from cases_http import Work, run
from load import Load

FIGURES = (Figure('p99_us', 'p99 us', '.0f'), Figure('p50_us', 'p50 us', '.0f'), Figure('p90_us', 'p90 us', '.0f'),
           Figure('p999_us', 'p99.9 us', '.0f'), Figure('cpu_us', 'CPU us/req', '.1f'), Figure('user_us', 'user'), Figure('system_us', 'sys'),
           Figure('sleeps', 'sleeps/req', '.2f'), Figure('wakeup_us', 'told late us', '.0f'))
CONNECTIONS = 64  # as many as can be under way at once: more wait, and their time runs

for rate in (1000, 5000):
    for pair in (False, True):
        work = Work(f'rate-{"pair-" if pair else ""}{rate // 1000}k', Load('rate', '/small', CONNECTIONS, rate=rate), pair=pair)
        register(Case(work.name, group='rate', what=f'{rate:,} requests/s {"through a pair of sidecars" if pair else "through one proxy"}; latency '
                      'from when each was due', figures=FIGURES, run=functools.partial(run, work)))

for name in ('rate-pair-1k', 'rate-pair-5k'):
    reach(Target(f'{name}/envoy', f"`{name}`: p99 to Envoy's", 0.5, lambda r, name=name: r.ratio(name, 'weir', 'envoy')),
          Target(f'{name}/floor', f'`{name}`: p99 to two bare relays in a row', 1.25, lambda r, name=name: r.ratio(name, 'weir', 'floor')))

# SPDX-License-Identifier: Apache-2.0
"""Statistics and the table. A ratio is the median of the ratios of each round, so that what slows a whole round cancels out."""
from statistics import median


def _paired(samples, other, key):
    pairs = [(a[key], b[key]) for a, b in zip(samples, other)]
    return median(a / b for a, b in pairs) if pairs and all(b for _, b in pairs) else None


def summarise(rounds):
    """rounds: {contender: [sample]} of one case, in order of rounds -> {contender: {...}}. `best` is the peer, neither floor nor weir, with
    the least CPU per request."""
    out = {}
    for name, samples in rounds.items():
        if not samples:
            continue
        cpu = [s['cpu_us'] for s in samples]
        out[name] = {
            'cpu_us': median(cpu), 'cpu_us_min': min(cpu), 'cpu_us_max': max(cpu),
            'user_us': median(s['user_us'] for s in samples), 'system_us': median(s['system_us'] for s in samples),
            'rps': median(s['rps'] for s in samples),
            'latency_us': {k: median(s['latency_us'][k] for s in samples) for k in samples[0]['latency_us']},
            'samples': samples,
        }
    peers = [n for n in out if n not in ('floor', 'weir')]
    best = min(peers, key=lambda n: out[n]['cpu_us'], default=None)
    for name, row in out.items():
        for base, key in (('floor', 'to_floor'), (best, 'to_best')):
            if base in out and out[base]['samples']:
                row[f'cpu_{key}'] = _paired(rounds[name], rounds[base], 'cpu_us')
                row[f'rps_{key}'] = _paired(rounds[name], rounds[base], 'rps')
        row['best_peer'] = name == best
    return out


HEAD = ('case', 'proxy', 'CPU us/req', 'user+sys', 'spread', 'x floor', 'x best', 'req/s', 'x floor', 'x best', 'p50 us', 'p99 us')


def _number(value, form):
    return '' if value is None else format(value, form)


def rows(results):
    for case, summary in results.items():
        for name, r in summary.items():
            spread = (r['cpu_us_max'] - r['cpu_us_min']) / r['cpu_us'] * 100
            lat = r['latency_us']
            yield (case, name + (' *' if r['best_peer'] else ''), _number(r['cpu_us'], '.2f'),
                   f'{r["user_us"]:.1f}+{r["system_us"]:.1f}', f'{spread:.0f}%', _number(r.get('cpu_to_floor'), '.2f'),
                   _number(r.get('cpu_to_best'), '.2f'), _number(r['rps'], ',.0f'), _number(r.get('rps_to_floor'), '.2f'),
                   _number(r.get('rps_to_best'), '.2f'), _number(lat.get('p50', lat.get('mean')), '.0f'),
                   _number(lat.get('p99', lat.get('max')), '.0f'))


def _left(i):
    return i < 2


def text(results):
    """Aligned, for a terminal; an empty line between cases."""
    body = list(rows(results))
    widths = [max(len(r[i]) for r in [HEAD, *body]) for i in range(len(HEAD))]

    def line(cells):
        return '  '.join(c.ljust(w) if _left(i) else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))).rstrip()

    out, case = [line(HEAD), line(['-' * w for w in widths])], None
    for r in body:
        if case not in (None, r[0]):
            out.append('')
        out.append(line(r if r[0] != case else ('', *r[1:])))
        case = r[0]
    return '\n'.join(out)


def markdown(results):
    out = ['| ' + ' | '.join(HEAD) + ' |', '|' + '|'.join('---' if _left(i) else '---:' for i in range(len(HEAD))) + '|']
    for r in rows(results):
        name = f'**{r[1]}**' if r[1] == 'weir' else r[1].replace('*', '\\*')
        out.append('| ' + ' | '.join((r[0], name, *r[2:])) + ' |')
    return '\n'.join(out)

# SPDX-License-Identifier: Apache-2.0
"""The plots: bars of CPU per request, bars of latency, and the curves the cases ask for. Needs python3-matplotlib; without it there are none."""
import math
import os

import table

COLOURS = {'floor': '#9a9a9a', 'none': '#d0d0d0', 'weir': '#d1495b', 'nginx': '#2e7d4f', 'haproxy': '#3068a8', 'h2o': '#7d6bb0',
           'nghttpx': '#c98a2b', 'envoy': '#4a4a4a'}
OTHER = '#7fb6c4'
PERCENTILES = ('p50_us', 'p90_us', 'p99_us', 'p999_us')


def colour(row):
    return COLOURS.get(row, OTHER)


def _panels(plt, n, height):
    columns = min(4, n)
    lines = math.ceil(n / columns)
    figure, axes = plt.subplots(lines, columns, figsize=(4 * columns, height * lines), squeeze=False)
    flat = [a for line in axes for a in line]
    for axis in flat[n:]:
        axis.axis('off')
    return figure, flat


def cpu(plt, results, path):
    """One panel a case whose first figure is CPU; less is better."""
    cases = [c for c in results.cases if c.figures[0].key == 'cpu_us']
    if not cases:
        return False
    figure, axes = _panels(plt, len(cases), 2.6)
    for axis, case in zip(axes, cases):
        rows = [r for r in results.samples[case.name] if r != 'none']
        values = [results.get(case.name, r) for r in rows]
        lower, upper = zip(*((v - min(x), max(x) - v) for v, x in zip(
            values, ([s['cpu_us'] for s in results.samples[case.name][r]] for r in rows))))
        axis.barh(rows, values, xerr=(lower, upper), color=[colour(r) for r in rows], error_kw={'linewidth': 0.8, 'ecolor': '#333333'})
        axis.set_xlim(0, min(max(values), 4 * sorted(values)[len(values) // 2]) * 1.25)
        for i, v in enumerate(values):
            axis.text(min(v + upper[i], axis.get_xlim()[1] * 0.86), i, f' {v:.{0 if v >= 100 else 1}f}', va='center', fontsize=8)
        axis.invert_yaxis()
        axis.set_title(f'{case.name}: {case.figures[0].heading}', fontsize=9)
        axis.tick_params(labelsize=8)
    return _save(plt, figure, path)


def latency(plt, results, path):
    """One panel a case with percentiles, on a logarithmic axis."""
    cases = [c for c in results.cases if any(f.key == 'p99_us' for f in c.figures)]
    if not cases:
        return False
    figure, axes = _panels(plt, len(cases), 2.6)
    for axis, case in zip(axes, cases):
        rows = list(results.samples[case.name])
        for i, row in enumerate(rows):
            m = table.medians(results.samples[case.name][row])
            points = [m[p] for p in PERCENTILES if p in m]
            axis.plot(points, [i] * len(points), color=colour(row), linewidth=2)
            for p, mark in zip(points, 'o|D*'):
                axis.plot([p], [i], mark, color=colour(row), markersize=5)
        mark999 = ', p99.9 *' if any(f.key == 'p999_us' for f in case.figures) else ''
        axis.set_xscale('log')
        axis.xaxis.set_major_formatter('{x:g}')
        axis.xaxis.set_minor_formatter('')
        axis.set_yticks(range(len(rows)), rows)
        axis.invert_yaxis()
        axis.set_title(f'{case.name}: us at p50 \N{BULLET}, p90 |, p99 \N{BLACK DIAMOND}{mark999}', fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(axis='x', linewidth=0.3)
    return _save(plt, figure, path)


def curve(plt, results, wanted, path):
    lines = {k: v for k, v in wanted.lines(results).items() if len(v) > 1}
    if not lines:
        return False
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for label, points in lines.items():
        axis.plot(*zip(*points), marker='o', label=label, color=COLOURS.get(label), linewidth=2.2 if label == 'weir' else 1.4)
    axis.set_xscale('log')
    axis.xaxis.set_major_formatter('{x:g}')
    axis.set_ylim(bottom=0)
    axis.set_xlabel(wanted.x)
    axis.set_ylabel(wanted.y)
    axis.set_title(wanted.title)
    axis.grid(linewidth=0.3)
    axis.legend(fontsize=8)
    return _save(plt, figure, path)


def _save(plt, figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={'Software': None})
    plt.close(figure)
    return True


def write(results, curves, folder):
    """The names of the files written; ImportError without matplotlib."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    written = []
    for name, make in (('cpu', cpu), ('latency', latency)):
        if make(pyplot, results, os.path.join(folder, name + '.png')):
            written.append(name + '.png')
    for c in curves:
        if curve(pyplot, results, c, os.path.join(folder, c.name + '.png')):
            written.append(c.name + '.png')
    return written

# SPDX-License-Identifier: Apache-2.0
"""Statistics and the tables. A ratio within a case is the median of the ratios of each round, so that what slows a whole round cancels out;
a ratio between cases is that of the medians."""
from statistics import median

from cases import PEERS


def number(value, form):
    return '' if value is None else format(value, form)


def medians(samples):
    """{figure: median} of what every sample has."""
    keys = [k for k in samples[0] if all(k in s for s in samples)]
    return {k: median(s[k] for s in samples) for k in keys}


def spread(samples, key):
    """(max - min) / median, or None."""
    values = [s[key] for s in samples]
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else None


def paired(samples, other, key):
    """The median over the rounds of how much `samples` are of `other`."""
    pairs = [(a[key], b[key]) for a, b in zip(samples, other) if key in a and key in b]
    return median(a / b for a, b in pairs) if pairs and all(b for _, b in pairs) else None


class Results:
    """{case: {row: [sample]}} of the cases that were measured, to be asked."""

    def __init__(self, cases, samples):
        self.cases = [c for c in cases if samples.get(c.name)]
        self.samples = {name: {row: s for row, s in rows.items() if s} for name, rows in samples.items()}

    def get(self, case, row, key=None):
        """The median of a figure (the case's first), or None."""
        samples = self.samples.get(case, {}).get(row)
        key = key or self.compared(case)
        return median(s[key] for s in samples) if samples and all(key in s for s in samples) else None

    def compared(self, case):
        return next((c.figures[0].key for c in self.cases if c.name == case), None)

    def best(self, case, key=None, peers=PEERS):
        """The peer with the best median of the figure, or None."""
        found = {p: self.get(case, p, key) for p in peers}
        found = {p: v for p, v in found.items() if v}
        if not found:
            return None
        figures = next(c.figures for c in self.cases if c.name == case)
        more = next((f.more_is_better for f in figures if f.key == (key or figures[0].key)), False)
        return (max if more else min)(found, key=found.get)

    def ratio(self, case, row, other, key=None):
        """Of one row to another of the same case, round by round."""
        rows = self.samples.get(case, {})
        if row not in rows or other is None or other not in rows:
            return None
        return paired(rows[row], rows[other], key or self.compared(case))

    def to_best(self, case, row='weir', key=None):
        best = self.best(case, key)
        return self.ratio(case, row, best, key) if best else None

    def across(self, one, other, key=None):
        """Of (case, row) to (case, row), by their medians."""
        a, b = (self.get(case, row, key) for case, row in (one, other))
        return a / b if a is not None and b else None


def groups(cases):
    """Cases in their order, gathered where they show the same figures."""
    out = []
    for c in cases:
        for figures, members in out:
            if figures == c.figures:
                members.append(c)
                break
        else:
            out.append((c.figures, [c]))
    return out


def grid(results, figures, cases):
    """(heading, lines) of one table, cells as text."""
    first = figures[0]
    head = ['case', 'row', first.heading, 'spread', 'x floor', 'x best'] + [f.heading for f in figures[1:]]
    lines = []
    for c in cases:
        best = results.best(c.name)
        for row, samples in results.samples[c.name].items():
            m = medians(samples)
            wide = spread(samples, first.key) if first.key in m else None
            lines.append([c.name, row + (' *' if row == best else ''), number(m.get(first.key), first.form), number(wide, '.0%'),
                          number(results.ratio(c.name, row, 'floor'), '.2f'), number(results.to_best(c.name, row), '.2f'),
                          *(number(m.get(f.key), f.form) for f in figures[1:])])
    keep = [i for i in range(len(head)) if i < 4 or any(line[i] for line in lines)]
    return [head[i] for i in keep], [[line[i] for i in keep] for line in lines]


def text(results):
    """Aligned, for a terminal; an empty line between cases."""
    out = []
    for figures, cases in groups(results.cases):
        head, body = grid(results, figures, cases)
        out += aligned(head, body) + ['']
    return '\n'.join(out)


def aligned(head, body, by_case=True):
    """by_case: the first column is told once, and an empty line parts the cases."""
    widths = [max(len(r[i]) for r in [head, *body]) for i in range(len(head))]

    def line(cells):
        return '  '.join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))).rstrip()

    out, case = [line(head), line(['-' * w for w in widths])], None
    for r in body:
        if by_case and case not in (None, r[0]):
            out.append('')
        out.append(line(r if r[0] != case or not by_case else ['', *r[1:]]))
        case = r[0]
    return out


def markdown_table(head, body, left=(0, 1)):
    out = ['| ' + ' | '.join(head) + ' |', '|' + '|'.join('---' if i in left else '---:' for i in range(len(head))) + '|']
    for r in body:
        out.append('| ' + ' | '.join(c.replace('|', '\\|').replace('*', '\\*') for c in r) + ' |')
    return '\n'.join(out)


def markdown(results):
    out = []
    for figures, cases in groups(results.cases):
        head, body = grid(results, figures, cases)
        out.append('\n'.join(f'* `{c.name}`: {c.what}' for c in cases) + '\n\n' + markdown_table(head, body).replace('| weir |', '| **weir** |'))
    return '\n\n'.join(out)

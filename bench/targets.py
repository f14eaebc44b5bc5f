# SPDX-License-Identifier: Apache-2.0
"""The figures to reach, computed from a run. What was tried where one is missed is told in bench/README.md, in rows `| name | what |` below the
heading `What was tried`."""
import re

import table
from table import number

HEAD = ['target', 'to reach', 'measured', 'result', 'what was tried']


def judge(targets, results):
    """One dict a target: name, what, limit, measured (None: not in this run), reached (None likewise)."""
    out = []
    for t in targets:
        value = t.measured(results)
        reached = None if value is None else (value >= t.limit if t.at_least else value <= t.limit)
        out.append({'name': t.name, 'what': t.what, 'limit': t.limit, 'at_least': t.at_least, 'form': t.form, 'measured': value,
                    'reached': reached})
    return out


def tried(readme):
    """{target: text} of the README's table."""
    found = re.search(r'^## What was tried$(.*?)(?=^## |\Z)', readme, re.M | re.S)
    rows = re.findall(r'^\| *`([^`]+)` *\| *(.*?) *\|$', found.group(1), re.M) if found else []
    return dict(rows)


def lines(judged, reasons):
    for t in judged:
        if t['reached'] is None:
            continue
        yield [t['name'], f'{t["what"]}: {"at least" if t["at_least"] else "at most"} {t["limit"]:g}',
               number(t['measured'], t['form']), 'reached' if t['reached'] else 'missed', '' if t['reached'] else reasons.get(t['name'], '')]


def summary(judged):
    measured = [t for t in judged if t['reached'] is not None]
    return f'{sum(t["reached"] for t in measured)} of {len(measured)} reached' + (
        f', {len(judged) - len(measured)} not measured in this run' if len(measured) < len(judged) else '')


def text(judged):
    body = [line[:4] for line in lines(judged, {})]
    return '\n'.join(table.aligned(HEAD[:4], body, by_case=False)) if body else ''


def markdown(judged, reasons):
    body = list(lines(judged, reasons))
    return table.markdown_table(HEAD, body, left=(0, 1, 3, 4)).replace('| missed |', '| **missed** |') if body else ''

# SPDX-License-Identifier: Apache-2.0
"""No program comes near what the verifier gives up at, on this kernel, and none grows unseen."""
import pathlib
import re

import complexity
import pytest

from world import Driver


@pytest.fixture(scope="module")
def figures():
    driver = Driver()
    yield complexity.measured(driver)
    driver.kill()


@pytest.mark.guest
def test_every_program_keeps_within_its_budget(figures):
    _, table = complexity.read()
    print(complexity.kernel(), *(f"{name}={n}" for name, n in sorted(figures.items())))
    assert len(figures) >= 14 and all(figures.values())
    assert not {n for n in figures if n not in table}, "run tests/bpf/complexity.py"
    above = {name: (n, table[name]["budget"]) for name, n in figures.items() if n > table[name]["budget"]}
    assert not above, "above budget (taken, budget)"


def marked():
    """Programs that the tests of the quick run on another kernel say they run."""
    here = pathlib.Path(__file__).parent
    for path in (*here.glob("test_*.py"), *(here.parent / "node").glob("test_*.py")):
        for words in re.findall(r"^@pytest\.mark\.guest\((.*)\)$", path.read_text(), re.M):
            yield from re.findall(r'"(\w+)"', words)


@pytest.mark.guest
def test_every_program_runs_in_a_test_that_is_marked_for_the_guest(figures):
    _, table = complexity.read()
    assert set(marked()) == set(table) >= set(figures)


@pytest.mark.guest
def test_the_table_is_whole_and_its_budgets_are_sane():
    kernels, table = complexity.read()
    assert kernels == sorted(kernels, key=lambda k: [int(n) for n in k.split(".")]) and "6.1" in kernels
    for name, row in table.items():
        seen = [row[k] for k in kernels if row[k]]
        assert seen and max(seen) <= row["budget"] <= complexity.LIMIT // 2, name

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The table of verifier complexity: complexity.py [BUILD] writes this kernel's column of complexity.tsv anew.

One row a program: its budget, then the instructions the verifier of each kernel went through. A program or kernel that is
not in it is added; a budget that is there is left alone: raising one is a decision, made by hand."""
import os
import sys

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "complexity.tsv")
LIMIT = 1000000  # the kernel's own


def kernel():
    """"6.18" of "6.18.44-x"."""
    return ".".join(os.uname().release.split(".")[:2])


def read():
    """Kernels in order, and {program: {"budget": n, kernel: n or None}}."""
    with open(TABLE) as f:
        head, *rows = [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]
    return head[2:], {r[0]: dict(zip(head[1:], (int(c) if c else None for c in r[1:]))) for r in rows}


def write(kernels, table):
    with open(TABLE) as f:
        comments = [line for line in f if line.startswith("#")]
    with open(TABLE, "w") as f:
        f.writelines(comments)
        f.write("\t".join(["program", "budget", *kernels]) + "\n")
        for name in sorted(table):
            row = table[name]
            f.write("\t".join([name, str(row["budget"]), *(str(row.get(k) or "") for k in kernels)]) + "\n")


def measured(driver):
    """{program: instructions} of the running kernel."""
    return {name: int(n) for name, n in (line.split() for line in driver.ask("complexity")[:-1])}


def record(figures, at):
    kernels, table = read()
    if at not in kernels:
        kernels = sorted([*kernels, at], key=lambda k: [int(n) for n in k.split(".")])
    for name, n in figures.items():
        row = table.setdefault(name, {"budget": 0})
        row[at] = n
        if not row["budget"]:
            row["budget"] = -(-n * 2 // 1000) * 1000
    write(kernels, {name: row for name, row in table.items() if name in figures or any(row.get(k) for k in kernels if k != at)})


if __name__ == "__main__":
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    os.environ["WEIR_KERN_DRIVER"] = os.path.abspath(os.path.join(build, "tests/bpf/weir-kern-driver"))
    from world import Driver
    record(measured(Driver()), kernel())

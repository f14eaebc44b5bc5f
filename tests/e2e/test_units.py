# SPDX-License-Identifier: Apache-2.0
"""Units and configuration of the Debian package, as far as that can be seen without installing it (`make test-deb` does)."""

import os
import re
import shutil
import subprocess

import pytest

from conftest import ROOT
from proxies import weir

UNITS = os.path.join(ROOT, "deploy", "systemd")


def analyze(*args):
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze (package systemd)")
    return subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, timeout=60, check=False)


# What the agent needs is named in its unit; more than this it must not come to.
@pytest.mark.parametrize("unit, most", [("weir-proxy@.service", 2.0), ("weir-agent.service", 4.4)])
def test_units_expose_little(unit, most):
    told = analyze("security", "--offline=true", os.path.join(UNITS, unit)).stdout
    assert float(re.search(r"Overall exposure level for \S+: ([\d.]+)", told).group(1)) <= most


def test_units_say_nothing_that_systemd_does_not_know(tmp_path):
    """With an instance of the template, and the program where the package has it."""
    for name in os.listdir(UNITS):
        text = open(os.path.join(UNITS, name), encoding="utf-8").read()
        (tmp_path / name.replace("@.", "@shop.")).write_text(text.replace("/usr/bin/weir", "/bin/true"), encoding="utf-8")
    done = analyze("verify", "--man=no", *map(str, tmp_path.iterdir()))
    assert done.returncode == 0 and str(tmp_path) not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["agent.yaml", "example.yaml", "pods.yaml"])
def test_the_packages_configuration_is_valid(name):
    done = weir("validate", os.path.join(ROOT, "deploy", "etc", name))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["weir.postinst", "weir.prerm", "weir.postrm"])
def test_maintainer_scripts_are_shell(name):
    done = subprocess.run(["sh", "-n", os.path.join(ROOT, "deploy", "debian", name)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr

# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import abi  # noqa: E402
from world import DRIVER, World  # noqa: E402


def reason_to_skip():
    if os.geteuid() != 0:
        return "needs root (namespaces, cgroups, bpf)"
    if not DRIVER or not os.access(DRIVER, os.X_OK):
        return "WEIR_KERN_DRIVER does not name the built driver"
    return None


def pytest_configure(config):
    config.addinivalue_line("markers", "guest(*programs): also in the quick run on another kernel (make test-guest), for these programs")


def pytest_collection_modifyitems(items):
    reason = reason_to_skip()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def everything():
    w = World()
    try:
        for name in ("web", "api", "store"):
            w.pod(name)
        w.start()
        yield w
    finally:
        w.stop()


@pytest.fixture
def world(everything):
    """Each test finds pods without policy, without sidecar flags and without processes."""
    w = everything
    w.driver.events()
    w.before = w.driver.counts()
    yield w
    for pod in w.pods:
        pod.stop_actors()
    for pod in w.pods:
        w.set_pod(pod)


@pytest.fixture
def web(world):
    return world.pods[0]


@pytest.fixture
def api(world):
    return world.pods[1]


@pytest.fixture
def store(world):
    return world.pods[2]


@pytest.fixture
def counted(world):
    """How much a counter has grown since the test began."""
    return lambda name: world.driver.counts()[name] - world.before[name]

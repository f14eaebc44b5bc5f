# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "bpf"))
sys.path.insert(0, os.path.dirname(__file__))

import actor  # noqa: E402
from agent import WEIR, Agent  # noqa: E402
from world import World  # noqa: E402


def reason_to_skip():
    if os.geteuid() != 0:
        return "needs root (namespaces, cgroups, bpf)"
    if not WEIR or not os.access(WEIR, os.X_OK):
        return "WEIR_BIN does not name the built weir"
    return None


def pytest_configure(config):
    config.addinivalue_line("markers", "guest(*programs): also in the quick run on another kernel (make test-guest), for these programs")


def pytest_collection_modifyitems(items):
    reason = reason_to_skip()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def world():
    w = World()
    try:
        for name in ("web", "intruder", "store"):
            w.pod(name)
        yield w
    finally:
        w.stop()


@pytest.fixture
def agent(world):
    a = Agent(world)
    try:
        yield a
    finally:
        a.close()


@pytest.fixture
def running(agent):
    """The usual cluster is in force, and `store` answers on its port."""
    agent.write("pods.yaml", *[agent.pod_document(p) for p in agent.world.pods])
    agent.write("mesh.yaml", agent.service("store", 70, 7000, agent.world.pods[2]),
                agent.policy("store-allow-web", "store", "web"))
    agent.start()
    store = agent.world.pods[2].app()
    agent.store = store, store.call(actor.listen, agent.world.pods[2].v4, 7000)
    return agent

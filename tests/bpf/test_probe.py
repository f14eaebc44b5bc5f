# SPDX-License-Identifier: Apache-2.0
"""The kubelet's probes: its own connections, recorded on its cgroup; without that, by address and declared port."""
import errno
import os
import socket
import struct

import pytest

import abi
import actor
from test_policy import isolate, refusal, served

GATE = "10.77.0.254"  # the node's address, as pods see it


@pytest.fixture
def kubelet(world):
    """A process on the node, in a cgroup beside the pods' parent."""
    path = world.cgroup + "-kubelet"
    os.mkdir(path)
    a = actor.Actor(f"/proc/{world.switch.pid}/ns/net", cgroup=path)
    a.path = path
    yield a
    world.driver.ask("record", "")
    a.close()
    os.rmdir(path)


def from_port(ip, port, mine=0):
    """Connects from that port, resets at once; the port it had."""
    s = socket.socket()
    s.bind(("0.0.0.0", mine))
    s.connect((ip, port))
    mine = s.getsockname()[1]
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    return mine


def stranger(world):
    return actor.Actor(f"/proc/{world.switch.pid}/ns/net")


@pytest.mark.guest("weir_probe_record")
def test_what_the_kubelet_itself_connects_reaches_the_application(world, store, kubelet, counted):
    served(store, 8080, v6=False)
    isolate(world, store, abi.INGRESS)
    assert refusal(kubelet, store.v4, 8080) == errno.ECONNREFUSED
    world.driver.ask("record", kubelet.path)
    assert refusal(kubelet, store.v4, 8080) is None
    assert counted("seen_probe") == 1 and counted("allow_probe") == 1
    other = stranger(world)  # the same node, the same address, another process
    try:
        assert refusal(other, store.v4, 8080) == errno.ECONNREFUSED
    finally:
        other.close()
    # It lasts as long as its connection: afterwards the same tuple is nobody's.
    port = kubelet.call(from_port, store.v4, 8080)
    other = stranger(world)
    try:
        with pytest.raises(ConnectionRefusedError):
            other.call(from_port, store.v4, 8080, port)
    finally:
        other.close()


def test_it_goes_around_the_sidecar_and_strict(world, store, kubelet):
    app = store.app()
    lid = app.call(actor.listen, "0.0.0.0", 8080)
    sidecar = store.sidecar()
    world.set_pod(store, abi.MESHED)
    inbound = sidecar.call(actor.listen, "0.0.0.0", 15006)
    key = struct.pack("=IHBB", store.id, 0, abi.TCP, 0)
    world.driver.put("weir_port", key, struct.pack("=I", abi.STEER | 4))
    world.driver.ask("record", kubelet.path)
    other = stranger(world)
    try:
        assert refusal(kubelet, store.v4, 8080) is None
        assert app.call(actor.accept_all, lid) == 1
        assert refusal(other, store.v4, 8080) is None
        assert sidecar.call(actor.accept_all, inbound) == 1
    finally:
        other.close()
        world.driver.delete("weir_port", key)


def test_the_kubelet_is_never_refused_nor_other_calls_of_it_recorded(world, web, store, kubelet, counted):
    world.driver.ask("record", kubelet.path)
    lid = kubelet.call(actor.listen, "127.0.0.1", 0)
    port = kubelet.call(actor.sockname, lid)[1]
    assert refusal(kubelet, "127.0.0.1", port) is None
    assert counted("seen_probe") == 0
    assert int(world.driver.ask("each", "weir_probe")[0]) == 0


def test_by_address_only_declared_ports_and_around_the_sidecar(world, store, counted):
    app = served(store, 8080, 8081)
    isolate(world, store, abi.INGRESS, mesh=abi.MESHED)
    probe = abi.addr(GATE) + struct.pack("=IHH", store.id, 8080, 0)
    steer = struct.pack("=IHBB", store.id, 0, abi.TCP, 0)
    world.driver.put("weir_probe", probe, b"\1")
    world.driver.put("weir_port", steer, struct.pack("=I", abi.STEER | 4))
    other = stranger(world)
    try:
        assert refusal(other, store.v4, 8080) is None  # no sidecar listens: the application has it
        assert refusal(other, store.v4, 8081) == errno.ECONNREFUSED
        assert counted("allow_probe") == 1
    finally:
        other.close()
        world.driver.delete("weir_probe", probe)
        world.driver.delete("weir_port", steer)
    assert app.call(actor.none) is None


def test_check_says_how_probes_are_known(world, kubelet):
    def line():
        lines = [l.split("\t") for l in world.driver.ask("check", world.pins, world.cgroup)]
        return next(l for l in lines if len(l) == 4 and l[1] == "kubelet probes")

    assert line()[0] == "1" and "fallback" in line()[2]
    world.driver.ask("record", kubelet.path)
    assert line()[0] == "0"

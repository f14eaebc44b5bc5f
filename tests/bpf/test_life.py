# SPDX-License-Identifier: Apache-2.0
"""The programs outlive their owner, are adopted without a gap, have one owner, and can be taken away whole."""
import errno
import glob
import json
import os
import shutil
import struct
import subprocess

import pytest

import abi
import actor
from world import Driver, KernError, World

OWNED, LAYOUT, FOREIGN = 1, 2, 3
VIP = "10.96.3.1"


@pytest.fixture
def own(request):
    """A world of this test's own, so that killing and uninstalling harm nobody."""
    w = World()
    try:
        for name in ("web", "store"):
            w.pod(name)
        w.start()
        yield w
    finally:
        w.stop()


def served(pod, port):
    server = pod.app()
    server.call(actor.listen, pod.v4, port)
    return server


def refused(client, ip, port):
    with pytest.raises(OSError) as e:
        client.call(actor.connect, ip, port)
    return e.value.errno


def bpftool():
    """Debian keeps it in sbin, Ubuntu beside its kernel tools."""
    found = [shutil.which("bpftool", path="/usr/sbin:/usr/bin"), *glob.glob("/usr/lib/linux-tools/*/bpftool")]
    return [f for f in found if f][-1]


def weir_objects(kind):
    """Ids of programs or maps named weir_* in the whole machine, as bpftool sees them."""
    out = subprocess.run([bpftool(), "-j", kind, "show"], capture_output=True, text=True, check=True).stdout
    return {o["id"] for o in json.loads(out) if o.get("name", "").startswith("weir_")}


def test_policy_and_translation_go_on_when_the_owner_is_killed(own):
    web, store = own.pods
    served(store, 8080)
    own.service(VIP, 80, [(store, 8080, 1)])
    own.set_pod(store, 0, abi.slot(), abi.slot(0, 5, abi.ISOLATED))
    own.driver.kill()
    client = web.app()
    fd = client.call(actor.connect, VIP, 80)
    assert client.call(actor.peername, fd) == (VIP, 80)
    served(web, 9000)
    assert refused(store.app(), web.v4, 9000) == errno.EPERM


def test_it_is_adopted_under_load_without_a_failed_or_escaped_connection(own):
    web, store = own.pods
    server = store.app()
    lid = server.call(actor.listen, store.v4, 8080)
    own.service(VIP, 80, [(store, 8080, 1)])
    own.set_pod(store, 0, abi.slot(), abi.slot(0, 5, abi.ISOLATED))
    served(web, 9000)
    own.set_pod(web, 0, abi.slot(0, 6, abi.ISOLATED))
    good, bad = web.app(), store.app()
    # In no pod's cgroup, so only the receiver's own program stands in its way.
    stranger = actor.Actor(store.netns)
    before = own.driver.counts()
    for _ in range(3):
        own.driver.kill()
        good.begin(actor.connect_many, VIP, 80, 400)
        bad.begin(actor.connect_many, web.v4, 9000, 400)
        stranger.begin(actor.connect_many, web.v4, 9000, 400)
        own.driver = Driver()
        assert own.driver.ask("open", own.pins, own.cgroup) == ["1"]
        own.driver.ask("attach")
        for pod in own.pods:
            own.driver.ask("pod_attach", pod.id, pod.netns)
        assert good.end() == 0
        assert bad.end() == 400
        assert stranger.end() == 400
        assert server.call(actor.accept_all, lid) == 400
    stranger.close()
    after = own.driver.counts()
    assert after["deny_ingress"] - before["deny_ingress"] == 1200
    assert after["allow_service"] - before["allow_service"] == 1200
    assert after["deny_egress"] - before["deny_egress"] == 1200
    assert sorted(own.driver.ask("pods")) == [str(p.id) for p in own.pods]


def test_what_a_connection_asked_for_survives_adoption(own):
    web, store = own.pods
    served(store, 8080)
    own.service(VIP, 80, [(store, 8080, 1)])
    client = web.app()
    fd = client.call(actor.connect, VIP, 80)
    own.driver.kill()
    own.driver = Driver()
    own.driver.ask("open", own.pins, own.cgroup)
    own.driver.ask("attach")
    assert client.call(actor.peername, fd) == (VIP, 80)
    assert own.driver.ask("each", "weir_svc") == ["1"]


def test_two_owners_are_one_too_many(own):
    second = Driver()
    try:
        with pytest.raises(KernError) as e:
            second.ask("open", own.pins, own.cgroup)
        assert e.value.code == OWNED
        with pytest.raises(KernError) as e:
            second.ask("uninstall", own.pins)
        assert e.value.code == OWNED
        own.driver.kill()
        assert second.ask("open", own.pins, own.cgroup) == ["1"]
    finally:
        second.kill()


def test_another_layout_is_refused_and_left_alone(own):
    meta = bytes.fromhex(own.driver.ask("get", "weir_meta", "00000000")[0])
    other = meta[:4] + struct.pack("=I", 999) + meta[8:]
    own.driver.put("weir_meta", bytes(4), other)
    own.driver.kill()
    own.driver = Driver()
    with pytest.raises(KernError) as e:
        own.driver.ask("open", own.pins, own.cgroup)
    assert e.value.code == LAYOUT
    assert os.path.exists(os.path.join(own.pins, "links", "weir_connect4"))


def test_a_directory_that_is_not_ours_is_refused(own):
    other = Driver()
    try:
        strange = os.path.join(own.tmp, "strange")
        os.makedirs(os.path.join(strange, "somebody-elses"))
        with pytest.raises(KernError) as e:
            other.ask("open", strange, own.cgroup)
        assert e.value.code == FOREIGN
        with pytest.raises(KernError) as e:
            other.ask("open", os.path.join("/dev/shm", os.path.basename(own.tmp)), own.cgroup)
        assert e.value.code == FOREIGN
        with pytest.raises(KernError) as e:
            other.ask("open", os.path.join(own.tmp, "x"), os.path.dirname(own.cgroup))
        assert e.value.code == -errno.EINVAL
    finally:
        other.kill()


def test_uninstall_leaves_nothing(own):
    web, store = own.pods
    served(store, 8080)
    own.service(VIP, 80, [(store, 8080, 1)])
    client = web.app()
    client.call(actor.connect, VIP, 80)
    ours = {kind: weir_objects(kind) for kind in ("prog", "map")}
    assert len(ours["prog"]) >= 14
    own.driver.ask("close")
    own.driver.ask("uninstall", own.pins)
    assert not os.path.exists(own.pins)
    assert set(os.listdir(own.tmp)) <= {"progs.debug", "maps.debug"}  # every bpffs has these
    for kind in ("prog", "map"):
        gone = ours[kind] - weir_objects(kind)
        assert len(gone) >= (14 if kind == "prog" else 18)
    tree = subprocess.run([bpftool(), "cgroup", "tree", own.cgroup], capture_output=True, text=True).stdout
    assert "weir_" not in tree
    # Now nobody translates: the service's address leads nowhere, and policy is gone.
    fd = client.call(actor.connect, store.v4, 8080)
    assert client.call(actor.peername, fd) == (store.v4, 8080)
    # Again is fine.
    own.driver.ask("uninstall", own.pins)


def test_a_pod_whose_namespace_was_replaced_gets_the_program_in_the_new_one(own):
    web, store = own.pods
    served(store, 8080)
    own.set_pod(store, 0, abi.slot(0, 5, abi.ISOLATED))
    own.driver.ask("pod_attach", store.id, web.netns)
    own.driver.ask("pod_attach", store.id, store.netns)
    stranger = actor.Actor(web.netns)
    try:
        assert refused(stranger, store.v4, 8080) == errno.ECONNREFUSED
        own.driver.ask("pod_detach", store.id)
        stranger.call(actor.connect, store.v4, 8080)
    finally:
        stranger.close()


# Cgroups that are not classified yet

@pytest.fixture
def newcomer(own):
    """A pod that runs before the agent has heard of it."""
    pod = own.pod("newcomer")
    yield pod


@pytest.mark.guest("weir_skb_egress")
def test_a_newcomers_syn_waits_until_it_is_classified(own, newcomer):
    store = own.pods[1]
    served(store, 8080)
    client = newcomer.app()
    fd = client.call(actor.start, store.v4, 8080)
    assert own.wait_count("held", 1) >= 1
    assert client.call(actor.settle, fd, 0) is None
    own.enrol(newcomer)
    # TCP asks again by itself, a second after it began.
    assert client.call(actor.settle, fd) == 0


def test_policy_is_asked_before_a_held_syn_may_go(own, newcomer):
    store = own.pods[1]
    served(store, 8080)
    client = newcomer.app()
    fd = client.call(actor.start, store.v4, 8080)
    own.wait_count("held", 1)
    own.set_pod(newcomer, 0, abi.slot(), abi.slot(0, 77, abi.ISOLATED))
    own.classify(newcomer)
    assert own.wait_count("deny_egress", 1) >= 1
    assert client.call(actor.settle, fd, 0) is None
    assert [e.policy for e in own.driver.events() if e.kind == abi.DENIED][-1] == 77


def test_a_newcomers_datagrams_and_l7_calls_do_not_slip_out(own, newcomer):
    store = own.pods[1]
    own.service("10.96.3.2", 80, [(store, 8080, 1)], flags=abi.L7, set=60)
    client = newcomer.app()
    with pytest.raises(OSError) as e:
        client.call(actor.connect, "10.96.3.2", 80)
    assert e.value.errno == errno.EAGAIN
    fd = client.call(actor.connect, store.v4, 53, kind=2)
    try:
        client.call(actor.send, fd, b"x")
    except OSError as e:
        assert e.errno == errno.EPERM
    assert own.wait_count("held", 1) >= 1
    own.set_pod(newcomer, 0, abi.slot(), abi.slot(0, 77, abi.ISOLATED))
    own.classify(newcomer)
    try:
        client.call(actor.send, fd, b"x")
    except OSError as e:
        assert e.errno == errno.EPERM
    assert own.wait_count("deny_egress", 1) >= 1


def test_a_datagram_with_an_address_does_not_free_a_held_socket(own, newcomer):
    web, store, _ = own.pods
    server = store.app()
    lid = server.call(actor.listen, store.v4, 53, kind=2)
    client = newcomer.app()
    fd = client.call(actor.connect, web.v4, 53, kind=2)
    own.driver.put("weir_idset", struct.pack("=II", 70, store.identity), abi.member())
    own.rules(70, abi.rule(70, abi.IDENTITY, 70))
    own.enrol(newcomer)
    own.set_pod(newcomer, 0, abi.slot(), abi.slot(70, 70, abi.ISOLATED))
    client.call(actor.sendto, fd, b"allowed", store.v4, 53)
    assert server.call(actor.recvfrom, lid)[0] == b"allowed"
    before = own.driver.counts()["deny_egress"]
    try:
        client.call(actor.send, fd, b"x")
    except OSError as e:
        assert e.errno == errno.EPERM
    assert own.wait_count("deny_egress", before + 1) == before + 1


def test_a_newcomer_gets_an_endpoint_of_a_plain_service_when_it_may_go(own, newcomer):
    store = own.pods[1]
    served(store, 8080)
    own.service(VIP, 80, [(store, 8080, 1)])
    client = newcomer.app()
    fd = client.call(actor.start, VIP, 80)
    own.wait_count("held", 1)
    own.enrol(newcomer)
    assert client.call(actor.settle, fd) == 0
    assert client.call(actor.peername, fd) == (VIP, 80)


def test_without_the_hold_flag_newcomers_pass(own, newcomer):
    store = own.pods[1]
    served(store, 8080)
    own.driver.ask("flags", 0)
    newcomer.app().call(actor.connect, store.v4, 8080)


def test_a_refused_cgroup_is_refused(own, newcomer):
    store = own.pods[1]
    served(store, 8080)
    own.driver.put("weir_cgroup", own.cgroup_key(newcomer.cgroup), bytes(4) + bytes([abi.REFUSED, 0, 0, 0]))
    assert refused(newcomer.app(), store.v4, 8080) == errno.EPERM


def test_check_finds_this_machine_fit(own):
    lines = [line.split("\t") for line in own.driver.ask("check", own.pins, own.cgroup)[:-1]]
    bad = [line for line in lines if line[0] == "2"]
    assert not bad
    found = {line[1]: line[2] for line in lines}
    assert found["every program accepted by this kernel"].startswith("yes")
    assert "weir_connect4" in found["order of programs at connect4"]

# SPDX-License-Identifier: Apache-2.0
"""Every bounded map filled to its last entry: what holds decisions refuses and is counted, what only remembers forgets the oldest,
and all is well again when there is room."""
import contextlib
import errno
import os
import re
import socket
import struct

import pytest

import abi
import actor
import streams
from bpfmap import LPM_TRIE, Map
from test_policy import isolate, refusal, served
from world import KernError

VIP = "10.96.7.1"
DECISIONS = ("weir_cgroup", "weir_pod", "weir_svc", "weir_ep", "weir_maglev", "weir_ip", "weir_rule", "weir_idset", "weir_cidr",
             "weir_port", "weir_http", "weir_probe", "weir_name", "weir_dns_pattern", "weir_dns_server")
KEYED = ("weir_cgroup", "weir_svc", "weir_ip", "weir_port")  # the kernel's value has the key before what is put
MEMORIES = ("weir_udp_peer", "weir_probe_seen", "weir_affinity", "weir_ep_load", "weir_ep_fail", "weir_first", "weir_tls_call", "weir_tls_conn")
BY_KERNEL = ("weir_flow", "weir_app_tuple", "weir_canary", "weir_doomed", "weir_wait", "weir_join_at", "weir_dns_bound", "weir_dns_used")
SOCKETS = ("weir_listener", "weir_join", "weir_join_app")
UNFILLED = ("weir_meta", "weir_count", "weir_sock", "weir_join_sock", "weir_http_count", "weir_http_conn", "weir_dns_setting", "weir_dns_stream",
            "weir_dns_count")  # arrays, and what lies in its socket
RINGS = ("weir_events", "weir_denials", "weir_http_events")


MANY = 140000


def full_error(m):
    return -errno.ENOSPC if m.type == LPM_TRIE else -errno.E2BIG


@contextlib.contextmanager
def full(world, name):
    m = Map(os.path.join(world.pins, "maps", name))
    try:
        if m.entries > MANY and not os.environ.get("WEIR_LARGE"):
            pytest.skip(f"{name} takes {m.entries} entries: make test-large fills it")
        got, _ = m.fill()
        assert got == (0 if name in MEMORIES else full_error(m)), os.strerror(-got)
        yield m
        if name not in MEMORIES:
            m.drain()
    finally:
        m.close()


def test_every_map_is_in_one_of_these_lists(world):
    named = {n for n in os.listdir(os.path.join(world.pins, "maps")) if n.startswith("weir_")}
    assert named - {"weir_bpf.rodata", "weir_bpf.bss"} == {*DECISIONS, *MEMORIES, *BY_KERNEL, *SOCKETS, *UNFILLED, *RINGS}


def test_the_documentation_has_the_sizes(world):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "docs", "limits.md"), encoding="utf-8") as f:
        table = f.read().split("## Maps of the kernel half")[1].split("## Answers")[0]
    said = dict(re.findall(r"`(weir_\w+)` (\d+)(?! [KM]iB)\b", table))
    assert set(DECISIONS) <= set(said)
    for name, entries in said.items():
        m = Map(os.path.join(world.pins, "maps", name))
        assert m.entries == int(entries), name
        m.close()


@pytest.mark.parametrize("name", DECISIONS)
def test_a_full_map_of_decisions_is_an_error_to_its_writer_and_forgets_nothing(world, web, api, store, name):
    listener = served(store, 8080)
    served(api, 8080)
    isolate(world, api, abi.INGRESS)
    client = web.app()
    with full(world, name) as m:
        key = bytes([0xdd] * m.key_size)
        if m.type == LPM_TRIE:
            key = struct.pack("=I", 8 * (m.key_size - 4)) + key[4:]
        with pytest.raises(KernError) as e:
            world.driver.put(name, key, bytes(m.value_size - (m.key_size if name in KEYED else 0)))
        assert e.value.code == full_error(m)
        client.call(actor.connect, store.v4, 8080)
        assert refusal(client, api.v4, 8080) == errno.EPERM
    assert listener
    world.driver.put(name, key, bytes(m.value_size - (m.key_size if name in KEYED else 0)))
    world.driver.delete(name, key)


def test_no_room_for_what_a_sidecar_is_to_be_told_and_the_call_does_not_leave(world, web, api, counted):
    world.service(VIP, 80, [(api, 8080, 1)], flags=abi.L7, number=71, set=71)
    world.set_pod(web, flags=abi.MESHED)
    side, client = web.sidecar(), web.app()
    lid = side.call(actor.listen, "127.0.0.1", 15001)
    with full(world, "weir_flow"):
        fd = client.call(actor.start, VIP, 80)
        assert client.call(actor.settle, fd, 0.2) is None and not side.call(actor.waiting, lid)
        assert counted("deny_map_full") == 1
    fd = client.call(actor.connect, VIP, 80)
    sid, _ = side.call(actor.accept, lid)
    assert side.call(actor.original4, sid) == (VIP, 80) and counted("deny_map_full") == 1


def test_no_room_for_the_sidecars_own_calls_and_they_do_not_leave(world, web, counted):
    world.set_pod(web, flags=abi.MESHED)
    app, side = web.app(), web.sidecar()
    lid = app.call(actor.listen, web.v4, 8080)
    with full(world, "weir_app_tuple"):
        fd = side.call(actor.start, web.v4, 8080)
        assert side.call(actor.settle, fd, 0.2) is None and not app.call(actor.waiting, lid)
        assert counted("deny_map_full") == 1
    side.call(actor.connect, web.v4, 8080)
    app.call(actor.accept, lid)


def test_no_room_for_a_listener_and_its_pods_calls_are_refused(world, web, api, counted):
    world.service(VIP, 80, [(api, 8080, 1)], flags=abi.L7, number=71, set=71)
    world.set_pod(web, flags=abi.MESHED)
    side, client = web.sidecar(), web.app()
    if not os.environ.get("WEIR_LARGE"):
        pytest.skip("weir_listener takes 65536 system calls: make test-large fills it")
    m = Map(os.path.join(world.pins, "maps", "weir_listener"))
    filler = socket.create_server(("127.0.0.1", 0))
    try:
        got, n = m.fill_with_socket(filler.fileno())
        assert got == -errno.E2BIG and n > 60000
        lid = side.call(actor.listen, "127.0.0.1", 15001)
        assert counted("deny_map_full") >= 1
        with pytest.raises(ConnectionRefusedError):
            client.call(actor.connect, VIP, 80)
        assert counted("deny_no_listener") == 1
    finally:
        filler.close()  # and with it all its entries
        m.close()
    side.call(actor.close, lid)
    lid = side.call(actor.listen, "127.0.0.1", 15001)
    client.call(actor.connect, VIP, 80)
    side.call(actor.accept, lid)


def test_no_room_to_remember_since_when_a_sidecar_is_away_and_nobody_waits(world, web, api, counted):
    world.service(VIP, 80, [(api, 8080, 1)], flags=abi.L7, number=71, set=71)
    world.set_pod(web, flags=abi.MESHED)
    client = web.app()
    world.driver.ask("flags", abi.HOLD, 60000)
    try:
        with full(world, "weir_wait") as m:
            with pytest.raises(ConnectionRefusedError):
                client.call(actor.connect, VIP, 80)
        fd = client.call(actor.start, VIP, 80)
        assert client.call(actor.settle, fd, 0) is None and counted("held_sidecar") == 1
        m = Map(os.path.join(world.pins, "maps", "weir_wait"))
        m.forget(web.id.to_bytes(4, "little"))
        m.close()
    finally:
        world.driver.ask("flags", abi.HOLD)


def test_no_room_to_join_and_all_goes_by_tcp(world, web, counted):
    why = streams.join_test(world)[0]
    if why:
        pytest.skip(why)
    world.driver.ask("flags", abi.HOLD | abi.JOIN_ON)
    world.set_pod(web, flags=abi.JOIN | abi.JOIN_READER)
    app = web.app()
    try:
        with full(world, "weir_join_at"):
            c, s = app.call(streams.keep_pair)
            for _ in range(3):
                assert app.call(streams.echo, c, s, b"there") and app.call(streams.echo, s, c, b"back")
            assert counted("join_no_room") >= 1 and counted("join_began") == 0
        c, s = app.call(streams.keep_pair)
        assert app.call(streams.echo, c, s, b"there") and counted("join_began") == 1
    finally:
        world.driver.ask("flags", abi.HOLD)


def test_no_room_to_prove_interception_and_it_is_not_proven(world, web):
    prove = ("prove", web.id, web.cgroup, web.netns, 1)
    world.driver.ask(*prove)
    with full(world, "weir_canary") as m:
        m.forget(web.id.to_bytes(4, "little"))
        m.drain()
        m.fill()
        with pytest.raises(KernError):
            world.driver.ask(*prove)
    world.driver.ask(*prove)


def test_a_conversation_begins_in_a_full_memory_and_nothing_unasked_comes_in(world, web, api, counted):
    isolate(world, web, abi.INGRESS)
    client, server = web.app(), api.app()
    here = client.call(actor.listen, web.v4, 5001, kind=socket.SOCK_DGRAM)
    there = server.call(actor.listen, api.v4, 5002, kind=socket.SOCK_DGRAM)

    def ask():
        client.call(actor.sendto, here, b"ask", api.v4, 5002)
        return server.call(actor.recvfrom, there)[1]

    def answer(peer):
        server.call(actor.sendto, there, b"tell", *peer)
        return client.call(streams.readable_now, here) and client.call(actor.recvfrom, here)[0]

    with full(world, "weir_udp_peer"):
        assert answer(ask()) == b"tell", "the newest has a place"
        other = server.call(actor.listen, api.v4, 5003, kind=socket.SOCK_DGRAM)
        with contextlib.suppress(PermissionError):
            server.call(actor.sendto, other, b"unasked", web.v4, 5001)
        assert not client.call(streams.readable_now, here) and counted("deny_ingress") >= 1
    assert answer(ask()) == b"tell"


@pytest.mark.parametrize("name", MEMORIES)
def test_a_full_memory_refuses_nobody(world, web, store, name):
    lid_of = served(store, 8080)
    world.service(VIP, 80, [(store, 8080, 1)], number=72, set=72)
    client = web.app()
    with full(world, name):
        for _ in range(5):
            client.call(actor.connect, VIP, 80)
    assert lid_of


def test_events_that_nobody_reads_are_lost_and_counted_and_denials_have_a_ring_of_their_own(world, web, store, api, counted):
    server = store.app()
    lid = server.call(actor.listen, store.v4, 8080)
    served(api, 8080)
    isolate(world, api, abi.INGRESS)
    client = web.app()
    world.driver.events()
    for _ in range(8):
        assert client.call(actor.connect_many, store.v4, 8080, 300) == 0
        server.call(actor.accept_all, lid)
    assert counted("lost_event") > 0 and counted("lost_denial") == 0
    assert refusal(client, api.v4, 8080) == errno.EPERM
    assert any(e.kind == abi.DENIED for e in world.driver.events())
    assert client.call(actor.connect_many, api.v4, 8080, 2500) == 2500
    assert counted("lost_denial") > 0
    world.driver.events()
    before = counted("lost_event"), counted("lost_denial")
    assert refusal(client, api.v4, 8080) == errno.EPERM
    client.call(actor.connect, store.v4, 8080)
    kinds = {e.kind for e in world.driver.events()}
    assert {abi.OPEN, abi.DENIED} <= kinds and before == (counted("lost_event"), counted("lost_denial"))

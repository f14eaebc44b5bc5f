# SPDX-License-Identifier: Apache-2.0
"""Connections that exist are asked again when policy changes: what is no longer allowed is reset, all else untouched."""
import errno
import os
import socket

import pytest

import abi
import actor

REVOKE, DENY_EGRESS, DENY_INGRESS, ENDPOINT_GONE = 5, "deny_egress", "deny_ingress", "deny_endpoint_gone"
RULES = 61
RESET = (errno.ECONNABORTED, errno.ECONNRESET, errno.EPIPE)


@pytest.fixture(params=["best", "diag"])
def how(request):
    """The kernel's own way, and that of kernels before 6.5."""
    return request.param


def reasons(world):
    return list(world.driver.counts())


def pair(client, server, ip, port):
    lid = server.call(actor.listen, ip if ":" in ip else ip, port)
    return connect(client, server, lid, ip, port)


def connect(client, server, lid, ip, port):
    fd = client.call(actor.connect, ip, port)
    sid, _ = server.call(actor.accept, lid)
    return fd, sid


def alive(client, fd, server, sid):
    client.call(actor.send, fd, b"x")
    return server.call(actor.recv, sid) == b"x"


def reset(a, fd):
    try:
        return a.call(actor.recv, fd) is None
    except OSError as e:
        return e.errno in RESET


def isolate(world, pod, direction, *rules):
    world.rules(RULES, *rules)
    slot = abi.slot(RULES if rules else 0, policy=77, flags=abi.ISOLATED)
    world.set_pod(pod, **{"ingress" if direction == abi.INGRESS else "egress": slot})


@pytest.mark.guest("weir_walk_tcp", "weir_reset_tcp")
def test_what_policy_no_longer_lets_in_is_reset_and_the_rest_goes_on(world, web, api, store, how):
    w, a, s = web.app(), api.app(), store.app()
    lid = s.call(actor.listen, "::", 8080, v6only=False)
    w4, s4 = connect(w, s, lid, store.v4, 8080)
    w6, s6 = connect(w, s, lid, store.v6, 8080)
    a4, sa = connect(a, s, lid, store.v4, 8080)
    events, sums = world.driver.revoke(store.netns, how)
    assert not events and sums == (3, 0, 3)
    isolate(world, store, abi.INGRESS, abi.rule(78, abi.IDENTITY, 5))
    world.driver.put("weir_idset", (5).to_bytes(4, "little") + api.identity.to_bytes(4, "little"), abi.member())
    events, sums = world.driver.revoke(store.netns, how)
    assert sums == (3, 2, 1)
    assert {(e.kind, e.direction, e.policy, reasons(world)[e.reason]) for e in events} == {(REVOKE, abi.INGRESS, 77, DENY_INGRESS)}
    assert {e.remote for e in events} == {web.v4, web.v6} and {e.local_port for e in events} == {8080}
    assert all(e.pod == store.id and e.peer_identity == web.identity for e in events)
    for client, fd in ((w, w4), (w, w6), (s, s4), (s, s6)):
        assert reset(client, fd)
    assert alive(a, a4, s, sa)
    assert world.driver.revoke(store.netns, how) == ([], (1, 0, 1))


def test_what_policy_no_longer_lets_out_is_reset(world, web, api, store, how):
    w, s, a = web.app(), store.app(), api.app()
    gone = pair(w, s, store.v4, 8080)
    kept = pair(w, a, api.v4, 8081)
    isolate(world, web, abi.EGRESS, abi.rule(78, ports=(8081, 8081)))
    events, sums = world.driver.revoke(web.netns, how)
    assert sums == (2, 1, 1)
    assert (events[0].direction, events[0].policy, events[0].remote_port) == (abi.EGRESS, 77, 8080)
    assert reasons(world)[events[0].reason] == DENY_EGRESS
    assert reset(w, gone[0]) and reset(s, gone[1])
    assert alive(w, kept[0], a, kept[1])


def test_an_identity_that_changes_takes_its_connections_with_it(world, web, store, how):
    w, s = web.app(), store.app()
    isolate(world, store, abi.INGRESS, abi.rule(78, abi.IDENTITY, 6))
    world.driver.put("weir_idset", (6).to_bytes(4, "little") + web.identity.to_bytes(4, "little"), abi.member())
    fd, sid = pair(w, s, store.v4, 8080)
    assert world.driver.revoke(store.netns, how)[1] == (1, 0, 1)
    other = (4242).to_bytes(4, "little")
    world.driver.put("weir_ip", abi.addr(web.v4), other + web.id.to_bytes(4, "little") + b"\2" + bytes(7))
    try:
        assert world.driver.revoke(store.netns, how)[1] == (1, 1, 0)
    finally:
        world.enrol(web)
    assert reset(w, fd) and reset(s, sid)


def test_the_pod_itself_and_declared_probes_are_left_alone(world, web, store, how):
    s, w = store.app(), web.app()
    own = pair(s, s, store.v4, 8080)
    local = pair(s, s, "127.0.0.1", 8081)
    probe = pair(w, s, store.v4, 8082)
    isolate(world, store, abi.INGRESS)
    key = abi.addr(web.v4) + store.id.to_bytes(4, "little") + (8082).to_bytes(2, "little") + bytes(2)
    world.driver.put("weir_probe", key, b"\1")
    try:
        events, sums = world.driver.revoke(store.netns, how)
    finally:
        world.driver.delete("weir_probe", key)
    assert not events and sums == (5, 0, 5)
    assert alive(s, own[0], s, own[1]) and alive(s, local[0], s, local[1]) and alive(w, probe[0], s, probe[1])


def test_audit_mode_resets_nothing(world, web, store, how):
    fd = pair(web.app(), store.app(), store.v4, 8080)
    world.set_pod(store, ingress=abi.slot(0, policy=77, flags=abi.ISOLATED | abi.AUDIT_SLOT))
    assert world.driver.revoke(store.netns, how) == ([], (1, 0, 1))
    assert alive(web.actors[0], fd[0], store.actors[0], fd[1])


def test_the_hops_of_a_sidecar_are_asked_as_well(world, web, store, how):
    """Its call out of the pod; what the application hands to it over loopback stays."""
    world.service("10.96.3.1", 80, [(store, 8080, 1)], flags=abi.L7, number=31, set=31)
    world.set_pod(web, flags=abi.MESHED)
    side, app, s = web.sidecar(), web.app(), store.app()
    lid = side.call(actor.listen, "127.0.0.1", 15001)
    fd = app.call(actor.connect, "10.96.3.1", 80)
    down, _ = side.call(actor.accept, lid)
    up, sid = pair(side, s, store.v4, 8080)
    world.set_pod(web, flags=abi.MESHED, egress=abi.slot(0, policy=77, flags=abi.ISOLATED))
    events, sums = world.driver.revoke(web.netns, how)
    assert sums == (3, 1, 2)
    assert events[0].role == abi.PROXY and events[0].remote == store.v4
    assert reset(side, up) and reset(s, sid)
    assert alive(app, fd, side, down)


def test_an_endpoint_that_is_no_longer_one_loses_its_connections(world, web, api, store, how):
    world.service("10.96.3.2", 80, [(store, 8080, 1)], number=32, set=32)
    w, s, a = web.app(), store.app(), api.app()
    lid = s.call(actor.listen, store.v4, 8080)
    direct = connect(w, s, lid, store.v4, 8080)
    chosen = connect(w, s, lid, "10.96.3.2", 80)
    assert world.driver.revoke(web.netns, how, gone_port=9999)[1] == (2, 0, 2)
    events, sums = world.driver.revoke(web.netns, how, gone_port=8080)
    assert sums == (2, 1, 1)
    (e,) = events
    assert (e.kind, e.service, e.original, e.original_port, e.remote) == (REVOKE, 32, "10.96.3.2", 80, store.v4)
    assert reasons(world)[e.reason] == ENDPOINT_GONE
    assert reset(w, chosen[0]) and reset(s, chosen[1])
    assert alive(w, direct[0], s, direct[1])


def test_connections_older_than_their_pods_enrolment_are_asked_too(world, web, api, store, how):
    """Made while the cgroup was nobody's: nothing is known of them but cgroup, addresses and who listens."""
    keys = {pod: [world.cgroup_key(pod.cgroup), world.cgroup_key(os.path.join(pod.cgroup, "weir"))] for pod in (web, store)}
    world.driver.ask("flags", 0)
    try:
        for key in sum(keys.values(), []):
            world.driver.delete("weir_cgroup", key)
        w, s, a = web.app(), store.app(), api.app()
        into = pair(a, s, store.v4, 8080)
        out = pair(w, a, api.v4, 8081)
    finally:
        for pod in keys:
            world.classify(pod)
        world.driver.ask("flags", abi.HOLD)
    isolate(world, store, abi.EGRESS)
    assert world.driver.revoke(store.netns, how)[1] == (1, 0, 1), "a server answers its client whatever egress says"
    isolate(world, store, abi.INGRESS)
    assert world.driver.revoke(store.netns, how)[1] == (1, 1, 0)
    assert world.driver.revoke(web.netns, how)[1] == (1, 0, 1)
    isolate(world, web, abi.EGRESS)
    assert world.driver.revoke(web.netns, how)[1] == (1, 1, 0)
    assert reset(a, into[0]) and reset(w, out[0])


@pytest.mark.guest("weir_walk_udp", "weir_reset_udp")
def test_a_connected_udp_socket_loses_its_destination(world, web, api, store, how):
    s, w = store.app(), web.app()
    lid = s.call(actor.listen, store.v4, 5353, kind=socket.SOCK_DGRAM)
    fd = w.call(actor.connect, store.v4, 5353, socket.SOCK_DGRAM)
    assert alive(w, fd, s, lid)
    isolate(world, web, abi.EGRESS)
    events, sums = world.driver.revoke(web.netns, how)
    assert sums[1] == 1 and events[0].proto == abi.UDP and events[0].policy == 77
    with pytest.raises(OSError):
        for _ in range(2):
            w.call(actor.send, fd, b"x")


def test_a_walk_sees_its_own_namespace_only(world, web, api, store, how):
    pair(web.app(), store.app(), store.v4, 8080)
    assert world.driver.revoke(api.netns, how) == ([], (0, 0, 0))


def test_a_thousand_connections_are_all_found_and_each_once(world, web, store, how):
    n = 1000
    w, s = web.app(), store.app()
    lid = s.call(actor.listen, store.v4, 8080)
    for _ in range(n // 250):  # fewer than a backlog
        w.call(hold, store.v4, 8080, 250)
        s.call(take, lid, 250)
    isolate(world, store, abi.INGRESS)
    events, sums = world.driver.revoke(store.netns, how)
    assert sums == (n, n, 0) and len({e.remote_port for e in events}) == n
    assert world.driver.revoke(store.netns, how)[1] == (0, 0, 0)


def hold(ip, port, n):
    for _ in range(n):
        s = socket.create_connection((ip, port), timeout=actor.WAIT)
        actor.SOCKS[s.fileno()] = s


def take(lid, n):
    for _ in range(n):
        actor.accept(lid)

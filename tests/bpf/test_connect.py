# SPDX-License-Identifier: Apache-2.0
"""Plain services: an endpoint is picked inside connect(), and the application does not notice."""
import errno
import socket

import pytest

import abi
import actor

VIP, VIP6 = "10.96.0.1", "fd96::1"


@pytest.mark.guest("weir_connect4", "weir_getpeername4")
def test_a_service_address_reaches_an_endpoint_and_getpeername_shows_the_service(world, web, store, counted):
    world.service(VIP, 80, [(store, 8080, 1)])
    server, client = store.app(), web.app()
    lid = server.call(actor.listen, store.v4, 8080)
    fd = client.call(actor.connect, VIP, 80)
    _, peer = server.call(actor.accept, lid)
    assert peer[0] == web.v4
    assert client.call(actor.peername, fd) == (VIP, 80)
    assert counted("allow_service") == 1


def test_a_v4_mapped_address_on_an_ipv6_socket_is_the_same_service(world, web, store):
    world.service(VIP, 80, [(store, 8080, 1)])
    server, client = store.app(), web.app()
    lid = server.call(actor.listen, store.v4, 8080)
    fd = client.call(actor.connect, "::ffff:" + VIP, 80)
    assert server.call(actor.accept, lid)[1][0] == web.v4
    assert client.call(actor.peername, fd) == ("::ffff:" + VIP, 80)


@pytest.mark.guest("weir_connect6", "weir_getpeername6")
def test_an_ipv6_service_reaches_an_ipv6_endpoint(world, web, store):
    world.service(VIP6, 80, [(store, 8080, 1)], set=8)
    server, client = store.app(), web.app()
    lid = server.call(actor.listen, store.v6, 8080)
    fd = client.call(actor.connect, VIP6, 80)
    assert server.call(actor.accept, lid)[1][0] == web.v6
    assert client.call(actor.peername, fd) == (VIP6, 80)


def test_a_process_in_a_cgroup_below_the_pods_is_the_pods(world, web, store):
    world.service(VIP, 80, [(store, 8080, 1)])
    server, client = store.app(), web.app("app/inner")
    server.call(actor.listen, store.v4, 8080)
    client.call(actor.connect, VIP, 80)


def test_weights_are_kept(world, web, store):
    world.service(VIP, 53, [("10.77.0.201", 1, 90), ("10.77.0.202", 2, 10)], proto=abi.UDP, set=9)
    peers = [p for p in web.app().call(actor.udp_connect_many, VIP, 53, 600) if not p.startswith("00000000")]
    second = sum(p.endswith(":0002") for p in peers)
    assert len(peers) == 600
    # 60 expected of 600; outside of this by chance once in 10^9 runs (binomial, 6 sigma = 44).
    assert 16 <= second <= 104


def test_equal_endpoints_are_all_used(world, web, store):
    world.service(VIP, 53, [(f"10.77.0.{200 + i}", i, 1) for i in range(5)], proto=abi.UDP, set=10)
    peers = {p for p in web.app().call(actor.udp_connect_many, VIP, 53, 200)}
    assert len({p for p in peers if p.endswith(tuple(f":000{i}" for i in range(5)))}) >= 5


def test_a_service_without_endpoints_is_refused_at_once(world, web, counted):
    world.service(VIP, 81, [])
    with pytest.raises(OSError) as e:
        web.app().call(actor.connect, VIP, 81)
    assert e.value.errno == errno.ECONNREFUSED
    assert counted("deny_no_endpoint") == 1


def test_a_backend_set_that_is_not_whole_is_a_refusal(world, web, counted):
    world.driver.put("weir_svc", abi.svc_key(VIP, 82), abi.svc(7, 4242, 1))
    with pytest.raises(OSError) as e:
        web.app().call(actor.connect, VIP, 82)
    assert e.value.errno == errno.EPERM
    assert counted("deny_undecided") == 1


@pytest.mark.guest("weir_sendmsg4", "weir_sendmsg6", "weir_recvmsg4", "weir_recvmsg6")
@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_a_udp_socket_keeps_its_endpoint_and_sees_answers_from_the_service(world, web, store, vip):
    here = store.v6 if vip == VIP6 else store.v4
    world.service(vip, 54, [(store, 5454, 1), (store, 5455, 1)], proto=abi.UDP, set=11)
    server, client = store.app(), web.app()
    lids = [server.call(actor.listen, here, p, kind=socket.SOCK_DGRAM) for p in (5454, 5455)]
    fd = client.call(actor.new, socket.AF_INET6 if vip == VIP6 else socket.AF_INET, socket.SOCK_DGRAM)
    client.call(actor.sendto, fd, b"0", vip, 54)
    lid = [lid for lid in lids if server.call(settled, lid)][0]
    for i in range(1, 20):
        client.call(actor.sendto, fd, b"%d" % i, vip, 54)
    for i in range(20):
        data, peer = server.call(actor.recvfrom, lid)
        assert data == b"%d" % i
    server.call(actor.sendto, lid, b"answer", *peer)
    assert client.call(actor.recvfrom, fd) == (b"answer", (vip, 54))


def settled(lid):
    import select
    return bool(select.select([lid], [], [], 1)[0])


def test_loopback_is_nobodys_business(world, web, counted):
    a = web.app()
    lid = a.call(actor.listen, "127.0.0.1", 7000)
    a.call(actor.connect, "127.0.0.1", 7000)
    a.call(actor.accept, lid)
    assert counted("allow_local") >= 1


@pytest.mark.guest("weir_sockops")
def test_open_and_close_tell_who_what_and_how_much(world, web, store):
    world.service(VIP, 80, [(store, 8080, 1)], number=77)
    server, client = store.app(), web.app()
    lid = server.call(actor.listen, store.v4, 8080)
    fd = client.call(actor.connect, VIP, 80)
    sid, _ = server.call(actor.accept, lid)
    client.call(actor.send, fd, b"x" * 1000)
    server.call(actor.recv, sid)
    server.call(actor.send, sid, b"y" * 10)
    client.call(actor.recv, fd)
    client.call(actor.close, fd)
    assert server.call(actor.recv, sid) == b""
    server.call(actor.close, sid)
    world.wait_count("seen_close", world.before["seen_close"] + 2)
    events = world.driver.events()
    out = {e.kind: e for e in events if e.direction == abi.EGRESS and e.pod == web.id}
    inn = {e.kind: e for e in events if e.direction == abi.INGRESS and e.pod == store.id}
    assert out[abi.OPEN].original == VIP and out[abi.OPEN].original_port == 80
    assert out[abi.OPEN].remote == store.v4 and out[abi.OPEN].remote_port == 8080
    assert out[abi.OPEN].service == 77
    assert (out[abi.CLOSE].identity, out[abi.CLOSE].peer_identity) == (web.identity, store.identity)
    # TCP counts a SYN and a FIN as a byte each.
    assert 1000 <= out[abi.CLOSE].bytes_out <= 1002 and 10 <= out[abi.CLOSE].bytes_in <= 12
    assert 10 <= inn[abi.CLOSE].bytes_out <= 12 and 1000 <= inn[abi.CLOSE].bytes_in <= 1002
    assert inn[abi.OPEN].peer_identity == web.identity
    assert out[abi.CLOSE].cookie == out[abi.OPEN].cookie != 0

# SPDX-License-Identifier: Apache-2.0
"""NetworkPolicy in the kernel, on both sides, over every way out and in."""
import errno
import fcntl
import socket
import struct

import pytest

import abi
import actor

SOCK_UDP = socket.SOCK_DGRAM


def isolate(world, pod, direction, block=0, policy=9, flags=abi.ISOLATED, mesh=0):
    slots = {abi.INGRESS: abi.slot(), abi.EGRESS: abi.slot()}
    slots[direction] = abi.slot(block, policy, flags)
    world.set_pod(pod, mesh, slots[abi.INGRESS], slots[abi.EGRESS])


def identity_set(world, set, *pods):
    for pod in pods:
        world.driver.put("weir_idset", struct.pack("=II", set, pod.identity), abi.member())


def cidr_set(world, set, inside, *outside):
    world.driver.put("weir_cidr", abi.cidr_key(set, inside), abi.cidr_value(abi.IN))
    for net in outside:
        world.driver.put("weir_cidr", abi.cidr_key(set, net), abi.cidr_value(abi.OUT))


def served(pod, *ports, v6=False):
    server = pod.app()
    for port in ports:
        server.call(actor.listen, pod.v6 if v6 else pod.v4, port)
    return server


def refusal(client, ip, port):
    """None when it connects, else the errno."""
    try:
        client.call(actor.close, client.call(actor.connect, ip, port))
        return None
    except OSError as e:
        return e.errno


def denial(world, reason_pod):
    denials = [e for e in world.driver.events() if e.kind == abi.DENIED]
    assert denials, "no denial was reported"
    assert denials[-1].pod == reason_pod.id
    return denials[-1]


def test_default_deny_on_ingress_names_the_policy_that_isolates(world, web, store, counted):
    served(store, 8080)
    isolate(world, store, abi.INGRESS, policy=31)
    client = web.app()
    assert refusal(client, store.v4, 8080) == errno.EPERM
    e = denial(world, web)
    assert (e.policy, e.direction, e.remote, e.remote_port) == (31, abi.INGRESS, store.v4, 8080)
    assert counted("deny_ingress") == 1


@pytest.mark.guest("weir_sk_lookup")
def test_the_receiving_side_decides_for_itself(world, web, store, counted):
    """A caller that no program has judged (here: a cgroup declared none of ours) still meets the receiver's policy."""
    served(store, 8080)
    isolate(world, store, abi.INGRESS, policy=32)
    outside = world.cgroup_key(f"{web.cgroup}/app/inner")
    world.driver.put("weir_cgroup", outside, bytes(4) + bytes([abi.OUTSIDE, 0, 0, 0]))
    try:
        client = web.app("app/inner")
        assert refusal(client, store.v4, 8080) == errno.ECONNREFUSED
        e = denial(world, store)
        assert (e.policy, e.peer_identity, e.remote) == (32, web.identity, web.v4)
        assert refusal(client, store.v6, 8080) == errno.ECONNREFUSED
        assert counted("deny_ingress") == 2
    finally:
        world.driver.delete("weir_cgroup", outside)


def test_an_identity_is_let_in_and_another_is_not(world, web, api, store):
    served(store, 8080)
    identity_set(world, 40, web)
    world.rules(40, abi.rule(40, abi.IDENTITY, 40))
    isolate(world, store, abi.INGRESS, 40)
    assert refusal(web.app(), store.v4, 8080) is None
    assert refusal(api.app(), store.v4, 8080) == errno.EPERM


def test_an_unknown_source_has_no_identity(world, web, store):
    served(store, 8080)
    identity_set(world, 40, web)
    world.rules(40, abi.rule(40, abi.IDENTITY, 40))
    isolate(world, store, abi.INGRESS, 40)
    world.driver.delete("weir_ip", abi.addr(web.v4))
    try:
        # The caller's own side knows its pod; the receiver sees an address that is nobody's.
        assert refusal(web.app(), store.v4, 8080) == errno.ECONNREFUSED
    finally:
        world.driver.put("weir_ip", abi.addr(web.v4), struct.pack("=IIII", web.identity, web.id, 1, 0))


@pytest.mark.parametrize("family", ["v4", "v6", "mapped"])
def test_a_block_with_an_exception(world, web, api, store, family):
    served(store, 8080, v6=family == "v6")
    if family == "v6":
        cidr_set(world, 41, "fd77::/64", f"{api.v6}/128")
    else:
        cidr_set(world, 41, "10.77.0.0/16", f"{api.v4}/32")
    world.rules(41, abi.rule(41, abi.CIDR, 41))
    isolate(world, store, abi.INGRESS, 41)
    target = {"v4": store.v4, "v6": store.v6, "mapped": "::ffff:" + store.v4}[family]
    assert refusal(web.app(), target, 8080) is None
    assert refusal(api.app(), target, 8080) == errno.EPERM


def test_egress_to_a_block_with_an_exception(world, web, api, store):
    served(store, 8080)
    served(api, 8080)
    cidr_set(world, 42, "10.77.0.0/24", f"{api.v4}/32")
    world.rules(42, abi.rule(42, abi.CIDR, 42))
    isolate(world, web, abi.EGRESS, 42, policy=42)
    client = web.app()
    assert refusal(client, store.v4, 8080) is None
    assert refusal(client, api.v4, 8080) == errno.EPERM
    e = denial(world, web)
    assert (e.policy, e.direction, e.remote) == (42, abi.EGRESS, api.v4)
    # IPv6 and the mapped form are no way around.
    assert refusal(client, api.v6, 8080) == errno.EPERM
    assert refusal(client, "::ffff:" + api.v4, 8080) == errno.EPERM


def test_egress_is_judged_on_the_endpoint_not_on_the_service(world, web, api, store):
    served(store, 8080)
    world.service("10.96.2.1", 80, [(store, 8080, 1)], set=50)
    world.service("10.96.2.2", 80, [(api, 8080, 1)], set=51)
    identity_set(world, 43, store)
    world.rules(43, abi.rule(43, abi.IDENTITY, 43, ports=(8080, 8080), proto=abi.TCP))
    isolate(world, web, abi.EGRESS, 43)
    client = web.app()
    assert refusal(client, "10.96.2.1", 80) is None
    assert refusal(client, "10.96.2.2", 80) == errno.EPERM


def test_a_port_and_a_range_of_ports(world, web, store):
    served(store, 8079, 8080, 8085, 8090, 8091, 443)
    world.rules(44, abi.rule(44, ports=(8080, 8090), proto=abi.TCP), abi.rule(44, ports=(443, 443), proto=abi.TCP))
    isolate(world, store, abi.INGRESS, 44)
    client = web.app()
    got = {p: refusal(client, store.v4, p) for p in (8079, 8080, 8085, 8090, 8091, 443)}
    assert got == {8079: errno.EPERM, 8080: None, 8085: None, 8090: None, 8091: errno.EPERM, 443: None}


def test_a_rule_for_another_protocol_is_no_rule(world, web, store):
    served(store, 8080)
    world.rules(45, abi.rule(45, proto=abi.UDP))
    isolate(world, store, abi.INGRESS, 45)
    assert refusal(web.app(), store.v4, 8080) == errno.EPERM


def test_deny_stands_before_allow(world, web, api, store):
    served(store, 8080)
    identity_set(world, 46, web)
    world.rules(46, abi.rule(46, abi.IDENTITY, 46, flags=abi.DENY), abi.rule(47))
    isolate(world, store, abi.INGRESS, 46)
    assert refusal(web.app(), store.v4, 8080) == errno.EPERM
    assert denial(world, web).policy == 46
    assert refusal(api.app(), store.v4, 8080) is None


def test_rules_go_on_in_the_next_block(world, web, store):
    served(store, 8080)
    never = abi.rule(48, ports=(1, 1), proto=abi.TCP)
    world.driver.put("weir_rule", struct.pack("=I", 481), abi.block(481, [never] * 31 + [abi.rule(48, ports=(8080, 8080))]))
    world.driver.put("weir_rule", struct.pack("=I", 480), abi.block(480, [never] * 32, next=481))
    isolate(world, store, abi.INGRESS, 480)
    assert refusal(web.app(), store.v4, 8080) is None


def test_a_missing_block_is_a_denial(world, web, store, counted):
    served(store, 8080)
    isolate(world, store, abi.INGRESS, 99999)
    assert refusal(web.app(), store.v4, 8080) == errno.EPERM
    assert counted("deny_undecided") == 1


def test_audit_lets_pass_and_says_so(world, web, store, counted):
    served(store, 8080)
    isolate(world, store, abi.INGRESS, policy=33, flags=abi.ISOLATED | abi.AUDIT_SLOT)
    assert refusal(web.app(), store.v4, 8080) is None
    assert counted("allow_audit") >= 1 and counted("deny_ingress") == 0
    assert denial(world, store).policy == 33


def test_a_pod_reaches_itself_whatever_the_policy(world, store):
    server = store.app()
    server.call(actor.listen, "0.0.0.0", 8080)
    world.set_pod(store, 0, abi.slot(0, 9, abi.ISOLATED), abi.slot(0, 9, abi.ISOLATED))
    client = store.app()
    assert refusal(client, store.v4, 8080) is None
    assert refusal(client, "127.0.0.1", 8080) is None


def test_the_sidecar_is_under_the_pods_egress_policy(world, web, store):
    served(store, 8080)
    isolate(world, web, abi.EGRESS, mesh=abi.MESHED)
    assert refusal(web.sidecar(), store.v4, 8080) == errno.EPERM


def test_a_declared_probe_passes(world, web, store, counted):
    served(store, 8080)
    isolate(world, store, abi.INGRESS)
    key = abi.addr("10.77.0.254") + struct.pack("=IHH", store.id, 8080, 0)
    prober = actor.Actor(f"/proc/{world.switch.pid}/ns/net")
    try:
        assert refusal(prober, store.v4, 8080) == errno.ECONNREFUSED
        world.driver.put("weir_probe", key, b"\1")
        assert refusal(prober, store.v4, 8080) is None
        assert counted("allow_probe") == 1
    finally:
        world.driver.delete("weir_probe", key)
        prober.close()


def test_data_in_the_syn_is_no_way_around(world, web, store, counted):
    """sendto() with MSG_FASTOPEN connects without connect()."""
    isolate(world, web, abi.EGRESS)
    served(store, 8080)
    client = web.app()
    with pytest.raises(OSError) as e:
        client.call(fast_open, store.v4, 8080)
    assert e.value.errno == errno.EPERM
    assert counted("deny_egress") == 1
    world.set_pod(web)
    world.service("10.96.2.3", 80, [(store, 8080, 1)], set=52)
    assert client.call(fast_open, "10.96.2.3", 80) == ("10.96.2.3", 80)


def fast_open(ip, port):
    s = socket.socket()
    s.sendto(b"x", socket.MSG_FASTOPEN, (ip, port))
    return s.getpeername()


# UDP

def udp(pod, port=0):
    a = pod.app()
    return a, a.call(actor.listen, pod.v4, port, kind=SOCK_UDP)


def test_udp_egress_is_judged_on_sendto_and_on_connect(world, web, store, counted):
    isolate(world, web, abi.EGRESS)
    client, fd = udp(web)
    with pytest.raises(OSError) as e:
        client.call(actor.sendto, fd, b"x", store.v4, 53)
    assert e.value.errno == errno.EPERM
    with pytest.raises(OSError) as e:
        client.call(actor.connect, store.v4, 53, kind=SOCK_UDP)
    assert e.value.errno == errno.EPERM
    assert counted("deny_egress") == 2


def test_udp_ingress_is_judged_by_the_receiver(world, web, api, store):
    server, lid = udp(store, 5353)
    identity_set(world, 49, web)
    world.rules(49, abi.rule(49, abi.IDENTITY, 49, ports=(5353, 5353), proto=abi.UDP))
    isolate(world, store, abi.INGRESS, 49)
    stranger = actor.Actor(api.netns)  # in no pod's cgroup: no program judges it on the way out
    try:
        fd = stranger.call(actor.new, socket.AF_INET, SOCK_UDP)
        stranger.call(actor.sendto, fd, b"bad", store.v4, 5353)
        world.wait_count("deny_ingress", world.before["deny_ingress"] + 1)
        client, cfd = udp(web)
        client.call(actor.sendto, cfd, b"good", store.v4, 5353)
        assert server.call(actor.recvfrom, lid)[0] == b"good"
    finally:
        stranger.close()


def test_an_isolated_client_gets_answers_to_what_it_asked_and_nothing_else(world, web, api, store, counted):
    isolate(world, web, abi.INGRESS)
    server, lid = udp(store, 53)
    client, fd = udp(web)
    client.call(actor.sendto, fd, b"ask", store.v4, 53)
    data, peer = server.call(actor.recvfrom, lid)
    stranger = actor.Actor(api.netns)
    try:
        sfd = stranger.call(actor.new, socket.AF_INET, SOCK_UDP)
        stranger.call(actor.sendto, sfd, b"not asked", *peer)
        world.wait_count("deny_ingress", world.before["deny_ingress"] + 1)
    finally:
        stranger.close()
    server.call(actor.sendto, lid, b"answer", *peer)
    assert client.call(actor.recvfrom, fd) == (b"answer", (store.v4, 53))
    assert counted("allow_udp_answer") == 1


def test_an_answer_needs_no_egress_rule_and_anything_else_does(world, web, api, store):
    server, lid = udp(store, 53)
    isolate(world, store, abi.EGRESS)
    client, fd = udp(web)
    client.call(actor.sendto, fd, b"ask", store.v4, 53)
    _, peer = server.call(actor.recvfrom, lid)
    server.call(actor.sendto, lid, b"answer", *peer)
    assert client.call(actor.recvfrom, fd)[0] == b"answer"
    for ip, port in ((peer[0], peer[1] + 1), (api.v4, peer[1])):
        with pytest.raises(OSError) as e:
            server.call(actor.sendto, lid, b"not asked", ip, port)
        assert e.value.errno == errno.EPERM


# Kinds of sockets

@pytest.mark.guest("weir_sock_create")
def test_sockets_that_no_hook_could_judge_are_refused_to_pods(world, web, counted):
    a = web.app()
    for kind, proto, want in ((socket.SOCK_RAW, socket.IPPROTO_ICMP, errno.EPERM),
                              (socket.SOCK_RAW, socket.IPPROTO_RAW, errno.EPERM),
                              (socket.SOCK_STREAM, 262, errno.EPROTONOSUPPORT)):
        with pytest.raises(OSError) as e:
            a.call(actor.new, socket.AF_INET, kind, proto)
        assert e.value.errno == want
    assert counted("deny_socket") == 3
    a.call(ping_socket)


def ping_socket():
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:
        f.write("0 65535")
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()


@pytest.mark.guest("weir_skb_ingress")
def test_own_source_address_from_outside_is_dropped(world, web, store, counted):
    """An IPv6 SYN with source = destination through the veth, sent by the switch with a packet socket."""
    lid = store.app()
    lid.call(actor.listen, store.v6, 8080)
    world.before = world.driver.counts()
    sender = actor.Actor(f"/proc/{world.switch.pid}/ns/net")
    try:
        sender.call(forge_syn, store.app().call(hardware_address), store.v6, 8080, f"p{store.id}")
    finally:
        sender.close()
    assert world.wait_count("deny_spoofed", world.before["deny_spoofed"] + 1) > world.before["deny_spoofed"]


def hardware_address():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return fcntl.ioctl(s, 0x8927, struct.pack("256s", b"eth0"))[18:24]  # SIOCGIFHWADDR


def forge_syn(mac, ip, port, device):
    raw = socket.inet_pton(socket.AF_INET6, ip)
    tcp = struct.pack("!HHIIBBHHH", port, port, 1, 0, 5 << 4, 2, 65535, 0, 0)
    total = sum(struct.unpack("!16H", raw + raw)) + len(tcp) + 6 + sum(struct.unpack("!10H", tcp))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    tcp = tcp[:16] + struct.pack("!H", ~total & 0xffff) + tcp[18:]
    packet = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + raw + raw + tcp
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((device, 0))
    s.send(mac + b"\2\0\0\0\0\1" + b"\x86\xdd" + packet)
    s.close()

# SPDX-License-Identifier: Apache-2.0
"""Names in egress rules: what an answer binds before it can be read, what it does not, and how long it lasts."""
import errno
import os
import socket
import struct
import subprocess
import tempfile
import time

import pytest

import abi
import actor
import dnsmsg
from actor import Actor

UDP = socket.SOCK_DGRAM
SERVER, OTHER_SERVER, SERVER6 = "10.77.0.254", "10.77.0.253", "fd77::fe"
SITE, MIRROR, SITE6 = "198.51.100.7", "198.51.100.8", "fd99::7"  # no pod's
SET, POLICY = 60, 61
API, WILD, DEEP = 501, 502, 503  # patterns


class Outside:
    """Servers in the switch's own namespace, in no pod's cgroup: DNS on two addresses, and what names lead to."""

    def __init__(self, world):
        world._ip(world.switch.pid, f"addr add {OTHER_SERVER}/24 dev br0", f"addr add {SITE}/32 dev br0",
                  f"addr add {MIRROR}/32 dev br0", f"addr add {SERVER6}/64 dev br0 nodad",
                  f"addr add {SITE6}/128 dev br0 nodad")
        for pod in world.pods:
            world._ip(pod.holder.pid, f"route add fd99::/64 via {SERVER6}")
        self.actor = Actor(f"/proc/{world.switch.pid}/ns/net")
        self.dns = {ip: self.actor.call(actor.listen, ip, 53, kind=UDP) for ip in (SERVER, OTHER_SERVER, SERVER6)}
        self.tcp = self.actor.call(actor.listen, SERVER, 53)
        for ip in (SITE, MIRROR, SITE6):
            for port in (443, 80):
                self.actor.call(actor.listen, ip, port)

    def answer(self, fd, message):
        """Waits for one question there and answers with `message`, or what it makes of the question."""
        question, peer = self.actor.call(actor.recvfrom, fd)
        if callable(message):
            message = message(question)
        self.actor.call(actor.sendto, fd, message, *peer)


@pytest.fixture(scope="module")
def outside(everything):
    out = Outside(everything)
    yield out
    out.actor.close()


def isolate(world, pod, least=60, most=86400, grace=30, addresses=1000):
    """The pod may ask SERVER, and connect to port 443 of api.example.com and *.example.org."""
    world.driver.put("weir_cidr", abi.cidr_key(SET, f"{SERVER}/32"), abi.cidr_value(abi.IN))
    world.driver.put("weir_cidr", abi.cidr_key(SET, f"{OTHER_SERVER}/32"), abi.cidr_value(abi.IN))
    world.driver.put("weir_cidr", abi.cidr_key(SET, f"{SERVER6}/128"), abi.cidr_value(abi.IN))
    for pattern in (API, WILD):
        world.driver.put("weir_idset", abi.name_member(SET, pattern), abi.member())
    world.rules(SET, abi.rule(POLICY, abi.CIDR, SET, (53, 53)),
                abi.rule(POLICY, abi.NAME, SET, (443, 443), proto=abi.TCP))
    for text, pattern in (("api.example.com", API), ("*.example.org", WILD), ("*.deep.example.org", DEEP)):
        world.driver.put("weir_dns_pattern", abi.pattern_key(pod.id, text), struct.pack("=I", pattern))
    for ip in (SERVER, SERVER6):
        world.driver.put("weir_dns_server", abi.server_key(pod.id, ip), b"\1")
    world.driver.put("weir_dns_setting", bytes(4), abi.dns_setting(1, least, most, grace, addresses))
    world.set_pod(pod, abi.NAMES, egress=abi.slot(SET, POLICY, abi.ISOLATED))


@pytest.fixture
def names(world, web, outside):
    """The web pod under rules with names; afterwards nothing of it is left."""
    isolate(world, web)
    yield outside
    world.driver.put("weir_dns_setting", bytes(4), abi.dns_setting(0))
    for line in world.driver.ask("keys", "weir_dns_bound")[:-1]:
        world.driver.ask("delete", "weir_dns_bound", line)
    world.driver.put("weir_dns_used", struct.pack("=I", web.id), bytes(4))


@pytest.fixture
def told(world):
    before = world.driver.dns_counts()
    return lambda name: world.driver.dns_counts()[name] - before[name]


def ask(out, client, message, server=SERVER, connected=True):
    """One exchange: the pod has read the answer when this returns."""
    out.actor.begin(actor.recvfrom, out.dns[server])
    if connected:
        fd = client.call(actor.connect, server, 53, UDP)
        client.call(actor.send, fd, dnsmsg.question("unimportant"))
    else:
        fd = client.call(actor.new, socket.AF_INET6 if ":" in server else socket.AF_INET, UDP)
        client.call(actor.sendto, fd, dnsmsg.question("unimportant"), server, 53)
    _, peer = out.actor.end()
    out.actor.call(actor.sendto, out.dns[server], message, *peer)
    assert client.call(actor.recv, fd) == message
    client.call(actor.close, fd)


def refusal(client, ip, port=443):
    """None when it connects, else the errno."""
    try:
        client.call(actor.close, client.call(actor.connect, ip, port))
        return None
    except OSError as e:
        return e.errno


def bound(world, pod, ip):
    try:
        (raw,) = world.driver.ask("get", "weir_dns_bound", abi.bound_key(pod.id, ip).hex())
    except Exception:
        return None
    return abi.Bound(bytes.fromhex(raw))


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "unconnected"])
def test_an_address_is_reached_once_it_was_answered(world, web, names, told, connected):
    client = web.app()
    assert refusal(client, SITE) == errno.EPERM
    ask(names, client, dnsmsg.answer("api.example.com", SITE, MIRROR), connected=connected)
    assert refusal(client, SITE) is None and refusal(client, MIRROR) is None
    assert refusal(client, SITE, 80) == errno.EPERM  # the rule's port only
    assert told("bound") == 2 and told("answers") == 1
    b = bound(world, web, SITE)
    assert b.asked == "api.example.com" and list(b.until) == [API]


def test_six(world, web, names, told):
    client = web.app()
    assert refusal(client, SITE6) == errno.EPERM
    ask(names, client, dnsmsg.answer("API.Example.COM", SITE6, extra=dnsmsg.edns()), server=SERVER6)
    assert refusal(client, SITE6) is None
    assert refusal(client, "::ffff:" + SITE) == errno.EPERM


def test_a_mapped_address_is_the_same_address(web, names):
    client = web.app()
    ask(names, client, dnsmsg.answer("api.example.com", SITE))
    assert refusal(client, "::ffff:" + SITE) is None


@pytest.mark.parametrize("text,allowed", [
    ("www.example.org", True), ("a.b.example.org", True), ("example.org", False), ("badexample.org", False),
    ("example.org.evil.net", False), ("api.example.com", True), ("x.api.example.com", False),
    ("api.example.co", False), ("pi.example.com", False), ("www.deep.example.org", False), ("_srv.example.org", True),
])
def test_which_names_a_pattern_means(world, web, names, told, text, allowed):
    """www.deep.example.org: the narrowest pattern counts, and that one stands in no rule of this port."""
    client = web.app()
    ask(names, client, dnsmsg.answer(text, SITE))
    assert refusal(client, SITE) == (None if allowed else errno.EPERM)
    assert told("answers") == 1


def test_a_chain_of_cnames_is_the_name_that_was_asked(web, names):
    client = web.app()
    cdn = dnsmsg.name("edge.cdn.net")
    ask(names, client, dnsmsg.answer("api.example.com", dnsmsg.cname("edge.cdn.net"),
                                     dnsmsg.cname("a.edge.cdn.net", owner=cdn), dnsmsg.address(SITE, owner=cdn),
                                     kind=dnsmsg.A))
    assert refusal(client, SITE) is None


def test_another_pod_learns_nothing_from_it(world, web, api, names):
    isolate(world, api)
    ask(names, web.app(), dnsmsg.answer("api.example.com", SITE))
    assert refusal(api.app(), SITE) == errno.EPERM


def test_who_is_not_trusted_binds_nothing(world, web, names, told):
    client = web.app()
    ask(names, client, dnsmsg.answer("api.example.com", SITE), server=OTHER_SERVER)
    assert refusal(client, SITE) == errno.EPERM and told("answers") == 0


def test_an_answer_to_a_socket_that_asked_nobody(world, web, names, told):
    client = web.app()
    fd = client.call(actor.new, socket.AF_INET, UDP)
    client.call(actor.sendto, fd, b"x", OTHER_SERVER, 53)  # so that it has a port, and is known
    _, peer = names.actor.call(actor.recvfrom, names.dns[OTHER_SERVER])
    names.actor.call(actor.sendto, names.dns[SERVER], dnsmsg.answer("api.example.com", SITE), *peer)
    client.call(actor.recv, fd)
    assert told("unasked") == 1 and told("answers") == 0
    assert refusal(client, SITE) == errno.EPERM


def test_the_pod_is_not_its_own_server(world, web, names, told):
    """A process of the pod that has the server's address on lo, and answers itself."""
    world._ip(web.holder.pid, f"addr add {SERVER}/32 dev lo")
    world.rules(SET, abi.rule(POLICY, abi.CIDR, SET), abi.rule(POLICY, abi.NAME, SET, (443, 443), proto=abi.TCP))
    try:
        client, server = web.app(), web.app()
        sfd = server.call(actor.listen, SERVER, 53, kind=UDP)
        fd = client.call(actor.connect, SERVER, 53, UDP)
        client.call(actor.send, fd, b"x")
        _, peer = server.call(actor.recvfrom, sfd)
        server.call(actor.sendto, sfd, dnsmsg.answer("api.example.com", SITE), *peer)
        client.call(actor.recv, fd)
        assert told("answers") == 0 and refusal(client, SITE) == errno.EPERM
    finally:
        world._ip(web.holder.pid, f"addr del {SERVER}/32 dev lo")


@pytest.mark.parametrize("ip", ["127.0.0.1", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "255.255.255.255",
                                "::1", "::", "fe80::1", "ff02::1", "::ffff:198.51.100.7", "pod"])
def test_addresses_no_name_may_lead_to(world, web, api, names, told, ip):
    ip = api.v4 if ip == "pod" else ip
    ask(names, web.app(), dnsmsg.answer("api.example.com", ip, kind=dnsmsg.AAAA if ":" in ip else dnsmsg.A))
    assert told("address") == 1 and told("bound") == 0
    assert bound(world, web, ip) is None


def test_a_pod_is_never_reached_by_name(world, web, store, names):
    """It was an outside address when it was answered, and has become a pod's."""
    server = store.app()
    server.call(actor.listen, store.v4, 443)
    key = abi.addr(store.v4)
    world.driver.delete("weir_ip", key)
    try:
        client = web.app()
        ask(names, client, dnsmsg.answer("api.example.com", store.v4))
        assert refusal(client, store.v4) is None
    finally:
        world.driver.put("weir_ip", key, struct.pack("=IIII", store.identity, store.id, 1, 0))
    assert refusal(client, store.v4) == errno.EPERM


def cut(n):
    return dnsmsg.answer("api.example.com", SITE)[:-n]


@pytest.mark.parametrize("message,count", [
    (cut(1), "malformed"), (cut(16), "malformed"), (b"\0" * 11, "malformed"), (b"", None), (b"\0" * 12, "malformed"),
    (dnsmsg.answer("api.example.com", SITE, flags=0x0100), "malformed"),  # a question
    (dnsmsg.answer("api.example.com", SITE, questions=2), "malformed"),
    (dnsmsg.answer("api.example.com", SITE, questions=0), "malformed"),
    (dnsmsg.answer("api.example.com", SITE, flags=0x8380), "truncated"),
    (dnsmsg.answer("api.example.com", SITE, flags=0x8183), "other"),  # NXDOMAIN
    (dnsmsg.answer("api.example.com", SITE, flags=0xa980), "other"),  # another opcode
    (dnsmsg.answer("api.example.com", dnsmsg.record(b"hello", dnsmsg.TXT), kind=dnsmsg.TXT), "other"),
    (dnsmsg.answer("api.example.com", dnsmsg.address(SITE), kind=dnsmsg.AAAA), None),  # not what was asked
    (dnsmsg.answer("api.example.com", dnsmsg.record(b"\x01\x02\x03", dnsmsg.A)), "malformed"),
    (dnsmsg.answer("api.example.com", dnsmsg.record(b"x" * 16, dnsmsg.A)), "malformed"),
    (dnsmsg.answer("api.example.com", dnsmsg.address(SITE, owner=b"\x80\x01")), "malformed"),
    (dnsmsg.answer("api.example.com", count=1), "malformed"),
    (dnsmsg.answer("api.example.com", SITE).replace(b"\x03api", b"\xc0\x0c\x01i"), "malformed"),  # compressed question
    (dnsmsg.answer("x", SITE).replace(b"\x01x\0", b"\x0fapi.example.com\0"), "other"),  # dots within a label
    (dnsmsg.answer(".".join(["a" * 63] * 3 + ["a" * 61]), SITE), "other"),
    (dnsmsg.answer(".".join(["a" * 63] * 4), SITE), "malformed"),  # 257 bytes
    (dnsmsg.answer("", SITE), "other"),
])
def test_what_is_no_answer_binds_nothing(world, web, names, told, message, count):
    client = web.app()
    ask(names, client, message)
    assert told("bound") == 0
    if count:
        assert told(count) == 1
    assert refusal(client, SITE) == errno.EPERM


def test_a_pointer_is_not_followed_and_so_cannot_loop(web, names, told):
    client = web.app()
    head = len(dnsmsg.answer("api.example.com"))
    loop = struct.pack("!H", 0xc000 | head)  # to itself
    ask(names, client, dnsmsg.answer("api.example.com", dnsmsg.address(SITE, owner=loop)))
    assert refusal(client, SITE) is None and told("malformed") == 0


def test_many_addresses(world, web, names, told):
    client = web.app()
    many = [f"203.0.113.{i}" for i in range(130)] + [SITE]
    ask(names, client, dnsmsg.answer("api.example.com", *many))
    assert told("bound") == 128 and told("many") == 1
    assert bound(world, web, "203.0.113.127") and not bound(world, web, "203.0.113.128")
    assert refusal(client, SITE) == errno.EPERM


def test_a_message_beyond_what_is_read(world, web, names, told):
    client = web.app()
    long = dnsmsg.record(b"x" * 4200, dnsmsg.TXT)
    ask(names, client, dnsmsg.answer("api.example.com", dnsmsg.address(MIRROR), long, dnsmsg.address(SITE),
                                     kind=dnsmsg.A))
    assert told("long") == 1
    assert refusal(client, MIRROR) is None and refusal(client, SITE) == errno.EPERM


def test_no_more_addresses_than_a_pod_may_have(world, web, names, told):
    isolate(world, web, addresses=2)
    client = web.app()
    ask(names, client, dnsmsg.answer("api.example.com", "203.0.113.1", "203.0.113.2", SITE))
    assert told("bound") == 2 and told("full") == 1
    assert refusal(client, SITE) == errno.EPERM


def test_one_address_of_many_names(world, web, names, told):
    patterns = range(600, 600 + abi.NAME_SLOTS + 1)
    for p in patterns:
        world.driver.put("weir_dns_pattern", abi.pattern_key(web.id, f"n{p}.example.com"), struct.pack("=I", p))
    client = web.app()
    for p in patterns:
        ask(names, client, dnsmsg.answer(f"n{p}.example.com", SITE))
    assert list(bound(world, web, SITE).until) == list(patterns)[:-1]
    assert told("shared") == 1 and told("renewed") == abi.NAME_SLOTS - 1
    for p in patterns:
        world.driver.ask("delete", "weir_dns_pattern", abi.pattern_key(web.id, f"n{p}.example.com").hex())


@pytest.mark.parametrize("ttl,lasts", [(0, 90), (30, 90), (300, 330), (3000000, 86430), (0xffffffff, 90)])
def test_how_long_an_answer_lasts(world, web, names, ttl, lasts):
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    ask(names, web.app(), dnsmsg.answer("api.example.com", dnsmsg.address(SITE, ttl)))
    after = time.clock_gettime(time.CLOCK_MONOTONIC)
    assert int(before) + lasts <= bound(world, web, SITE).until[API] <= after + lasts


def expire(world, pod, ip, kept_s_ago=None):
    """As if its time had gone by."""
    b = bound(world, pod, ip)
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    kept = 0 if kept_s_ago is None else now - kept_s_ago * 10**9
    raw = struct.pack("=Q", kept) + struct.pack("=II", next(iter(b.until)), 1)
    raw = raw.ljust(8 + 8 * abi.NAME_SLOTS, b"\0") + b.asked.encode().ljust(abi.NAME_BYTES + 4, b"\0")
    world.driver.put("weir_dns_bound", abi.bound_key(pod.id, ip), raw)


def test_what_has_run_out_is_refused_until_it_is_answered_again(world, web, names):
    client = web.app()
    ask(names, client, dnsmsg.answer("api.example.com", SITE))
    expire(world, web, SITE)
    assert refusal(client, SITE) == errno.EPERM
    ask(names, client, dnsmsg.answer("api.example.com", SITE))
    assert refusal(client, SITE) is None


def test_an_address_with_a_live_socket_is_kept(world, web, names):
    client = web.app()
    ask(names, client, dnsmsg.answer("api.example.com", SITE))
    client.call(actor.connect, SITE, 443)
    expire(world, web, SITE)
    events, (checked, killed, _) = world.driver.revoke(web.netns)
    assert killed == 0 and bound(world, web, SITE).kept_ns > 0
    assert refusal(client, SITE) is None  # seen alive a moment ago
    expire(world, web, SITE, kept_s_ago=31)
    assert refusal(client, SITE) == errno.EPERM


def test_a_connection_is_reset_when_no_rule_names_it_any_more(world, web, names):
    client = web.app()
    ask(names, client, dnsmsg.answer("api.example.com", SITE))
    fd = client.call(actor.connect, SITE, 443)
    world.driver.delete("weir_idset", abi.name_member(SET, API))
    events, (_, killed, _) = world.driver.revoke(web.netns)
    assert killed == 1 and (events[0].policy, events[0].remote) == (POLICY, SITE)
    with pytest.raises(OSError):
        client.call(actor.recv, fd)


@pytest.mark.parametrize("pieces", [1, 2, 3], ids=["whole", "length_apart", "cut"])
def test_an_answer_over_tcp(world, web, names, told, pieces):
    """Whole, or behind its length in a segment of its own (then the boundary is lost), or cut in the middle."""
    client = web.app()
    fd = client.call(actor.connect, SERVER, 53)
    served, _ = names.actor.call(actor.accept, names.tcp)
    message = dnsmsg.answer("api.example.com", MIRROR, SITE)
    raw = struct.pack("!H", len(message)) + message
    cuts = {1: [raw], 2: [raw[:1], raw[1:]], 3: [raw[:-8], raw[-8:]]}[pieces]
    for part in cuts:
        names.actor.call(actor.send, served, part)
        assert client.call(actor.recv, fd) == part
    assert refusal(client, MIRROR) == (errno.EPERM if pieces == 2 else None)
    assert refusal(client, SITE) == (None if pieces == 1 else errno.EPERM)
    assert told("long") == (pieces > 1)


def test_answers_over_one_tcp_connection(web, names, told):
    """Several in a segment, one after the other; and nothing that only looks like one within another."""
    client = web.app()
    fd = client.call(actor.connect, SERVER, 53)
    served, _ = names.actor.call(actor.accept, names.tcp)

    def framed(m):
        return struct.pack("!H", len(m)) + m
    lure = framed(dnsmsg.answer("api.example.com", SITE))
    hostile = framed(dnsmsg.answer("evil.net", dnsmsg.record(lure * 40, dnsmsg.TXT), kind=dnsmsg.TXT))
    at = hostile.index(lure)
    for part in (hostile[:at], hostile[at:], framed(dnsmsg.answer("x.net")) + framed(dnsmsg.answer("www.example.org", MIRROR))):
        names.actor.call(actor.send, served, part)
        got = b""
        while len(got) < len(part):
            got += client.call(actor.recv, fd)
    assert refusal(client, SITE) == errno.EPERM
    assert refusal(client, MIRROR) is None


def test_a_balanced_server_answers_as_its_endpoint(world, web, names):
    """The service's address is asked; the answer comes from the endpoint, which is the one that is listed."""
    world.service("10.96.0.10", 53, [(SERVER, 53, 1)], abi.UDP)
    ask_service = dnsmsg.question("api.example.com")
    client = web.app()
    for connected in (True, False):
        ip = SITE if connected else MIRROR
        names.actor.begin(actor.recvfrom, names.dns[SERVER])
        if connected:
            fd = client.call(actor.connect, "10.96.0.10", 53, UDP)
            client.call(actor.send, fd, ask_service)
        else:
            fd = client.call(actor.new, socket.AF_INET, UDP)
            client.call(actor.sendto, fd, ask_service, "10.96.0.10", 53)
        _, peer = names.actor.end()
        names.actor.call(actor.sendto, names.dns[SERVER], dnsmsg.answer("api.example.com", ip), *peer)
        assert client.call(actor.recvfrom, fd)[1] == ("10.96.0.10", 53)
        assert refusal(client, ip) is None
    world.driver.ask("delete", "weir_svc", abi.svc_key("10.96.0.10", 53, abi.UDP).hex())


def resolve(server, name):
    """getaddrinfo() with this server alone in resolv.conf, and connect() to every address at once."""
    if actor.libc.unshare(actor.CLONE_NEWNS) != 0:
        raise OSError(0, "unshare")
    with tempfile.NamedTemporaryFile("w") as f:
        f.write(f"nameserver {server}\noptions timeout:2 attempts:2\n")
        f.flush()
        os.chmod(f.name, 0o644)
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "--bind", f.name, "/etc/resolv.conf"], check=True)
        found = []
        for *_, where in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM):
            with socket.create_connection(where[:2], actor.WAIT):
                found.append(where[0])
        return sorted(found)


def test_getaddrinfo_and_connect(web, names, told):
    client = web.app()
    client.begin(resolve, SERVER, "www.example.org")
    for _ in range(2):  # A and AAAA, in any order
        def reply(question):
            text, kind, ident = dnsmsg.asked(question)
            assert text == "www.example.org"
            return dnsmsg.answer(text, SITE if kind == dnsmsg.A else SITE6, kind=kind, ident=ident)
        names.answer(names.dns[SERVER], reply)
    assert client.end() == sorted([SITE, SITE6])
    assert told("bound") == 2

# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 telemetry without a proxy: what the packet programs tell of exchanges between real sockets, and that they say when
they saw too little."""
import os
import random
import socket
import struct
import subprocess
import time

import pytest

import abi
import actor
import streams

VIP, VIP6, PORT, SERVICE = "10.96.7.1", "fd96::7:1", 80, 71
SERVER = """
import http.server, socketserver, sys
http.server.SimpleHTTPRequestHandler.protocol_version = "HTTP/1.1"
socketserver.TCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((sys.argv[1], 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def watched(world, web, store):
    """The service is asked to be looked at, at both ends."""
    world.service(VIP, PORT, [(store, 8080, 1)], flags=abi.SVC_HTTP, number=SERVICE, set=71)
    world.service(VIP6, PORT, [(store, 8080, 1)], flags=abi.SVC_HTTP, number=SERVICE, set=72)
    world.driver.put("weir_http", at(store, 8080), SERVICE.to_bytes(4, "little"))
    world.driver.ask("http", 1)
    world.driver.exchanges()
    world.http_before = world.driver.http_counts()
    yield world
    world.driver.ask("http", 0)
    world.driver.delete("weir_http", at(store, 8080))
    for ip in (VIP, VIP6):
        world.driver.delete("weir_svc", abi.svc_key(ip, PORT))
    world.driver.ask("epoch")


def at(pod, port):
    return pod.id.to_bytes(4, "little") + port.to_bytes(2, "little") + bytes([abi.TCP, 0])


class Pair:
    """A connection of the client with the service, both ends in our hands."""

    def __init__(self, client, server, ip=VIP, back="v4", port=8080):
        self.client, self.server = client.app(), server.app()
        self.lid = self.server.call(actor.listen, getattr(server, back), port)
        self.fd = self.client.call(actor.connect, ip, PORT)
        self.sid, _ = self.server.call(actor.accept, self.lid)

    def ask(self, *pieces):
        """Each piece is a segment of its own: it has arrived before the next is sent."""
        for piece in pieces:
            self.client.call(actor.send, self.fd, piece)
            left = len(piece)
            while left:
                left -= len(self.server.call(actor.recv, self.sid, left))

    def answer(self, *pieces):
        for piece in pieces:
            self.server.call(actor.send, self.sid, piece)
            left = len(piece)
            while left:
                left -= len(self.client.call(actor.recv, self.fd, left))

    def close(self):
        self.client.call(actor.close, self.fd)
        self.server.call(actor.close, self.sid, self.lid)


def told(world, n, side=abi.EGRESS):
    """The next n exchanges as one side tells them; the kernel runs the programs at its own pace."""
    got, end = [], time.monotonic() + 10
    while len(got) < n and time.monotonic() < end:
        got += [e for e in world.driver.exchanges() if e.direction == side]
    return got


def counts(world):
    now = world.driver.http_counts()
    return {k: v - world.http_before[k] for k, v in now.items() if v != world.http_before[k]}


def lines(world, n, side=abi.EGRESS):
    return [e.line() for e in told(world, n, side)]


@pytest.mark.guest("weir_http_egress", "weir_http_ingress")
def test_an_exchange_is_told_at_both_ends_with_its_addresses(watched, web, store):
    p = Pair(web, store)
    p.ask(b"GET /cart/7?token=secret HTTP/1.1\r\nHost: shop\r\n\r\n")
    p.answer(OK)
    both = sorted((e for e in watched.driver.exchanges()), key=lambda e: e.direction)
    assert [e.line() for e in both] == [("GET", "/cart/7", 200)] * 2
    server, client = both
    assert (server.direction, client.direction) == (abi.INGRESS, abi.EGRESS)
    assert (client.local, client.remote, client.remote_port) == (web.v4, store.v4, 8080)
    assert (client.original, client.original_port) == (VIP, PORT)
    assert (server.local, server.local_port, server.remote) == (store.v4, 8080, web.v4)
    for e, pod in ((client, web), (server, store)):
        assert (e.pod, e.identity, e.service, e.version) == (pod.id, pod.identity, SERVICE, 1)
        assert e.flags == abi.HTTP_QUERY and e.cookie != 0
        assert 0 < e.began_ns <= e.answered_ns
    assert counts(watched) == {"seen": 2}


def test_ipv6_and_v4_mapped_callers_are_told_too(watched, web, store):
    p = Pair(web, store, VIP6, "v6")
    p.ask(b"PUT /six HTTP/1.1\r\n\r\n")
    p.answer(OK)
    p.close()
    q = Pair(web, store, "::ffff:" + VIP)
    q.ask(b"PUT /mapped HTTP/1.1\r\n\r\n")
    q.answer(OK)
    got = told(watched, 2)
    assert [e.line() for e in got] == [("PUT", "/six", 200), ("PUT", "/mapped", 200)]
    assert [(e.local, e.original) for e in got] == [(web.v6, VIP6), (web.v4, VIP)]


def test_a_request_and_an_answer_byte_by_byte_are_one_exchange(watched, web, store):
    p = Pair(web, store)
    request, answer = b"DELETE /a/b?q HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n"
    for _ in range(2):
        p.ask(*[request[i:i + 1] for i in range(len(request))])
        p.answer(*[answer[i:i + 1] for i in range(len(answer))])
    assert lines(watched, 2) == [("DELETE", "/a/b", 404)] * 2
    assert set(counts(watched)) == {"seen"}


def test_a_request_is_the_same_wherever_it_is_cut(watched, web, store):
    p = Pair(web, store)
    request = b"POST /order?x=1 HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"
    cuts = range(1, 28)
    for i in cuts:
        p.ask(request[:i], request[i:])
        p.answer(b"HTTP/1.0 201 Created\r\n\r\n")
    got = told(watched, len(cuts))
    assert {(*e.line(), e.version) for e in got} == {("POST", "/order", 201, 0)}
    assert len(got) == len(cuts) and set(counts(watched)) == {"seen"}


def test_keep_alive_with_bodies_both_ways(watched, web, store):
    p = Pair(web, store)
    body = random.Random(7).randbytes(200000)
    for i in range(5):
        p.ask(b"POST /up/%d HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" % i + body)
        p.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + body)
    assert lines(watched, 5) == [("POST", f"/up/{i}", 200) for i in range(5)]
    assert set(counts(watched)) == {"seen"}


def test_interim_answers_are_not_the_answer(watched, web, store):
    p = Pair(web, store)
    p.ask(b"POST /wait HTTP/1.1\r\nExpect: 100-continue\r\n\r\n")
    p.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
    p.ask(b"GET /body HTTP/1.1\r\n\r\n")  # what it uploads looks like a request, and is none
    p.answer(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 503 No\r\n\r\n")
    assert lines(watched, 1) == [("POST", "/wait", 503)]
    assert set(counts(watched)) == {"seen"}


def test_an_upgrade_is_told_and_its_bytes_are_not_looked_at(watched, web, store):
    p = Pair(web, store)
    p.ask(b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
    p.answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    p.ask(b"GET /not-http HTTP/1.1\r\n\r\n")
    p.answer(OK)
    assert lines(watched, 1) == [("GET", "/chat", 101)]
    assert counts(watched) == {"seen": 2}


def test_pipelined_answers_are_counted_as_not_told(watched, web, store):
    p = Pair(web, store)
    p.ask(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", b"GET /3 HTTP/1.1\r\n\r\n")
    p.answer(OK, OK, OK)
    assert lines(watched, 1) == [("GET", "/1", 200)]
    p.ask(b"GET /4 HTTP/1.1\r\n\r\n")
    p.answer(OK)
    assert lines(watched, 1) == [("GET", "/4", 200)]
    assert counts(watched) == {"seen": 4, "pipelined": 4}


@pytest.mark.parametrize("first, reason", [
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not_http1"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "encrypted"),
    (bytes(range(256)), "not_http1"),
    (b"EHLO there\r\n", "not_http1"),
    (b"GET /old\r\n", "not_http1"),
    (b"AVERYLONGMETHODNAME / HTTP/1.1\r\n\r\n", "not_http1"),
    (b"x" * 5000, "not_http1"),
], ids=["http2", "tls", "binary", "smtp", "http09", "long_method", "long_junk"])
def test_another_protocol_is_reported_once_and_left_alone(watched, web, store, first, reason):
    p = Pair(web, store)
    for _ in range(3):
        p.ask(first)
        p.answer(b"HTTP/1.1 200 OK\r\n\r\n")
    p.ask(b"GET /later HTTP/1.1\r\n\r\n")
    p.answer(OK)
    assert watched.driver.exchanges() == []
    assert counts(watched) == {reason: 2}


def test_a_server_that_speaks_first_is_another_protocol(watched, web, store):
    p = Pair(web, store)
    p.answer(b"220 mail\r\n")
    p.ask(b"HELO x\r\n")
    assert counts(watched) == {"not_http1": 2}


def test_junk_instead_of_an_answer(watched, web, store):
    p = Pair(web, store)
    p.ask(b"GET / HTTP/1.1\r\n\r\n")
    p.answer(b"no idea")
    assert watched.driver.exchanges() == []
    assert counts(watched) == {"not_http1": 2}


def test_a_huge_path_is_cut(watched, web, store):
    p = Pair(web, store)
    p.ask(b"GET /" + b"p" * 30000 + b"?secret HTTP/1.1\r\n\r\n")
    p.answer(OK)
    p.ask(*[b"GET /" + b"q" * 100] + [b"q" * 100] * 5 + [b" HTTP/1.1\r\n\r\n"])
    p.answer(OK)
    got = told(watched, 2)
    assert [e.line() for e in got] == [("GET", "/" + c * 127, 200) for c in "pq"]
    assert all(e.flags & abi.HTTP_CUT for e in got)


def test_a_long_query_never_leaves_the_kernel(watched, web, store):
    p = Pair(web, store)
    p.ask(b"GET /find?" + b"s" * 3000 + b" HTTP/1.1\r\n\r\n")
    p.answer(OK)
    [e] = told(watched, 1)
    assert e.line() == ("GET", "/find", 200) and e.flags == abi.HTTP_QUERY


def test_of_a_whole_url_only_the_path_is_kept(watched, web, store):
    p = Pair(web, store)
    p.ask(b"GET http://user:pass@shop/cart HTTP/1.1\r\n\r\n")
    p.answer(OK)
    p.ask(b"OPTIONS * HTTP/1.1\r\n\r\n")
    p.answer(OK)
    p.ask(b"CONNECT shop:443 HTTP/1.1\r\n\r\n")
    p.answer(b"HTTP/1.1 200 OK\r\n\r\n")
    assert lines(watched, 3) == [("GET", "/cart", 200), ("OPTIONS", "*", 200), ("CONNECT", "", 200)]


def test_a_request_without_an_answer_is_told_when_the_connection_ends(watched, web, store):
    p = Pair(web, store)
    p.ask(b"GET /hang HTTP/1.1\r\n\r\n")
    p.close()
    assert lines(watched, 1) == [("GET", "/hang", 0)]


def test_an_early_answer_leaves_the_rest_of_the_upload_untold(watched, web, store):
    p = Pair(web, store)
    p.ask(b"POST /big HTTP/1.1\r\nContent-Length: 50\r\n\r\n" + b"x" * 20)
    p.answer(b"HTTP/1.1 413 Too Large\r\n\r\n")
    p.ask(b"\0" * 30)
    assert lines(watched, 1) == [("POST", "/big", 413)]
    p.answer(b"HTTP/1.1 400 Bad\r\n\r\n")
    p.ask(b"GET /next HTTP/1.1\r\n\r\n")
    p.answer(OK)
    assert lines(watched, 1) == [("GET", "/next", 200)]
    assert counts(watched) == {"seen": 4, "no_head": 2}


def test_a_connection_from_before_is_told_from_its_next_exchange_on(world, web, store):
    world.service(VIP, PORT, [(store, 8080, 1)], number=SERVICE, set=71)
    p = Pair(web, store)
    p.ask(b"GET /unseen HTTP/1.1\r\n\r\n")
    world.service(VIP, PORT, [(store, 8080, 1)], number=SERVICE, set=71, flags=abi.SVC_HTTP)
    world.driver.ask("epoch")
    world.driver.ask("http", 1)
    world.driver.exchanges()
    world.http_before = world.driver.http_counts()
    p.answer(OK)
    p.ask(b"GET /seen HTTP/1.1\r\n\r\n")
    p.answer(OK)
    try:
        assert lines(world, 1) == [("GET", "/seen", 200)]
        assert counts(world) == {"seen": 1, "late": 1}
    finally:
        world.driver.ask("http", 0)
        world.driver.delete("weir_svc", abi.svc_key(VIP, PORT))


def test_what_nobody_asked_for_is_not_looked_at(watched, web, store):
    watched.service("10.96.7.9", PORT, [(store, 8081, 1)], number=72, set=73)
    p = Pair(web, store, "10.96.7.9", port=8081)
    p.ask(b"GET /private HTTP/1.1\r\n\r\n")
    p.answer(OK)
    assert watched.driver.exchanges() == []
    assert counts(watched) == {}


def chat(fd, n):
    for _ in range(n):
        actor.send(fd, b"GET / HTTP/1.1\r\n\r\n")
        actor.recv(fd)


def serve(fd, n):
    for _ in range(n):
        actor.recv(fd)
        actor.send(fd, OK)


def test_a_full_ring_loses_records_and_says_so(watched, web, store):
    p = Pair(web, store)
    n = 262144 // 256 // 2 + 60  # two records each, of 248 bytes and a header of 8
    p.server.begin(serve, p.sid, n)
    p.client.call(chat, p.fd, n)
    p.server.end()
    got = counts(watched)
    assert got["ring_full"] > 0 and got["seen"] + got["ring_full"] == 2 * n
    assert len(watched.driver.exchanges()) == got["seen"]


class Wire:
    """Frames towards a pod, seen and sent by the switch."""

    def __init__(self, world, pod):
        self.switch = actor.Actor(f"/proc/{world.switch.pid}/ns/net")
        self.fd = self.switch.call(tap, f"p{pod.id}")

    def next(self, text):
        return self.switch.call(frame_with, self.fd, text)

    def send(self, frame):
        self.switch.call(put_frame, self.fd, frame)


def tap(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((name, 0))
    s.settimeout(actor.WAIT)
    return actor._keep(s)


def frame_with(fd, text):
    while True:
        frame = actor.SOCKS[fd].recv(65536)
        if frame.endswith(text):
            return frame


def put_frame(fd, frame):
    actor.SOCKS[fd].send(frame)


def moved(frame, by, text):
    """The frame as a segment that begins `by` bytes later and carries the text."""
    ip, tcp = bytearray(frame[14:34]), bytearray(frame[34:34 + (frame[46] >> 4) * 4])
    tcp[4:8] = struct.pack("!I", (struct.unpack("!I", tcp[4:8])[0] + by) & 0xffffffff)
    ip[2:4] = struct.pack("!H", len(ip) + len(tcp) + len(text))
    ip[10:12] = tcp[16:18] = b"\0\0"
    ip[10:12] = struct.pack("!H", checksum(ip))
    pseudo = ip[12:20] + struct.pack("!HH", 6, len(tcp) + len(text))
    tcp[16:18] = struct.pack("!H", checksum(pseudo + tcp + text))
    return frame[:14] + bytes(ip) + bytes(tcp) + text


def checksum(data):
    data = bytes(data) + b"\0" * (len(data) % 2)
    n = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    n = (n & 0xffff) + (n >> 16)
    return ~((n & 0xffff) + (n >> 16)) & 0xffff


def test_a_segment_that_comes_twice_is_read_once(watched, web, store):
    p, request = Pair(web, store), b"GET /once HTTP/1.1\r\n\r\n"
    wire = Wire(watched, store)
    p.ask(request)
    frame = wire.next(request)
    p.answer(OK)
    for by, text in ((0, request), (-10, b"x" * 10 + request[:5]), (5, request[5:9])):
        wire.send(moved(frame, by, text))
    p.ask(b"GET /two HTTP/1.1\r\n\r\n")
    p.answer(OK)
    wire.switch.close()
    assert lines(watched, 2, abi.INGRESS) == [("GET", "/once", 200), ("GET", "/two", 200)]
    assert counts(watched) == {"seen": 4}


def test_a_segment_ahead_of_its_turn_is_a_gap_and_the_next_exchange_is_told(watched, web, store):
    p, request = Pair(web, store), b"GET /one HTTP/1.1\r\n\r\n"
    wire = Wire(watched, store)
    p.ask(request)
    frame = wire.next(request)
    p.answer(OK)
    late = b"GET /two HTTP/1.1\r\nX: y\r\n\r\n"
    wire.send(moved(frame, len(request) + 10, late[10:]))
    watched_gap(watched)
    p.ask(late)  # TCP has its end already; the server reads all of it
    p.answer(OK)
    p.ask(b"GET /three HTTP/1.1\r\n\r\n")
    p.answer(OK)
    wire.switch.close()
    assert lines(watched, 2, abi.INGRESS) == [("GET", "/one", 200), ("GET", "/three", 200)]
    assert counts(watched) == {"seen": 5, "gap": 1}


def watched_gap(world):
    end = time.monotonic() + 10
    while "gap" not in counts(world) and time.monotonic() < end:
        pass


def test_curl_and_http_server(watched, web, store, tmp_path):
    """Real programs, a keep-alive connection with several requests in it."""
    (tmp_path / "page").write_bytes(b"p" * 100000)
    server = spawn(store, ["/usr/bin/python3", "-c", SERVER, store.v4], tmp_path)
    try:
        wait_open(store, 8080)
        client = spawn(web, ["curl", "-s", "-m", "8", "-o", "/dev/null", f"http://{VIP}/page", "-o", "/dev/null",
                             f"http://{VIP}/page?a=b", "-o", "/dev/null", f"http://{VIP}/none"], tmp_path)
        assert client.wait() == 0
        head = spawn(web, ["curl", "-s", "-I", "-m", "8", "-0", "-o", "/dev/null", f"http://{VIP}/page"], tmp_path)
        assert head.wait() == 0
    finally:
        server.kill()
        server.wait()
    got = told(watched, 4)
    assert [e.line() for e in got] == [("GET", "/page", 200), ("GET", "/page", 200), ("GET", "/none", 404), ("HEAD", "/page", 200)]
    assert got[0].cookie == got[2].cookie != got[3].cookie


@pytest.fixture
def joining(watched, web, store):
    refused = streams.join_test(watched)[0]
    if refused:
        pytest.skip(refused)
    watched.driver.ask("flags", abi.HOLD | abi.JOIN_ON)
    for pod in (web, store):
        watched.set_pod(pod, flags=abi.JOIN | abi.JOIN_READER)
    yield watched
    watched.driver.ask("flags", abi.HOLD)


def test_a_watched_connection_is_not_joined(joining, web, store, counted):
    p = Pair(web, store)
    p.ask(b"GET /plain HTTP/1.1\r\n\r\n")
    p.answer(OK)
    assert lines(joining, 1) == [("GET", "/plain", 200)]
    assert counted("join_watched") >= 1 and counted("join_began") == 0


def test_a_joined_connection_goes_back_to_tcp_when_it_is_watched(joining, web, store, counted):
    joining.service(VIP, PORT, [(store, 8080, 1)], number=SERVICE, set=71)
    joining.driver.delete("weir_http", at(store, 8080))
    p = Pair(web, store)
    p.ask(b"GET /joined HTTP/1.1\r\n\r\n")
    p.answer(OK)
    assert counted("join_began") == 2
    joining.service(VIP, PORT, [(store, 8080, 1)], number=SERVICE, set=71, flags=abi.SVC_HTTP)
    joining.driver.put("weir_http", at(store, 8080), SERVICE.to_bytes(4, "little"))
    joining.driver.ask("epoch")
    joining.driver.exchanges()
    for path in (b"/1", b"/2"):
        p.ask(b"GET %s HTTP/1.1\r\n\r\n" % path)
        p.answer(OK)
    assert counted("join_watched") == 2
    assert lines(joining, 2) == [("GET", "/1", 200), ("GET", "/2", 200)]


def spawn(pod, command, cwd):
    """A program in the pod: in its cgroup before it runs, in its network namespace."""
    enter = "echo $$ > %s/app/cgroup.procs && exec nsenter --net=%s \"$@\"" % (pod.cgroup, pod.netns)
    return subprocess.Popen(["/bin/sh", "-c", enter, "sh", *command], cwd=cwd, stdout=subprocess.DEVNULL,
                            stderr=open(os.environ.get("WEIR_KERN_LOG", "/dev/null"), "a"))


def wait_open(pod, port):
    hex_port = f":{port:04X}"
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with open(f"/proc/{pod.holder.pid}/net/tcp") as f:
            if any(line.split()[1].endswith(hex_port) and line.split()[3] == "0A" for line in f.readlines()[1:]):
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens at {port}")

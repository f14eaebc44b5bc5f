# SPDX-License-Identifier: Apache-2.0
"""Joined sockets carry every byte, in order, in bounded memory, for readers that may be handed them and nobody else, and can be
turned off under load."""
import errno
import socket
import struct
import time

import pytest

import abi
import actor
import streams
from world import World

LIMIT, MESSAGES = 1 << 20, 1024  # WEIR_JOIN_BYTES, WEIR_JOIN_MESSAGES
TCP_BUFFERS = 8 << 20            # what a socket that reads nothing may hold by TCP beside it
DECLARED = abi.JOIN | abi.JOIN_READER


@pytest.fixture(scope="module")
def refused(everything):
    return streams.join_test(everything)[0]


@pytest.fixture
def on(world, refused):
    """Joining is on and `web` is declared."""
    if refused:
        pytest.skip(refused)
    world.driver.ask("flags", abi.HOLD | abi.JOIN_ON)
    world.set_pod(world.pods[0], flags=DECLARED)
    yield world
    world.driver.ask("flags", abi.HOLD)


def look(world):
    return [int(n) for n in world.driver.ask("look")]


def until(what):
    """The kernel tells of closes at its own pace."""
    end = time.monotonic() + actor.WAIT
    while not what() and time.monotonic() < end:
        pass
    return what()


@pytest.mark.parametrize("ip,to", [("127.0.0.1", None), ("::1", None), ("127.0.0.1", "::ffff:127.0.0.1"), ("10.77.0.1", None),
                                   ("fd77::1", None)])
def test_every_byte_arrives_once_and_in_order_whatever_sizes_and_pauses(on, web, counted, ip, to):
    app = web.app()
    for seed in (1, 2):
        sent, received, answered, got = app.call(streams.both_ways, seed, 8_000_000, ip, to)
        assert sent == received and answered == got and sent and got
    assert counted("join_began") >= 4
    assert counted("join_full") >= 1, "the bound was never met: this test proves less than it should"


def test_a_half_closed_connection_still_answers(on, web, counted):
    app = web.app()
    c, s = app.call(streams.keep_pair)
    app.call(actor.send, c, b"question")
    app.call(shut, c)
    assert app.call(streams.read_to_end, s) == (b"question", "end")
    app.call(actor.send, s, b"answer")
    app.call(actor.close, s)
    assert app.call(streams.read_to_end, c) == (b"answer", "end")
    assert counted("join_began") == 2


def shut(fd):
    actor.SOCKS[fd].shutdown(socket.SHUT_WR)


def test_what_was_written_before_a_close_is_read(on, web, counted):
    app = web.app()
    c, s = app.call(streams.keep_pair)
    app.call(actor.send, c, b"x" * 50000)
    app.call(actor.close, c)
    data, how = app.call(streams.read_to_end, s)
    assert (len(data), how) == (50000, "end")
    assert counted("join_began") == 1


def test_a_reset_reaches_both_sides(on, web):
    app = web.app()
    c, s = app.call(streams.keep_pair)
    assert app.call(streams.echo, c, s, b"hello")
    app.call(streams.abort, s)
    assert app.call(streams.read_to_end, c)[1] == errno.ECONNRESET
    assert app.call(streams.write_until_refused, c) in (errno.EPIPE, errno.ECONNRESET)
    c, s = app.call(streams.keep_pair)
    app.call(actor.send, c, b"unread")
    app.call(actor.close, s)
    assert app.call(streams.write_until_refused, c) in (errno.EPIPE, errno.ECONNRESET)


def test_readers_that_do_not_read_hold_bounded_memory(on, web, counted):
    n = 32
    app = web.app()
    fds = [app.call(streams.keep_pair) for _ in range(n)]
    taken = [app.call(streams.fill, c, 65536) for c, _ in fds]
    assert max(taken) < LIMIT + 2 * TCP_BUFFERS
    sockets, _, queued, most = look(on)
    assert sockets == 2 * n
    assert most <= LIMIT + TCP_BUFFERS and queued <= n * (LIMIT + TCP_BUFFERS)
    assert counted("join_full") == n
    for (c, s), size in zip(fds, taken):
        assert app.call(streams.drain, s, size) == 0
    assert look(on)[2] == 0


def test_one_byte_writes_are_bounded_by_their_number(on, web, counted):
    """Each costs the kernel a message beside its byte: a bound in bytes alone would allow a gigabyte."""
    app = web.app()
    c, s = app.call(streams.keep_pair)
    assert app.call(streams.fill, c, 1, 5000) == 5000
    assert counted("join_full") == 1
    app.call(actor.close, c)
    on.driver.events()
    assert app.call(streams.drain, s, 5000) == 0


def test_a_direction_is_joined_again_when_its_reader_has_caught_up(on, web, counted):
    app = web.app()
    c, s = app.call(streams.keep_pair)
    n = app.call(streams.fill, c, 65536)
    assert app.call(streams.drain, s, n) == 0
    for _ in range(3):
        assert app.call(streams.echo, c, s, b"after")
    assert counted("join_began") == 2


def test_a_thousand_sockets(on, web, counted):
    app = web.app()
    fds, right = app.call(streams.many, 500)
    assert right == 1000
    assert counted("join_entered") == 1000 and counted("join_began") == 1000
    assert look(on)[0] == 1000
    app.call(actor.close, *fds)
    assert until(lambda: look(on)[0] == 0), "records are left of closed sockets"


def test_fionread_peek_and_edges_are_what_they_are_without(on, web):
    app = web.app()
    c, s = app.call(streams.keep_pair)
    for flags in (abi.JOIN_ON, 0, abi.JOIN_ON):
        on.driver.ask("flags", abi.HOLD | flags)
        app.call(actor.send, c, b"four")
        assert app.call(actor.waiting, s)
        assert app.call(streams.inq, s) == 4
        assert app.call(streams.peek, s) == (b"fou", b"fo", b"ur")
        assert app.call(streams.edges, c, s, 3) == [1, 0] * 3


def test_turning_it_off_and_on_under_load_loses_nothing(on, web, counted):
    app = web.app()
    lid = app.call(actor.listen, "127.0.0.1", 7100)
    fd = app.call(actor.connect, "127.0.0.1", 7100)
    app.begin(serve_and_send, lid, fd, 60_000_000)
    switched = 0
    while not ready(app):
        switched += 1
        on.driver.ask("flags", abi.HOLD | (0 if switched % 2 else abi.JOIN_ON))
    assert app.end() is True
    assert switched > 10 and counted("join_off") >= 3 and counted("join_began") >= 1


def serve_and_send(lid, fd, total):
    import threading
    t = threading.Thread(target=streams.serve_digest, args=(lid, total))
    t.start()
    same = streams.send_digest(fd, 5, total)
    t.join()
    return same


def ready(a):
    import select
    return bool(select.select([a.pipe], [], [], 0.001)[0])


def test_switched_off_nothing_enters(on, web, counted):
    on.driver.ask("flags", abi.HOLD)
    app = web.app()
    c, s = app.call(streams.keep_pair)
    assert app.call(streams.echo, c, s, b"plain")
    assert counted("join_entered") == 0 and look(on)[0] == 0


def test_pods_with_the_same_loopback_tuple_keep_their_bytes(on, web, api, counted):
    on.set_pod(api, flags=DECLARED)
    a, b = web.app(), api.app()
    fa = a.call(streams.keep_pair, "127.0.0.1", None, 7200, 7300)
    fb = b.call(streams.keep_pair, "127.0.0.1", None, 7200, 7300)
    for i in range(5):
        a.call(actor.send, fa[0], b"of web %d" % i)
        b.call(actor.send, fb[0], b"of api %d" % i)
        assert b.call(actor.recv, fb[1]) == b"of api %d" % i
        assert a.call(actor.recv, fa[1]) == b"of web %d" % i
    assert counted("join_began") == 2


def test_an_undeclared_pod_is_left_alone_and_may_splice(on, web, counted):
    on.set_pod(web, flags=abi.JOIN)
    app = web.app()
    c, s = app.call(streams.keep_pair)
    app.call(actor.send, c, b"spliced")
    assert app.call(streams.splice_some, s) == b"spliced"
    assert counted("join_entered") == 0


def test_an_undeclared_application_is_written_through_only_and_may_splice(on, web, counted):
    """On a kernel where the self-test allows it: its own writes are joined towards the sidecar, what it reads comes by TCP."""
    on.driver.ask("flags", abi.HOLD | abi.JOIN_ALONE | abi.JOIN_WRITERS)
    on.set_pod(web, flags=abi.JOIN)
    side, app = web.sidecar(), web.app()
    lid = side.call(actor.listen, "127.0.0.1", 7400)
    fd = app.call(actor.connect, "127.0.0.1", 7400)
    sid, _ = side.call(actor.accept, lid)
    app.call(actor.send, fd, b"request")
    assert side.call(actor.recv, sid) == b"request"
    side.call(actor.send, sid, b"answer")
    assert app.call(streams.splice_some, fd) == b"answer"
    assert counted("join_began") == 1 and counted("join_not_reader") == 1


def test_an_application_and_its_sidecar_are_joined_both_ways(on, web, api, counted):
    on.service("10.96.9.1", 80, [(api, 8080, 1)], flags=abi.L7, number=91, set=91)
    on.set_pod(web, flags=DECLARED | abi.MESHED)
    side, app = web.sidecar(), web.app()
    lid = side.call(actor.listen, "127.0.0.1", 15001)
    fd = app.call(actor.connect, "10.96.9.1", 80)
    sid, _ = side.call(actor.accept, lid)
    assert side.call(actor.original4, sid) == ("10.96.9.1", 80)

    def join_of_its_writes():
        return abi.facts(side.call(actor.option, sid, abi.SOL, abi.SO_FACTS, 96)).join

    assert join_of_its_writes() == 1, "may be joined"
    for _ in range(3):
        app.call(actor.send, fd, b"request")
        assert side.call(actor.recv, sid) == b"request"
        side.call(actor.send, sid, b"answer")
        assert app.call(actor.recv, fd) == b"answer"
    assert counted("join_entered") == 2 and counted("join_began") == 2
    assert join_of_its_writes() == 2, "is joined"


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_declared_pods_of_one_node_are_joined_and_a_change_of_policy_ends_it(on, web, api, counted, family):
    on.set_pod(api, flags=DECLARED)
    server, client = api.app(), web.app()
    ip = getattr(api, family)
    lid = server.call(actor.listen, ip, 8080)
    fd = client.call(actor.connect, ip, 8080)
    sid, _ = server.call(actor.accept, lid)

    def words():
        client.call(actor.send, fd, b"ask")
        assert server.call(actor.recv, sid) == b"ask"
        server.call(actor.send, sid, b"tell")
        assert client.call(actor.recv, fd) == b"tell"

    words()
    words()
    assert counted("join_began") == 2
    # A change that still allows it: it stays joined.
    on.driver.ask("epoch")
    words()
    assert counted("join_policy") == 0 and counted("join_began") == 2
    # The receiver no longer allows it: neither direction is joined any more.
    on.set_pod(api, DECLARED, abi.slot(0, 5, abi.ISOLATED))
    on.driver.ask("epoch")
    words()
    assert counted("join_policy") == 2 and counted("join_began") == 2


@pytest.mark.parametrize("how", ["best", "diag"])
def test_a_joined_connection_that_policy_forbids_is_reset(on, web, api, counted, how):
    on.set_pod(api, flags=DECLARED)
    server, client = api.app(), web.app()
    lid = server.call(actor.listen, api.v4, 8080)
    fd = client.call(actor.connect, api.v4, 8080)
    sid, _ = server.call(actor.accept, lid)
    client.call(actor.send, fd, b"read before")
    assert server.call(actor.recv, sid) == b"read before"
    client.call(actor.send, fd, b"unread")
    assert counted("join_began") == 1 and look(on)[2] == 6
    on.set_pod(api, DECLARED, abi.slot(0, 5, abi.ISOLATED))
    on.driver.ask("epoch")
    assert on.driver.revoke(api.netns, how)[1] == (1, 1, 0)
    # As by TCP: what had arrived may be read, then comes the reset.
    data, end = server.call(streams.read_to_end, sid)
    assert data == b"unread" and end in (errno.ECONNRESET, errno.ECONNABORTED)
    assert client.call(streams.read_to_end, fd) == (b"", errno.ECONNRESET)
    assert until(lambda: look(on)[0] == 0)


@pytest.mark.parametrize("accepting", [True, False])
def test_only_one_end_declared_stays_tcp(on, web, api, counted, accepting):
    """Also FIONREAD of bytes that come before accept()."""
    if accepting:
        web, api = api, web
    server, client = api.app(), web.app()
    lid = server.call(actor.listen, api.v4, 8080)
    fd = client.call(actor.connect, api.v4, 8080)
    client.call(actor.send, fd, b"early")
    sid, _ = server.call(actor.accept, lid)
    assert server.call(actor.waiting, sid) and server.call(streams.inq, sid) == 5
    assert server.call(actor.recv, sid) == b"early"
    for _ in range(10):
        client.call(actor.send, fd, b"ask")
        assert server.call(actor.recv, sid) == b"ask"
    assert counted("join_began") == 0 and counted("join_no_peer") == 1
    assert counted("join_entered") == (0 if accepting else 1)


def test_closes_report_the_bytes_that_went_past_tcp(on, web, counted):
    app = web.app()
    on.driver.events()
    c, s = app.call(streams.keep_pair)
    port = app.call(actor.sockname, c)[1]
    n = app.call(streams.fill, c, 10000)
    assert app.call(streams.drain, s, n) == 0
    app.call(actor.send, s, b"y" * 5000)
    assert app.call(streams.drain, c, 5000) == 0
    app.call(actor.close, c, s)
    found = {}

    def both_told():
        for e in on.driver.events():
            if e.kind == abi.CLOSE and port in (e.local_port, e.remote_port):
                found["client" if e.local_port == port else "server"] = (e.bytes_out, e.bytes_in)
        return len(found) == 2

    assert until(both_told)
    # A SYN and a FIN count one each.
    assert n <= found["client"][0] <= n + 2 and 5000 <= found["client"][1] <= 5002
    assert 5000 <= found["server"][0] <= 5002 and n <= found["server"][1] <= n + 2


def test_options_that_joined_sockets_cannot_keep_are_refused(on, web, counted):
    app = web.app()
    c, _ = app.call(streams.keep_pair)
    for level, name, value, expected in ((6, 31, b"tls", errno.ENOENT), (1, 60, struct.pack("i", 1), errno.EOPNOTSUPP)):
        with pytest.raises(OSError) as e:
            app.call(streams.set_option, c, level, name, value)
        assert e.value.errno == expected
    assert counted("join_sockopt") == 2


def test_bytes_in_a_syn_are_read(on, web, counted):
    """Fast open has bytes queued before the connection is established."""
    app = web.app()
    app.call(sysctl, "/proc/sys/net/ipv4/tcp_fastopen", "1543")
    lid = app.call(actor.listen, "127.0.0.1", 7500)
    app.call(streams.set_option, lid, 6, 23, 16)
    for data in (b"first", b"second"):
        fd = app.call(streams.fast_open, "127.0.0.1", 7500, data)
        sid, _ = app.call(actor.accept, lid)
        assert app.call(actor.recv, sid) == data
        assert app.call(streams.echo, fd, sid, b"more") and app.call(streams.echo, sid, fd, b"back")
    assert counted("join_no_peer") >= 1 and counted("join_began") <= 2


def sysctl(path, value):
    with open(path, "w") as f:
        f.write(value)


def test_uninstalling_under_joined_connections_loses_nothing():
    w = World()
    try:
        pod = w.pod("web")
        driver = w.start()
        why, _ = streams.join_test(w)
        if why:
            pytest.skip(why)
        driver.ask("flags", abi.HOLD | abi.JOIN_ON)
        w.set_pod(pod, flags=DECLARED)
        app = pod.app()
        c, s = app.call(streams.keep_pair)
        n = app.call(streams.fill, c, 65536)
        driver.ask("close")
        with pytest.raises(Exception):  # what is left is what these two sockets hold
            driver.ask("uninstall", w.pins)
        assert app.call(streams.drain, s, n) == 0
        assert app.call(streams.echo, c, s, b"after") and app.call(streams.echo, s, c, b"after")
        app.call(actor.close, c, s)
        driver.ask("uninstall", w.pins)
    finally:
        w.stop()

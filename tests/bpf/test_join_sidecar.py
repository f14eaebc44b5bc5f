# SPDX-License-Identifier: Apache-2.0
"""An application joined towards its sidecar only: what works on every kernel, also where the kernel does not count what a reader
has unread (6.1) and no application may be handed bytes. What the sidecar answers goes by TCP, so the application notices nothing."""
import errno
import struct
import time

import pytest

import abi
import actor
import streams
from test_join import LIMIT, MESSAGES, TCP_BUFFERS, look, ready, shut, until

DECLARED = abi.JOIN | abi.JOIN_READER
LOOPBACK = ("127.0.0.1", "::1")


@pytest.fixture(scope="module")
def refused(everything):
    """Why this kernel's applications would notice; what else is joined is tried all the same."""
    return streams.join_test(everything)[1]


@pytest.fixture(params=["undeclared", "declared"])
def towards(world, request):
    """Only writes are joined, whatever the pod says: a declaration is not enough where readers did not pass the self-test."""
    world.driver.ask("flags", abi.HOLD | abi.JOIN_ALONE | abi.JOIN_WRITERS)
    world.set_pod(world.pods[0], flags=abi.JOIN if request.param == "undeclared" else DECLARED)
    yield world
    world.driver.ask("flags", abi.HOLD)


@pytest.fixture
def ends(towards, web):
    """(application, sidecar, a function that makes a connection of the two: descriptor here, descriptor there)."""
    app, side = web.app(), web.sidecar()

    def pair(ip="127.0.0.1", port=0):
        lid = side.call(actor.listen, ip, port)
        fd = app.call(actor.connect, ip, side.call(actor.sockname, lid)[1])
        sid, _ = side.call(actor.accept, lid)
        side.call(actor.close, lid)
        return fd, sid

    return app, side, pair


@pytest.mark.guest("weir_join_sockops", "weir_sk_msg", "weir_sk_skb")
@pytest.mark.parametrize("ip", LOOPBACK)
def test_every_byte_arrives_whatever_sizes_and_pauses(ends, counted, ip):
    app, side, pair = ends
    for seed in (1, 2):
        fd, sid = pair(ip)
        app.begin(streams.one_way, fd, seed, 6_000_000, True)
        side.begin(streams.one_way, sid, seed + 5, 6_000_000, False)
        sent, heard = app.end()
        said, received = side.end()
        assert sent == received and said == heard and sent and said
    assert counted("join_began") >= 2 and counted("join_not_reader") == 2
    assert counted("join_full") >= 1, "the bound was never met: this test proves less than it should"


def test_an_answer_comes_as_it_always_did(ends, counted, refused):
    app, side, pair = ends
    fd, sid = pair()
    for _ in range(3):
        app.call(actor.send, fd, b"request")
        assert side.call(actor.recv, sid) == b"request"
        side.call(actor.send, sid, b"answer")
        assert app.call(streams.readable, fd)
        if not refused:
            assert app.call(streams.inq, fd) == 6
        assert app.call(streams.splice_some, fd) == b"answer"
    assert counted("join_began") == 1


@pytest.mark.guest
def test_half_closes_closes_and_resets_are_seen(ends, counted):
    app, side, pair = ends
    fd, sid = pair()
    app.call(actor.send, fd, b"question")
    app.call(shut, fd)
    assert side.call(streams.read_to_end, sid) == (b"question", "end")
    side.call(actor.send, sid, b"answer")
    side.call(actor.close, sid)
    assert app.call(streams.read_to_end, fd) == (b"answer", "end")
    fd, sid = pair()
    app.call(actor.send, fd, b"x" * 50000)
    app.call(actor.close, fd)
    data, how = side.call(streams.read_to_end, sid)
    assert (len(data), how) == (50000, "end")
    fd, sid = pair()
    app.call(actor.send, fd, b"x")
    assert side.call(actor.recv, sid) == b"x"
    app.call(streams.abort, fd)
    assert side.call(streams.read_to_end, sid)[1] == errno.ECONNRESET
    fd, sid = pair()
    app.call(actor.send, fd, b"unread")
    side.call(actor.close, sid)
    assert app.call(streams.write_until_refused, fd) in (errno.EPIPE, errno.ECONNRESET)
    assert counted("join_began") == 4


@pytest.mark.guest("weir_join_look")
def test_sidecars_that_do_not_read_hold_bounded_memory(towards, ends, counted):
    n = 16
    app, side, pair = ends
    fds = [pair() for _ in range(n)]
    taken = [app.call(streams.fill, fd, 65536) for fd, _ in fds]
    assert max(taken) < LIMIT + 2 * TCP_BUFFERS
    sockets, _, queued, most = look(towards)
    assert sockets == 2 * n and LIMIT // 2 < most <= LIMIT and queued <= n * LIMIT
    assert counted("join_full") == n
    for (fd, sid), size in zip(fds, taken):
        assert side.call(streams.drain, sid, size) == 0
    assert look(towards)[2] == 0
    # And joined again, now that all of it was read.
    began = counted("join_began")
    fd, sid = fds[0]
    for _ in range(2):
        app.call(actor.send, fd, b"again")
        assert side.call(streams.drain, sid, 5) == 0
    assert counted("join_began") == began + 1


def test_one_byte_writes_are_bounded_by_their_number(towards, ends, counted):
    app, side, pair = ends
    fd, sid = pair()
    assert app.call(streams.fill, fd, 1, 5000) == 5000
    assert counted("join_full") == 1 and look(towards)[3] == MESSAGES
    assert side.call(streams.drain, sid, 5000) == 0


@pytest.mark.guest
def test_a_reader_that_takes_a_little_at_a_time_never_holds_more(towards, ends, counted):
    """Never empty, so a kernel that does not count cannot know how little is left: what it says must be too much, not too little."""
    app, side, pair = ends
    fd, sid = pair()
    app.call(actor.send, fd, b"x" * 100)
    for _ in range(400):
        app.call(actor.send, fd, b"x" * 10000)
        assert side.call(streams.drain, sid, 10000) == 0
        assert look(towards)[3] <= LIMIT
    assert side.call(streams.drain, sid, 100) == 0
    for _ in range(2):
        app.call(actor.send, fd, b"last")
        assert side.call(streams.drain, sid, 4) == 0
    assert look(towards)[1] == 1, "a reader that has caught up is joined again"


@pytest.mark.guest
def test_five_hundred_connections(towards, ends, counted):
    app, side, _ = ends
    lid = side.call(actor.listen, "127.0.0.1", 7600)
    fds, right = app.call(streams.many_to, "127.0.0.1", 7600, 500, True), side.call(streams.many_from, lid, 500)
    assert right == 500 and app.call(streams.many_hear, fds) == 500
    # A write that comes before the accepting end is established goes by TCP, and is counted as such.
    assert counted("join_entered") == 1000 and counted("join_began") >= 450
    assert counted("join_began") + counted("join_no_peer") >= 500
    assert look(towards)[0] == 1000
    app.call(actor.close, *fds)
    side.call(streams.close_all)
    assert until(lambda: look(towards)[0] == 0), "records are left of closed sockets"


@pytest.mark.guest
def test_turning_it_off_and_on_under_load_loses_nothing(towards, ends, counted):
    app, side, _ = ends
    lid = side.call(actor.listen, "127.0.0.1", 7700)
    fd = app.call(actor.connect, "127.0.0.1", 7700)
    side.begin(streams.serve_digest, lid, 20_000_000)
    app.begin(streams.send_digest, fd, 5, 20_000_000)
    switched, end = 0, time.monotonic() + 60
    while not ready(app) and time.monotonic() < end:
        switched += 1
        towards.driver.ask("flags", abi.HOLD | (0 if switched % 2 else abi.JOIN_ALONE | abi.JOIN_WRITERS))
    assert app.end() is True and side.end()
    assert switched > 4 and counted("join_off") >= 2 and counted("join_began") >= 1


def test_pods_with_the_same_loopback_tuple_keep_their_bytes(towards, ends, api, counted):
    towards.set_pod(api, flags=abi.JOIN)
    other, beside = api.app(), api.sidecar()
    app, side, _ = ends
    made = []
    for a, s in ((app, side), (other, beside)):
        lid = s.call(actor.listen, "127.0.0.1", 7200)
        fd = a.call(streams.connect_from, "127.0.0.1", 7300, 7200)
        made.append((a, fd, s, s.call(actor.accept, lid)[0]))
    for i in range(5):
        for n, (a, fd, _, _) in enumerate(made):
            a.call(actor.send, fd, b"%d of %d" % (i, n))
        for n, (_, _, s, sid) in enumerate(made):
            assert s.call(actor.recv, sid) == b"%d of %d" % (i, n)
    assert counted("join_began") == 2


@pytest.mark.guest("weir_setsockopt")
@pytest.mark.parametrize("level,name,value,error", [(6, 31, b"tls", errno.ENOENT), (1, 60, struct.pack("i", 1), errno.EOPNOTSUPP)],
                         ids=["ulp", "zerocopy"])
def test_options_that_a_joined_socket_cannot_keep_are_refused(ends, counted, level, name, value, error):
    app, _, pair = ends
    fd, _ = pair()
    with pytest.raises(OSError) as e:
        app.call(streams.set_option, fd, level, name, value)
    assert e.value.errno == error and counted("join_sockopt") == 1


def test_applications_are_never_handed_bytes(towards, web, api, counted):
    """Two declared pods, and a pod with itself: their connections stay TCP where only writes towards sidecars are safe."""
    towards.set_pod(web, flags=DECLARED)
    towards.set_pod(api, flags=DECLARED)
    client, server = web.app(), api.app()
    lid = server.call(actor.listen, api.v4, 8080)
    fd = client.call(actor.connect, api.v4, 8080)
    sid, _ = server.call(actor.accept, lid)
    c, s = client.call(streams.keep_pair)
    for _ in range(3):
        client.call(actor.send, fd, b"ask")
        assert server.call(actor.recv, sid) == b"ask"
        assert client.call(streams.echo, c, s, b"self") and client.call(streams.echo, s, c, b"self")
    assert counted("join_began") == 0

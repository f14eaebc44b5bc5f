# SPDX-License-Identifier: Apache-2.0
"""What a process in a pod does with TCP connections in the tests of joining: streams with a digest at both ends, readers that do
not read, and the calls that joined sockets have been known to get wrong."""
import fcntl
import hashlib
import os
import random
import select
import socket
import struct
import termios
import threading
import time

from actor import SLOW, SOCKS, _family, _keep

WAIT = 20 * SLOW  # until a stuck transfer counts as failed; never part of a verdict


def pair(ip="127.0.0.1", to=None, port=0, sport=0):
    """A connection of this process with itself: (client, server)."""
    listener = socket.socket(_family(ip))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((ip, port))
    listener.listen(1)
    client = socket.socket(_family(to or ip))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sport:
        client.bind((ip, sport))
    client.connect((to or ip, listener.getsockname()[1]))
    server, _ = listener.accept()
    listener.close()
    for s in (client, server):
        s.settimeout(WAIT)
    return client, server


def keep_pair(*args, **kwargs):
    return [_keep(s) for s in pair(*args, **kwargs)]


def inq(fd):
    buf = bytearray(4)
    fcntl.ioctl(fd, termios.FIONREAD, buf)
    return struct.unpack("i", buf)[0]


def _size(r):
    """Mostly small, sometimes beyond every buffer."""
    return r.choice((1, 2, 7, 100, 1000, 4096, 16384, 65536, 300000)) + r.randrange(16)


def _write(s, seed, total, digests, name):
    r, digest, block = random.Random(seed), hashlib.sha256(), random.Random(seed).randbytes(1 << 20)
    while total > 0:
        n = min(_size(r), total)
        at = r.randrange(len(block) - n + 1)
        s.sendall(block[at:at + n])
        digest.update(block[at:at + n])
        total -= n
        if r.random() < 0.01:
            select.select([], [], [], r.random() * 0.005)
    s.shutdown(socket.SHUT_WR)
    digests[name] = digest.hexdigest()


def _read(s, seed, digests, name):
    r, digest = random.Random(seed), hashlib.sha256()
    while data := s.recv(_size(r)):
        digest.update(data)
        if r.random() < 0.02:
            select.select([], [], [], r.random() * 0.02)
    digests[name] = digest.hexdigest()


def both_ways(seed, total, ip="127.0.0.1", to=None):
    """Writes and reads in both directions at once, each in its own sizes and pauses. Digests: sent and received, both ways."""
    client, server = pair(ip, to)
    digests = {}
    jobs = [threading.Thread(target=f, args=a) for f, a in (
        (_write, (client, seed, total, digests, "c>")), (_read, (server, seed + 1, digests, ">s")),
        (_write, (server, seed + 2, total // 2, digests, "s>")), (_read, (client, seed + 3, digests, ">c")))]
    for j in jobs:
        j.start()
    for j in jobs:
        j.join()
    client.close()
    server.close()
    return digests.get("c>"), digests.get(">s"), digests.get("s>"), digests.get(">c")


def serve_digest(lid, total):
    """Accepts one connection, sends the digest of all it reads back."""
    s, _ = SOCKS[lid].accept()
    s.settimeout(WAIT)
    digest = hashlib.sha256()
    while total > 0:
        data = s.recv(65536)
        if not data:
            break
        digest.update(data)
        total -= len(data)
    s.sendall(digest.digest())
    _keep(s)
    return digest.hexdigest()


def send_digest(fd, seed, total):
    """Writes `total` bytes, returns their digest and whether the answer is the same."""
    s, block, digest = SOCKS[fd], random.Random(seed).randbytes(65536), hashlib.sha256()
    while total > 0:
        n = min(len(block), total)
        s.sendall(block[:n])
        digest.update(block[:n])
        total -= n
    return digest.digest() == s.recv(32, socket.MSG_WAITALL)


def fill(fd, size, most=1 << 30):
    """Writes until the kernel takes no more; how many bytes it took."""
    s, n, block = SOCKS[fd], 0, os.urandom(size)
    s.setblocking(False)
    try:
        while n < most:
            n += s.send(block)
    except BlockingIOError:
        pass
    s.settimeout(WAIT)
    return n


def drain(fd, n):
    s = SOCKS[fd]
    while n > 0:
        data = s.recv(min(n, 1 << 20))
        if not data:
            break
        n -= len(data)
    return n


def echo(fd_a, fd_b, data):
    SOCKS[fd_a].sendall(data)
    got = b""
    while len(got) < len(data):
        more = SOCKS[fd_b].recv(65536)
        if not more:
            break
        got += more
    return got == data


def many(n, ip="127.0.0.1"):
    """n connections with a word each way on each, all open at once; the ones kept and how many words were right."""
    pairs, right = [], 0
    for i in range(n):
        c, s = pair(ip)
        pairs.append((_keep(c), _keep(s)))
    for i, (c, s) in enumerate(pairs):
        SOCKS[c].sendall(b"to %d" % i)
        SOCKS[s].sendall(b"from %d" % i)
    for i, (c, s) in enumerate(pairs):
        right += SOCKS[s].recv(64) == b"to %d" % i
        right += SOCKS[c].recv(64) == b"from %d" % i
    return [fd for p in pairs for fd in p], right


def abort(fd):
    s = SOCKS.pop(fd)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def read_to_end(fd):
    """All bytes, and how it ended: "end" or an errno."""
    data = b""
    try:
        while more := SOCKS[fd].recv(65536):
            data += more
    except OSError as e:
        return data, e.errno
    return data, "end"


def write_until_refused(fd):
    for _ in range(1000):
        try:
            SOCKS[fd].send(b"x" * 1000)
        except OSError as e:
            return e.errno
    return 0


def peek(fd):
    s = SOCKS[fd]
    first = s.recv(3, socket.MSG_PEEK)
    return first, s.recv(2), s.recv(100)


def edges(fd_writer, fd_reader, rounds):
    """Edge-triggered: one edge a write, none without."""
    ep, seen = select.epoll(), []
    ep.register(fd_reader, select.EPOLLIN | select.EPOLLET)
    for _ in range(rounds):
        SOCKS[fd_writer].sendall(b"abc")
        seen.append(len(ep.poll(WAIT)))
        SOCKS[fd_reader].recv(10)
        seen.append(len(ep.poll(0)))
    ep.close()
    return seen


def set_option(fd, level, name, value):
    SOCKS[fd].setsockopt(level, name, value)


def splice_some(fd):
    """What splice(2) brings from a socket within a while."""
    r, w = os.pipe()
    select.select([fd], [], [], WAIT)
    n = os.splice(fd, w, 1000, flags=2) if hasattr(os, "splice") else _splice(fd, w)
    data = os.read(r, n) if n else b""
    os.close(r)
    os.close(w)
    return data


def _splice(fd, w):
    import ctypes
    n = ctypes.CDLL(None, use_errno=True).splice(fd, None, w, None, 1000, 2)
    if n < 0:
        raise OSError(ctypes.get_errno(), "splice")
    return n


def fast_open(ip, port, data):
    s = socket.socket(_family(ip))
    s.settimeout(WAIT)
    s.sendto(data, 0x20000000, (ip, port))
    return _keep(s)


def join_test(world):
    """What the self-test says of this kernel, each None or why not: of declared workloads both ways, of any towards its sidecar.
    That a step fails on a kernel that has what it takes is a failure, not a reason to skip."""
    readers, writers, answer = world.driver.ask("join_test", world.cgroup)
    assert "1" in answer.split()[1:], (readers, writers)
    with open("/sys/kernel/btf/vmlinux", "rb") as f:
        counts = b"\0msg_tot_len\0" in f.read()
    assert not readers if counts else not writers, (readers, writers)
    return readers or None, writers or None


def one_way(fd, seed, total, writes_first):
    """One end of a connection, both directions at once in sizes and pauses of its own: digests of what it sent and what it read."""
    s, digests = SOCKS[fd], {}
    jobs = [threading.Thread(target=_write, args=(s, seed, total, digests, "sent")),
            threading.Thread(target=_read, args=(s, seed + 1, digests, "read"))]
    for j in jobs if writes_first else reversed(jobs):
        j.start()
    for j in jobs:
        j.join()
    return digests.get("sent"), digests.get("read")


def readable(fd):
    return bool(select.select([fd], [], [], WAIT)[0])


def connect_from(ip, sport, port):
    s = socket.socket(_family(ip))
    s.settimeout(WAIT)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((ip, sport))
    s.connect((ip, port))
    return _keep(s)


def many_to(ip, port, n, say):
    """n connections, each with a word that names it."""
    fds = []
    for i in range(n):
        s = socket.socket(_family(ip))
        s.settimeout(WAIT)
        s.connect((ip, port))
        if say:
            s.sendall(b"to %d" % i)
        fds.append(_keep(s))
    return fds


def many_from(lid, n):
    """Accepts n, reads the word of each and says it back; how many were right, each once."""
    seen = set()
    for _ in range(n):
        s, _ = SOCKS[lid].accept()
        s.settimeout(WAIT)
        word = s.recv(64)
        s.sendall(word)
        seen.add(word)
        _keep(s)
    return len(seen & {b"to %d" % i for i in range(n)})


def many_hear(fds):
    return sum(SOCKS[fd].recv(64) == b"to %d" % i for i, fd in enumerate(fds))


def close_all():
    for fd in list(SOCKS):
        SOCKS.pop(fd).close()


def connect_many(ip, port, n):
    """n connections, one after the other, each ended at once by a reset; how long all took, in seconds."""
    began = time.monotonic()
    for _ in range(n):
        s = socket.create_connection((ip, port), timeout=8)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    return time.monotonic() - began


def readable_now(fd, patience=0.2):
    return bool(select.select([fd], [], [], patience)[0])

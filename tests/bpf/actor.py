# SPDX-License-Identifier: Apache-2.0
"""A process in a pod: a fork in a cgroup and a network namespace, without privileges if asked, that does socket calls."""
import ctypes
import os
import pickle
import select
import socket
import struct

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
SLOW = int(os.environ.get("WEIR_SLOW", "1"))  # how many times slower a machine is: an emulated one
WAIT = 8 * SLOW  # seconds until a call that should have answered counts as failed; never part of a verdict
SOCKS = {}


def setns(path):
    fd = os.open(path, os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def _keep(s):
    SOCKS[s.fileno()] = s
    return s.fileno()


def new(family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0):
    s = socket.socket(family, kind, proto)
    s.settimeout(WAIT)
    return _keep(s)


def _family(ip):
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def connect(ip, port, kind=socket.SOCK_STREAM, fd=None):
    fd = new(_family(ip), kind) if fd is None else fd
    try:
        SOCKS[fd].connect((ip, port))
    except OSError:
        SOCKS.pop(fd).close()
        raise
    return fd


def start(ip, port):
    """A connect() that may still be under way when this returns."""
    s = socket.socket(_family(ip))
    s.setblocking(False)
    s.connect_ex((ip, port))
    return _keep(s)


def settle(fd, wait=WAIT):
    """0 once connected, an errno when it failed, None when neither happened in time."""
    _, w, _ = select.select([], [fd], [], wait)
    return SOCKS[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if w else None


def listen(ip, port, reuse=False, v6only=True, kind=socket.SOCK_STREAM):
    s = socket.socket(_family(ip), kind)
    s.settimeout(WAIT)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if ":" in ip:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
    s.bind((ip, port))
    if kind == socket.SOCK_STREAM:
        s.listen(512)
    return _keep(s)


def accept(fd):
    s, peer = SOCKS[fd].accept()
    s.settimeout(WAIT)
    return _keep(s), peer[:2]


def accept_all(fd):
    """How many connections wait in the backlog."""
    n = 0
    SOCKS[fd].setblocking(False)
    try:
        while True:
            SOCKS[fd].accept()[0].close()
            n += 1
    except BlockingIOError:
        pass
    SOCKS[fd].settimeout(WAIT)
    return n


def waiting(fd):
    return bool(select.select([fd], [], [], 0)[0])


def peername(fd):
    return SOCKS[fd].getpeername()[:2]


def sockname(fd):
    return SOCKS[fd].getsockname()[:2]


def close(*fds):
    for fd in fds:
        SOCKS.pop(fd).close()


def send(fd, data):
    SOCKS[fd].sendall(data)


def recv(fd, n=65536):
    return SOCKS[fd].recv(n)


def sendto(fd, data, ip, port):
    return SOCKS[fd].sendto(data, (ip, port))


def recvfrom(fd):
    data, peer = SOCKS[fd].recvfrom(65536)
    return data, peer[:2]


def option(fd, level, name, size):
    return SOCKS[fd].getsockopt(level, name, size)


def original4(fd):
    raw = SOCKS[fd].getsockopt(socket.SOL_IP, 80, 16)
    return socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack("!H", raw[2:4])[0]


def original6(fd):
    raw = SOCKS[fd].getsockopt(41, 80, 28)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack("!H", raw[2:4])[0]


def connect_many(ip, port, n):
    """Failures out of n connects, each closed at once."""
    failed = 0
    for _ in range(n):
        s = socket.socket(_family(ip))
        s.settimeout(WAIT)
        try:
            s.connect((ip, port))
        except OSError:
            failed += 1
        s.close()
    return failed


def udp_connect_many(ip, port, n):
    """The real peers of n connected UDP sockets, as the kernel's own table says."""
    socks = [socket.socket(_family(ip), socket.SOCK_DGRAM) for _ in range(n)]
    for s in socks:
        s.connect((ip, port))
    with open("/proc/self/net/udp6" if ":" in ip else "/proc/self/net/udp") as f:
        peers = [line.split()[2] for line in f.readlines()[1:]]
    for s in socks:
        s.close()
    return peers


def who():
    caps = [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")]
    return os.getuid(), int(caps[0], 16)


class Failed(Exception):
    pass


class Actor:
    """call(fn, ...) runs one of the functions above over there; an OSError comes back as an OSError."""

    def __init__(self, netns, cgroup=None, uid=None):
        self.pipe, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.pipe.close()
                self._live(theirs, netns, cgroup, uid)
            finally:
                os._exit(0)
        theirs.close()
        self.pipe.settimeout(3 * WAIT)
        self._answer()

    def _live(self, pipe, netns, cgroup, uid):
        # What was inherited may hold other tests' sockets open.
        os.closerange(3, pipe.fileno())
        os.closerange(pipe.fileno() + 1, 4096)
        if cgroup:
            with open(os.path.join(cgroup, "cgroup.procs"), "w") as f:
                f.write("0")
        setns(netns)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        pipe.send(pickle.dumps(("ok", None)))
        while True:
            raw, fds, _, _ = socket.recv_fds(pipe, 1 << 20, 4)
            if not raw:
                return
            fn, args, kwargs = pickle.loads(raw)
            for fd in fds:
                args += (_keep(socket.socket(fileno=fd)),)
            try:
                answer = ("ok", fn(*args, **kwargs))
            except OSError as e:
                answer = ("os", e.errno, str(e))
            except Exception as e:  # reported to the test, which fails with it
                answer = ("bad", repr(e))
            if isinstance(answer[1], PassFd):
                socket.send_fds(pipe, [pickle.dumps(("fd", None))], [answer[1].fd])
            else:
                pipe.send(pickle.dumps(answer))

    def _answer(self):
        raw, fds, _, _ = socket.recv_fds(self.pipe, 1 << 20, 4)
        if not raw:
            raise Failed("the process is gone")
        answer = pickle.loads(raw)
        if answer[0] == "os":
            if answer[1] is None:
                raise TimeoutError(answer[2])
            raise OSError(answer[1], answer[2])
        if answer[0] == "bad":
            raise Failed(answer[1])
        return fds[0] if answer[0] == "fd" else answer[1]

    def call(self, fn, *args, **kwargs):
        self.begin(fn, *args, **kwargs)
        return self._answer()

    def begin(self, fn, *args, **kwargs):
        """Started but not waited for; end() waits."""
        self.pipe.send(pickle.dumps((fn, args, kwargs)))

    def end(self):
        return self._answer()

    def give(self, fd, fn, *args):
        """Passes a descriptor on, which is no longer ours then; fn gets it as its last argument."""
        socket.send_fds(self.pipe, [pickle.dumps((fn, args, {}))], [fd])
        os.close(fd)
        return self._answer()

    def close(self):
        if self.pid:
            self.pipe.close()
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            self.pid = 0


class PassFd:
    def __init__(self, fd):
        self.fd = fd


def hand_over(fd):
    return PassFd(fd)


def none():
    return None

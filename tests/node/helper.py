# SPDX-License-Identifier: Apache-2.0
"""`weir helper` as a process, and its wire spoken by hand (proxy/helper/wire.h): what an agent in bad hands could send."""
import os
import signal
import socket
import struct
import subprocess

from agent import PATIENCE, WEIR, eventually

VERSION = 2
(HELLO, NETNS, WALK, DIAG, SOCKET, CANARY, CODE, LISTEN, TENANT, PLACE, RELEASE, SPAWN, STOP, PROBE, HANDOVER, SUCCEED) = range(1, 17)
REQUEST = struct.Struct("=IIIiiiII992s")
REPLY = struct.Struct("=IIiI4q")


class Helper:
    def __init__(self, path, cgroup, log):
        self.path, self.cgroup, self.log = path, cgroup, log
        self.p = None

    def start(self, *more):
        mark = len(self.text()) if os.path.exists(self.log) else 0
        self.p = subprocess.Popen([WEIR, "helper", "--listen", self.path, "--cgroup", self.cgroup, *more],
                                  stderr=open(self.log, "a"), stdin=subprocess.DEVNULL)
        eventually(lambda: "event=helper_ready" in self.text()[mark:] or self.p.poll() is not None)
        assert self.p.poll() is None, self.text()

    def end(self, sig=signal.SIGKILL):
        self.p.send_signal(sig)
        self.p.wait(PATIENCE)

    def text(self):
        with open(self.log) as f:
            return f.read()

    def close(self):
        if self.p and self.p.poll() is None:
            self.end()


class Wire:
    """One connection. ask() gives error, refused, values and the descriptor that came back (or None)."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(PATIENCE)
        self.s.connect(path)
        self.number = 0

    def ask(self, verb, name=b"", fds=(), pid=0, family=0, type=0, port=0, count=None, version=VERSION):
        self.number += 1
        if count is None:
            count = 1 if verb in (SOCKET, TENANT, SPAWN) else 0
        return self.raw(REQUEST.pack(version, verb, self.number, pid, family, type, port, count, name), fds)

    def raw(self, packet, fds=()):
        socket.send_fds(self.s, [packet], list(fds))
        data, got, _, _ = socket.recv_fds(self.s, 4096, 32)
        self.got = got  # all that came
        if not data:
            return None
        _, number, error, refused, *values = REPLY.unpack(data)
        assert number == struct.unpack_from("=I", packet, 8)[0]
        return error, refused, values, got[0] if got else None

    def netns(self, path):
        error, refused, values, fd = self.ask(NETNS, path.encode())
        assert (error, refused) == (0, 0)
        return fd, values[0]

    def close(self):
        self.s.close()

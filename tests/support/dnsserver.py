# SPDX-License-Identifier: Apache-2.0
"""A name server on loopback, by UDP and TCP, that answers what the test wants: addresses with a TTL, no such name, nothing at all, a truncated
or a senseless answer. What it was asked is noted."""

import ipaddress
import socket
import struct
import threading

import ports

A, CNAME, AAAA = 1, 5, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def name_of(wire, at):
    labels = []
    while wire[at]:
        labels.append(wire[at + 1:at + 1 + wire[at]].decode())
        at += 1 + wire[at]
    return ".".join(labels).lower(), at + 1


def wire_of(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class Name:
    def __init__(self, addresses=(), ttl=1, rcode=NOERROR, mode="answer", alias=None):
        self.addresses = [ipaddress.ip_address(a) for a in addresses]
        self.ttl, self.rcode, self.mode, self.alias = ttl, rcode, mode, alias


class DnsServer:
    """names[name] = Name(...); one that is not there is NXDOMAIN. Modes: answer; silent; truncate (by UDP an empty answer with TC set, all of
    it by TCP); garbage; silent6 (no word on AAAA)."""

    def __init__(self):
        self.names = {}
        self.asked = []  # (transport, name, type)
        self.port = ports.free_port()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        self.lock = threading.Lock()
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def set(self, name, *addresses, **how):
        with self.lock:
            self.names[name] = Name(addresses, **how)

    def count(self, name, kind=A, transport=None):
        with self.lock:
            return sum(1 for t, n, k in self.asked if n == name and k == kind and transport in (None, t))

    def close(self):
        self.udp.close()
        self.tcp.close()

    def _answer(self, query, transport):
        """The answer's bytes, or None."""
        ident, flags = struct.unpack("!HH", query[:4])
        asked, end = name_of(query, 12)
        kind = struct.unpack("!H", query[end:end + 2])[0]
        question = query[12:end + 4]
        with self.lock:
            self.asked.append((transport, asked, kind))
            name = self.names.get(asked)
        if name is None:
            return struct.pack("!HHHHHH", ident, 0x8580 | flags & 0x100 | NXDOMAIN, 1, 0, 0, 0) + question
        if name.mode == "silent" or (name.mode == "silent6" and kind == AAAA):
            return None
        if name.mode == "garbage":
            return struct.pack("!HHHHHH", ident, 0x8580, 1, 7, 0, 0) + question + b"\xc0\xff\x00"
        if name.mode == "truncate" and transport == "udp":
            return struct.pack("!HHHHHH", ident, 0x8780, 1, 0, 0, 0) + question
        records = []
        owner = b"\xc0\x0c"
        if name.alias:
            target = wire_of(name.alias)
            records.append(owner + struct.pack("!HHIH", CNAME, 1, name.ttl, len(target)) + target)
            owner = target
        records += [owner + struct.pack("!HHIH", kind, 1, name.ttl, len(a.packed)) + a.packed
                    for a in name.addresses if (a.version == 4) == (kind == A) and kind in (A, AAAA)]
        return struct.pack("!HHHHHH", ident, 0x8580 | name.rcode, 1, len(records), 0, 0) + question + b"".join(records)

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
                answer = self._answer(query, "udp")
                if answer:
                    self.udp.sendto(answer, peer)
            except OSError:
                return

    def _serve_tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(conn,), daemon=True).start()

    def _serve_one(self, conn):
        with conn, conn.makefile("rb") as f:
            while True:
                head = f.read(2)
                if len(head) < 2:
                    return
                answer = self._answer(f.read(struct.unpack("!H", head)[0]), "tcp")
                if answer:
                    conn.sendall(struct.pack("!H", len(answer)) + answer)

# SPDX-License-Identifier: Apache-2.0
"""DNS messages by hand (RFC 1035), good ones and others."""
import ipaddress
import struct

A, CNAME, TXT, AAAA, OPT = 1, 5, 16, 28, 41
POINTER = b"\xc0\x0c"  # to the question's name


def name(text):
    return b"".join(bytes([len(l)]) + l.encode() for l in text.split(".") if l) + b"\0"


def question(text, kind=A, ident=7):
    return struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0) + name(text) + struct.pack("!HH", kind, 1)


def record(data, kind, ttl=300, owner=POINTER):
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def address(ip, ttl=300, owner=POINTER):
    ip = ipaddress.ip_address(ip)
    return record(ip.packed, A if ip.version == 4 else AAAA, ttl, owner)


def cname(to, ttl=300, owner=POINTER):
    return record(name(to), CNAME, ttl, owner)


def answer(text, *records, kind=None, flags=0x8180, ident=7, questions=1, count=None, extra=b""):
    """records: bytes, or addresses."""
    records = [r if isinstance(r, bytes) else address(r) for r in records]
    if kind is None:
        kind = AAAA if any(r[2:4] == b"\0\x1c" for r in records) else A
    head = struct.pack("!HHHHHH", ident, flags, questions, len(records) if count is None else count, 0,
                       1 if extra else 0)
    return head + name(text) + struct.pack("!HH", kind, 1) + b"".join(records) + extra


def edns(size=1232):
    return b"\0" + struct.pack("!HHIH", OPT, size, 0, 0)


def asked(message):
    """Name, type and id of a question."""
    ident = struct.unpack_from("!H", message)[0]
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), struct.unpack_from("!H", message, at + 1)[0], ident

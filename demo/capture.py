#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads what tcpdump wrote (pcap, Ethernet, IPv4) back into TCP streams, one per direction. Only for a small
capture on a bridge that loses nothing: no segment is reordered."""

import struct


def packets(data):
    if len(data) < 24:
        return
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}[data[:4]]
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        yield data[at + 16:at + 16 + length]
        at += 16 + length


def streams(path):
    """{(source, source port, destination, destination port): bytes}"""
    found, upto = {}, {}
    with open(path, "rb") as f:
        data = f.read()
    for p in packets(data):
        if p[12:14] != b"\x08\x00" or p[23] != 6:
            continue
        ip = p[14:14 + struct.unpack(">H", p[16:18])[0]]
        tcp = ip[(ip[0] & 15) * 4:]
        ports, sequence = struct.unpack(">HHI", tcp[:8])[:2], struct.unpack(">I", tcp[4:8])[0]
        payload = tcp[(tcp[12] >> 4) * 4:]
        key = (".".join(map(str, ip[12:16])), ports[0], ".".join(map(str, ip[16:20])), ports[1])
        # A segment seen again adds nothing.
        if payload and upto.get(key) != sequence:
            found[key] = found.get(key, b"") + payload
            upto[key] = sequence
    return found


def client_hello_alpn(stream):
    """The protocols a TLS client offers (RFC 8446 4.1.2, RFC 7301), [] when it is no ClientHello."""
    if stream[:2] != b"\x16\x03" or stream[5:6] != b"\x01":
        return []
    at = 9 + 2 + 32
    at += 1 + stream[at]  # session id
    at += 2 + struct.unpack_from(">H", stream, at)[0]  # cipher suites
    at += 1 + stream[at]  # compression
    end = at + 2 + struct.unpack_from(">H", stream, at)[0]
    at += 2
    while at + 4 <= min(end, len(stream)):
        kind, length = struct.unpack_from(">HH", stream, at)
        if kind == 16:
            body, offered = stream[at + 6:at + 4 + length], []
            while body:
                offered.append(body[1:1 + body[0]].decode("ascii", "replace"))
                body = body[1 + body[0]:]
            return offered
        at += 4 + length
    return []

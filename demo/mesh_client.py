#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Talks to a sidecar as another sidecar would (TLS 1.3, ALPN weir-h2, HTTP/2), with whatever
certificate it is given: what somebody does who has stolen one. One GET; prints the status.

usage: mesh_client.py IDENTITY-DIRECTORY ADDRESS PORT
"""

import socket
import ssl
import struct
import sys

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# RFC 7541 Appendix A: index of ":status NNN"; Appendix B: the Huffman codes of the ten digits.
STATUS = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}
DIGITS = {"00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4",
          "011011": "5", "011100": "6", "011101": "7", "011110": "8", "011111": "9"}


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(s):
    return bytes([len(s)]) + s.encode()


def request(authority):
    """:method GET, :scheme http, :path / from the static table, :authority spelt out."""
    return b"\x82\x86\x84" + b"\x01" + text(authority)


def read(s, n):
    found = b""
    while len(found) < n:
        more = s.recv(n - len(found))
        if not more:
            raise ConnectionError("closed by the server")
        found += more
    return found


def status_of(block):
    """The first field of an answer is :status (RFC 9113 8.3)."""
    while block[0] & 0xE0 == 0x20:  # a change of the table's size
        block = block[1:] if block[0] & 0x1F != 0x1F else block[3:]
    if block[0] & 0x80:
        return STATUS[block[0] & 0x7F]
    length, value = block[1] & 0x7F, block[2:2 + (block[1] & 0x7F)]
    if not block[1] & 0x80:
        return value.decode()
    bits, digits, code = "".join(f"{b:08b}" for b in value), "", ""
    for bit in bits:
        code += bit
        if code in DIGITS:
            digits, code = digits + DIGITS[code], ""
        if len(digits) == 3:
            break
    assert length
    return digits


def main():
    directory, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a SPIFFE id is no host name
    context.load_verify_locations(directory + "/ca.crt")
    context.load_cert_chain(directory + "/tls.crt", directory + "/tls.key")
    context.set_alpn_protocols(["weir-h2"])
    with socket.create_connection((host, port), timeout=5) as plain, \
            context.wrap_socket(plain) as s:
        print(f"alpn={s.selected_alpn_protocol()}")
        s.sendall(PREFACE + frame(SETTINGS, 0, 0) +
                  frame(HEADERS, END_STREAM | END_HEADERS, 1, request(f"{host}:{port}")))
        while True:
            head = read(s, 9)
            kind, flags = head[3], head[4]
            payload = read(s, int.from_bytes(head[:3], "big"))
            if kind == SETTINGS and not flags & ACK:
                s.sendall(frame(SETTINGS, ACK, 0))
            elif kind == HEADERS:
                print(f"status={status_of(payload)}")
                return
            elif kind in (RST_STREAM, GOAWAY):
                raise ConnectionError(f"frame {kind}, error {int.from_bytes(payload[-4:], 'big')}")


try:
    main()
except (OSError, ssl.SSLError) as e:
    sys.exit(f"refused: {type(e).__name__}: {e}")

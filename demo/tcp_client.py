#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary TCP client: says a line, prints the peer's address as the kernel tells it
(getpeername) and the answer. Exit code 1 when it cannot connect.

usage: tcp_client.py ADDRESS PORT WORDS...
"""

import socket
import sys

try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as s:
        peer = s.getpeername()
        s.sendall(" ".join(sys.argv[3:]).encode() + b"\n")
        answer = s.makefile().readline().strip()
except OSError as e:
    sys.exit(f"{type(e).__name__}: {e.strerror or e}")
print(f"peer={peer[0]}:{peer[1]}")
print(answer)

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary TCP server: answers each line with its name, the caller's address and the line. Knows
nothing of weir, nor of HTTP.

usage: tcp_server.py NAME PORT
"""

import socket
import socketserver
import sys

NAME, PORT = sys.argv[1], int(sys.argv[2])


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        caller = self.client_address[0].removeprefix("::ffff:")
        for line in self.rfile:
            self.wfile.write(f"{NAME} saw {caller} say ".encode() + line)


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6  # and IPv4 as well
    allow_reuse_address = True
    request_queue_size = 256
    daemon_threads = True


Server(("::", PORT), Handler).serve_forever()

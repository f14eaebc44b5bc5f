#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary HTTP server: answers every request with its own name and what it was asked, as JSON
on one line. Knows nothing of weir.

usage: http_server.py NAME PORT
"""

import http.server
import json
import socket
import sys

NAME, PORT = sys.argv[1], int(sys.argv[2])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        said = self.rfile.read(length)
        body = json.dumps({
            "server": NAME, "method": self.command, "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": said.decode("utf-8", "replace"),
            "from": self.client_address[0],
        }).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_args):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6  # and IPv4 as well
    request_queue_size = 256
    daemon_threads = True


Server(("::", PORT), Handler).serve_forever()

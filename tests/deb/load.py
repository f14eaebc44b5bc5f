# SPDX-License-Identifier: Apache-2.0
"""In the machine's network: a server at one port, strict clients at another. Says how many requests were answered, each second a line, until
its standard input ends; then what failed, as JSON."""

import http.server
import json
import os
import select
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from clients import Clients  # noqa: E402


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def main(server_port, client_port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", server_port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    groups = [Clients(client_port, path="/", strict=True), Clients(client_port, n=2, path="/", strict=True, fresh=True)]
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        print(min(g.done for g in groups), flush=True)
    done = [g.finish() for g in groups]
    print(json.dumps({"done": [n for n, _ in done], "failed": [f for _, failed in done for f in failed]}))


main(int(sys.argv[1]), int(sys.argv[2]))

# SPDX-License-Identifier: Apache-2.0
"""Chromium through weir over HTTPS and HTTP/2 to HTTP/1.1 servers: a page with many parts, uploads, streams, server-sent events, WebSocket."""

import base64
import hashlib
import json
import os
import queue
import struct
import subprocess
import threading
import zlib

import ports
from backends import BLOCK, Site, SiteHandler
from test_websocket import Echo

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: weir
  listeners:
  - name: https
    port: {port}
    protocol: HTTPS
    tls: {{mode: Terminate, options: {{weir.dev/cert-file: "{cert}", weir.dev/key-file: "{key}"}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: page}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - matches: [{{path: {{value: /ws}}}}]
    backendRefs: [{{name: ws, port: 80}}]
  - backendRefs: [{{name: site, port: 80}}]
---
apiVersion: weir.dev/v1alpha1
kind: Proxy
metadata: {{name: edge}}
spec: {{admin: "127.0.0.1:0", accessLog: json}}
"""
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}}}]
endpoints: [{{addresses: ["127.0.0.1"]}}]
"""


def png():
    """One pixel."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b""))


class Page(SiteHandler):
    """Beside what every Site has: the page, its parts, and the result it sends."""

    results, released, hung_up = queue.Queue(), threading.Event(), threading.Event()

    def typed(self, kind, body, headers=()):
        self.reply(body, headers=[("Content-Type", kind), *headers])

    def do_page(self):
        with open(os.path.join(HERE, "page.html"), "rb") as f:
            self.typed("text/html; charset=utf-8", f.read())

    def answer(self):
        if self.path == "/style.css":
            self.typed("text/css", b"body { color: rgb(1, 2, 3) }")
        elif self.path == "/script.js":
            self.typed("text/javascript", b"window.fromScript = 'script';")
        else:
            super().answer()

    do_GET = do_POST = answer

    def do_image(self, _n):
        self.typed("image/png", png(), [("Cache-Control", "no-store")])

    def do_digest(self):
        self.reply(hashlib.sha256(b"".join(self.chunks_in())).hexdigest().encode())

    def do_bytes(self, n):
        body = (BLOCK * 8)[:int(n)]
        self.reply(body, headers=[("X-Digest", hashlib.sha256(body).hexdigest())])

    def chunk(self, text):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))

    def begin(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def do_stream(self):
        self.begin("text/plain")
        self.chunk(b"first piece")
        assert self.released.wait(30)
        for n in range(100):
            self.chunk(b"%d," % n)
        self.chunk(b"")

    def do_release(self):
        self.released.set()
        self.reply(b"ok")

    def do_events(self):
        self.begin("text/event-stream")
        for n in range(5):
            self.chunk(b"event: tick\ndata: %d\n\n" % n)

    def do_hang(self):
        """Until the browser gives up: then weir ends this connection."""
        if self.connection.recv(1) == b"":
            self.hung_up.set()
        self.close_connection = True

    def do_result(self):
        self.results.put(json.loads(b"".join(self.chunks_in())))
        self.reply(b"thanks")


def pin_of(cert):
    """What chromium is told to trust: the digest of that certificate's key."""
    key = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, check=True, capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def test_a_page_and_all_it_does(proxy, tmp_path, certs):
    site, echo, port = Site(), Echo(), ports.free_port()
    site.server.RequestHandlerClass = Page
    (tmp_path / "edge.yaml").write_text(
        CONFIG.format(port=port, cert=certs.server, key=certs.server_key) +
        SERVICE.format(name="site", port=site.port) + SERVICE.format(name="ws", port=echo.port))
    p = proxy("--config", tmp_path / "edge.yaml")
    with open(tmp_path / "browser.log", "wb") as log:
        browser = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--no-proxy-server", f"--user-data-dir={tmp_path}/profile",
             f"--ignore-certificate-errors-spki-list={pin_of(certs.server)}", "--remote-debugging-port=0",
             f"https://localhost:{port}/page"], stdout=log, stderr=log, start_new_session=True)
    try:
        found = Page.results.get(timeout=120)
    except queue.Empty:
        raise AssertionError(p.out()[-3000:] + (tmp_path / "browser.log").read_text()[-3000:]) from None
    finally:
        browser.terminate()
        browser.wait(30)
        echo.close()
        site.close()
    assert found == {"images": 150, "upload": True, "download": True, "stream": "first piece|" + "".join(f"{n}," for n in range(100)),
                     "events": "0,1,2,3,4", "socket": True, "aborted": "AbortError", "script": "script",
                     "style": "rgb(1, 2, 3)", "page": "h2", "notHttp2": ""}
    assert Page.hung_up.wait(20), "an aborted fetch did not reach the server"
    lines = [json.loads(line) for line in p.out().splitlines()]
    assert not [line for line in lines if line["response_code"] >= 400], "a part was refused"
    tunnel = next(line for line in lines if line["path"] == "/ws")
    assert (tunnel["protocol"], tunnel["response_code"]) == ("HTTP/2", 101), "the WebSocket had a connection of its own"

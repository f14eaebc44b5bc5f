# SPDX-License-Identifier: Apache-2.0
"""What is soaked: a gateway (HTTP and HTTPS) before a meshed HTTP/1.1 application with its sidecar, two gRPC servers and a WebSocket server;
and what happens to it: reloads, endpoints that come and go, certificates that are renewed."""

import os
import pathlib
import socket
import ssl
import subprocess
import time

import ports
import proxies
from backends import Site
from grpcsite import GrpcSite
from test_websocket import Echo
from twosides import DOCUMENTS, SIDECAR

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec:
  gatewayClassName: weir
  listeners:
  - {{name: http, port: {http}, protocol: HTTP}}
  - {{name: https, port: {https}, protocol: HTTPS, tls: {{options: {{weir.dev/cert-file: {dir}/web/tls.crt, weir.dev/key-file: {dir}/web/tls.key}}}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: app, namespace: default}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - matches: [{{path: {{value: /ws}}}}]
    backendRefs: [{{name: ws, port: 80}}]
  - backendRefs: [{{name: app, port: 80}}]
    filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{set: [{{name: x-turn, value: "{turn}"}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: calls, namespace: default}}
spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: calls, port: 80}}]}}]}}
---
apiVersion: weir.dev/v1alpha1
kind: Proxy
metadata: {{name: edge}}
spec: {{identityDir: {dir}/edge, admin: "127.0.0.1:0", accessLog: "off"}}
"""
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec: {{ports: [{{name: {port_name}, port: 80}}]}}
"""
SLICE = """\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-{n}, namespace: default, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: {port_name}, port: {port}}}]
endpoints: [{{addresses: ["127.0.0.1"]}}]
"""


class World:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.turn = self.rotations = 0
        self.site, self.echo = Site(address=("127.0.0.2", 0)), Echo()
        self.calls = [GrpcSite(name=n, options=[("grpc.max_connection_age_ms", 20_000)]) for n in "ab"]
        self.dead = ports.free_port()
        self.http, self.https = ports.free_port(), ports.free_port()
        self._ca("init")
        self.ca = str(self.dir / "web-ca.pem")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "web-ca.key",
                      "-out", "web-ca.pem", "-days", "2", "-subj", "/CN=soak")
        self.rotate()
        self.write()
        self.sidecar = proxies.Proxy(self.dir, "--config", self.dir / "app.yaml", "--access-log", "off").ready()
        self.edge = proxies.Proxy(self.dir, "--config", self.dir / "edge.yaml").ready()
        self.proxies = {"edge": self.edge, "sidecar": self.sidecar}

    def _ca(self, *args):
        done = proxies.weir("ca", "--dir", self.dir / "ca", *args)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.dir, check=True, capture_output=True)

    def put(self, name, text):
        new = self.dir / f".{name}"
        new.write_text(text)
        os.rename(new, self.dir / name)

    def write(self):
        """A reload: the route says another number, and the calls go to other servers, one of them dead now and then."""
        say = {"app": self.site.port, "http": self.http, "https": self.https, "dir": self.dir, "protocol": "http", "turn": self.turn}
        alive = [[0], [0, 1], [1]][self.turn % 3]
        ends = [self.calls[n].port for n in alive] + ([self.dead] if self.turn % 4 == 0 else [])
        text = (DOCUMENTS + GATEWAY).format(**say)
        text += SERVICE.format(name="ws", port_name="http") + SLICE.format(name="ws", n=0, port_name="http", port=self.echo.port)
        text += SERVICE.format(name="calls", port_name="grpc")
        text += "".join(SLICE.format(name="calls", n=n, port_name="grpc", port=port) for n, port in enumerate(ends))
        self.put("edge.yaml", text)
        if self.turn == 0:
            self.put("app.yaml", (DOCUMENTS + SIDECAR).format(**say))
        self.turn += 1

    def rotate(self):
        """New certificates as the kubelet puts them there: a new directory, and the link to it replaced."""
        self.rotations += 1
        for name in ("edge", "app", "web"):
            out = self.dir / name / f"..{self.rotations}"
            out.parent.mkdir(exist_ok=True)
            if name == "web":
                out.mkdir()
                (out / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
                self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{out}/tls.key",
                              "-out", f"{out}/csr", "-subj", f"/CN=localhost-{self.rotations}")
                self._openssl("x509", "-req", "-in", f"{out}/csr", "-CA", "web-ca.pem", "-CAkey", "web-ca.key", "-CAcreateserial",
                              "-days", "2", "-extfile", f"{out}/ext", "-out", f"{out}/tls.crt")
            else:
                self._ca("--out", out, "issue", f"default/{name}")
            link = self.dir / name / "..new"
            link.symlink_to(out.name)
            os.replace(link, self.dir / name / "..data")
            for file in ("tls.crt", "tls.key", "ca.crt"):
                at = self.dir / name / file
                if not at.is_symlink():
                    at.symlink_to(f"..data/{file}")

    def served_certificate(self, timeout=20):
        """The number of the certificate that a new handshake gets, at the latest in a while the newest."""
        deadline = time.monotonic() + timeout
        while True:
            context = ssl.create_default_context(cafile=self.ca)
            with context.wrap_socket(socket.create_connection(("127.0.0.1", self.https), timeout=20), server_hostname="localhost") as s:
                name = dict(pair for part in s.getpeercert()["subject"] for pair in part)["commonName"]
            number = int(name.split("-")[1])
            if number == self.rotations or time.monotonic() > deadline:
                return number
            time.sleep(0.5)

    def sample(self):
        return {name: (p.rss(), p.fds()) for name, p in self.proxies.items()}

    def at_rest(self):
        """Without clients: what is open that should not be. A reason, or None."""
        deadline = time.monotonic() + 60
        while True:
            left = []
            for name, p in self.proxies.items():
                m = p.metrics()
                left += [f"{name}: {key} = {m[key]:g}" for key in ("weir_requests_active", "weir_downstream_connections_active")
                         if m[key] > (4 if name == "sidecar" and "downstream" in key else 0)]
            if not left or time.monotonic() > deadline:
                return "; ".join(left) or None
            time.sleep(0.5)

    def close(self):
        """None, or how a proxy ended that did not end well."""
        codes = {name: p.stop() for name, p in self.proxies.items()}
        for x in (self.site, self.echo, *self.calls):
            x.close()
        bad = {name: code for name, code in codes.items() if code != 0}
        return f"exit codes {bad}" if bad else None

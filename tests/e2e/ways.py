# SPDX-License-Identifier: Apache-2.0
"""Every way through weir from a client's version of HTTP to a server's: plain, with TLS on both sides, and through two proxies with mTLS
between them. A way is named `transport-client-server`, as in `mesh-h1-h2`."""

import contextlib

import proxies
from backends import server_tls
from twosides import TwoSides

VERSIONS = ("h1", "h2")
TRANSPORTS = ("plain", "tls", "mesh")
ALL = [f"{t}-{c}-{s}" for t in TRANSPORTS for c in VERSIONS for s in VERSIONS]


class Way:
    """`server_of(version, address, tls)` makes the server; it has a port. tls is an ssl context or None."""

    def __init__(self, name, proxy, directory, certs, server_of):
        self.name = name
        self.transport, self.client, self.upstream = name.split("-")
        tls = self.transport == "tls"
        context = server_tls(certs.server, certs.server_key, ["h2" if self.upstream == "h2" else "http/1.1"]) if tls else None
        self.server = server_of(self.upstream, "127.0.0.2" if self.transport == "mesh" else "127.0.0.1", context)
        self.ca = certs.ca if tls else None
        if self.transport == "mesh":
            two = TwoSides(directory, proxy, self.server.port,
                           "kubernetes.io/h2c" if self.upstream == "h2" else "http")
            self.port, self.proxies = two.port, [two.edge, two.sidecar]
            return
        scheme = "https" if tls else "h2c" if self.upstream == "h2" else "http"
        extra = ("--cert", certs.server, "--key", certs.server_key, "--to-ca", certs.ca) if tls else ()
        p = proxy("--listen", "127.0.0.1:0", "--to", f"{scheme}://127.0.0.1:{self.server.port}",
                  "--admin", "127.0.0.1:0", "--access-log", "json", *extra)
        self.port, self.proxies = p.port, [p]

    @property
    def h1_both(self):
        return self.client == self.upstream == "h1"

    def url(self, path="/"):
        return f"{'https' if self.ca else 'http'}://localhost:{self.port}{path}"

    def curl_flags(self):
        version = {"h1": "--http1.1", "h2": "--http2" if self.ca else "--http2-prior-knowledge"}[self.client]
        return ["-4", version, *(["--cacert", self.ca] if self.ca else [])]


@contextlib.contextmanager
def opened(name, directory, certs, server_of):
    """A way with everything on it; the proxies must end well."""
    started = []

    def start(*args):
        started.append(proxies.Proxy(directory, *args))
        return started[-1].ready()
    way = Way(name, start, directory, certs, server_of)
    try:
        yield way
    finally:
        way.server.close()
        codes = [p.stop() for p in started]
    for p in started:
        p.no_sanitizer_report()
    assert codes == [0] * len(codes), "".join(p.err()[-4000:] for p in started)

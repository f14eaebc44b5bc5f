# SPDX-License-Identifier: Apache-2.0
"""TLSRoute: TLS passed through by name or ended at the gateway; certificates from Secrets; BackendTLSPolicy towards the servers."""

import base64
import socket
import ssl
import threading

import pytest

from backends import Site, server_tls
from gateways import World, connect, gateway, https, proxy_doc, route, service, subject
from proxies import curl, pods


class Echo:
    """Sends back what it gets, then, at the client's end, how much that was; over TLS or not."""

    def __init__(self, tls=None, greeting=b""):
        self.tls, self.greeting, self.seen = tls, greeting, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            if self.tls:
                s = self.tls.wrap_socket(s, server_side=True)
                self.seen.append(s.getpeercert())
            else:
                self.seen.append(None)
            s.sendall(self.greeting)
            n = 0
            while True:
                data = s.recv(65536)
                if not data:
                    break
                n += len(data)
                s.sendall(data)
            s.sendall(b"%d bytes" % n)
            s.close()
        except OSError:
            pass

    def close(self):
        self.socket.close()


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path / "config")
    w.servers = []
    yield w
    for s in w.servers:
        s.close()


@pytest.fixture(scope="module")
def more_certs(certs):
    certs.issue("one", san="DNS:one.test")
    certs.issue("two", san="DNS:two.test,URI:spiffe://cluster.local/ns/default/sa/two")
    return certs


def echo(w, certs=None, leaf=None, **kwargs):
    s = Echo(server_tls(getattr(certs, leaf), getattr(certs, leaf + "_key")) if leaf else None, **kwargs)
    w.servers.append(s)
    return s


def passthrough(name, port, host):
    hostname = f"hostname: \"{host}\", " if host else ""
    return f"{{name: {name}, port: {port}, protocol: TLS, {hostname}tls: {{mode: Passthrough}}}}"


def secret(certs, name, leaf, data=True):
    def read(path):
        with open(path, encoding="ascii") as f:
            return f.read()

    cert, key = read(getattr(certs, leaf)), read(getattr(certs, leaf + "_key"))
    if data:
        b64 = {k: base64.b64encode(v.encode()).decode() for k, v in (("tls.crt", cert), ("tls.key", key))}
        return (f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\n"
                f"data: {{tls.crt: {b64['tls.crt']}, tls.key: {b64['tls.key']}}}\n---\n")

    def block(text):
        return "".join("    " + line + "\n" for line in text.splitlines())
    return (f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n"
            f"  tls.crt: |\n{block(cert)}  tls.key: |\n{block(key)}---\n")


def exchange(t, data):
    t.sendall(data)
    got = b""
    while len(got) < len(data):
        more = t.recv(65536)
        assert more
        got += more
    assert got == data


@pytest.mark.parametrize("version", ["v1", "v1alpha3", "v1alpha2"])
def test_tls_passes_through_by_name(world, proxy, more_certs, version):
    one, two = echo(world, more_certs, "one"), echo(world, more_certs, "two")
    world.put(proxy_doc() + service("one", one.port) + service("two", two.port)
              + gateway([passthrough("any", world.port, None)])
              + route("r1", "any", "one", "TLSRoute", "[one.test, \"*.test\"]", version)
              + route("r2", "any", "two", "TLSRoute", "[two.test]", version))
    p = proxy("--config", world.dir)
    for name, leaf in (("one.test", "one"), ("two.test", "two"), ("three.test", "one"), ("ONE.test", "one")):
        with connect(world.port, more_certs.ca, name) as t:
            assert subject(t) == leaf
            exchange(t, bytes(range(256)) * 2000)
    with pytest.raises(ssl.SSLError) as e:
        connect(world.port, more_certs.ca, "elsewhere.example")
    assert "UNRECOGNIZED_NAME" in str(e.value).upper()
    with pytest.raises(ssl.SSLError):
        connect(world.port, more_certs.ca, None)
    assert p.metric("weir_relays_total") == 4
    assert p.metric("weir_tls_handshakes_total") == 0
    pods.wait_for(lambda: p.out().count('"authority":"one.test"') == 1, what="the access line")


def test_half_close_passes_and_a_slow_start_is_kept(world, proxy, more_certs):
    one = echo(world)
    world.put(proxy_doc() + service("one", one.port) + gateway([passthrough("any", world.port, None)])
              + route("r1", "any", "one", "TLSRoute", "[one.test]"))
    proxy("--config", world.dir)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="one.test").do_handshake()
    hello = outgoing.read()
    with socket.create_connection(("127.0.0.1", world.port), timeout=20) as s:
        for i in range(0, len(hello), 50):
            s.sendall(hello[i:i + 50])
        s.sendall(b"and more behind it")
        s.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            more = s.recv(65536)
            if not more:
                break
            got += more
    assert got == hello + b"and more behind it" + b"%d bytes" % (len(hello) + 18)


def test_tls_ended_at_the_gateway_goes_on_as_bytes(world, proxy, more_certs):
    one = echo(world, greeting=b"220 hello\r\n")  # its server speaks first
    world.put(proxy_doc() + service("one", one.port) + secret(more_certs, "cert", "one", data=False)
              + gateway([f"{{name: end, port: {world.port}, protocol: TLS, tls: {{mode: Terminate, "
                         "certificateRefs: [{name: cert}]}}"])
              + route("r1", "end", "one", "TLSRoute", "[one.test]"))
    p = proxy("--config", world.dir)
    with connect(world.port, more_certs.ca, "one.test", ["imap"]) as t:
        assert subject(t) == "one" and t.selected_alpn_protocol() is None
        assert t.recv(100) == b"220 hello\r\n"
        exchange(t, b"x" * 300000)
    with pytest.raises(ssl.SSLError):
        connect(world.port, more_certs.ca, "two.test")
    assert p.metric("weir_tls_handshakes_total") == 1 and p.metric("weir_relays_total") == 1


def test_backends_have_their_share_and_none_is_a_refusal(world, proxy, more_certs):
    one, two = echo(world, more_certs, "one"), echo(world, more_certs, "two")
    rules = ("  rules: [{backendRefs: [{name: one, port: 80, weight: 1}, {name: two, port: 80, weight: 3}, "
             "{name: gone, port: 80, weight: 0}]}]\n---\n")
    world.put(proxy_doc() + service("one", one.port) + service("two", two.port)
              + gateway([passthrough("any", world.port, None)])
              + route("r1", "any", "one", "TLSRoute", "[one.test]").split("  rules:")[0] + rules
              + route("r2", "any", "gone", "TLSRoute", "[gone.test]"))
    p = proxy("--config", world.dir)
    got = []
    for _ in range(60):
        with connect(world.port, more_certs.ca, "one.test") as t:
            got.append(subject(t))
    assert 25 < got.count("two") < 60 and got.count("one") > 3
    with pytest.raises(ssl.SSLError) as e:
        connect(world.port, more_certs.ca, "gone.test")
    assert "INTERNAL_ERROR" in str(e.value).upper()
    assert "Service default/gone is not among the documents" in p.err()


def test_https_and_passthrough_share_a_port(world, proxy, more_certs, site):
    two = echo(world, more_certs, "two")
    world.put(proxy_doc() + service("two", two.port) + service("site", site.port)
              + gateway([https("web", world.port, "one.test", more_certs, "one"),
                         passthrough("pass", world.port, "two.test")])
              + route("r1", "pass", "two", "TLSRoute") + route("r2", "web", "site"))
    proxy("--config", world.dir)
    with connect(world.port, more_certs.ca, "two.test") as t:
        assert subject(t) == "two"
        exchange(t, b"hello")
    done = curl("--cacert", more_certs.ca, "--connect-to", f"one.test:443:127.0.0.1:{world.port}",
                "https://one.test/")
    assert done.stdout == b"ok\n"


def test_a_secret_that_changes_is_a_new_certificate(world, proxy, more_certs, site):
    def text(leaf):
        return (proxy_doc() + service("site", site.port) + secret(more_certs, "cert", leaf)
                + gateway([f"{{name: web, port: {world.port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]}}}}"])
                + route("r", "web", "site"))

    world.put(text("one"))
    p = proxy("--config", world.dir)

    def served():
        with connect(world.port, more_certs.ca, "x.test") as t:
            return subject(t)

    assert served() == "one"
    world.reload(p, text("two"))
    assert served() == "two"
    with open(more_certs.one_key, encoding="ascii") as f:
        middle = f.read().splitlines()[1]
    assert middle not in p.err() + p.out() + p.get_admin("/status") + p.get_admin("/metrics")


def backend_tls(ca=None, hostname="two.test", more="", options=""):
    trust = f"caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: {ca}}}], " if ca else ""
    return ("apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: p}\nspec:\n"
            "  targetRefs: [{group: \"\", kind: Service, name: two}]\n"
            f"  validation: {{{trust}hostname: {hostname}{more}}}\n{options}---\n")


def config_map(name, path):
    with open(path, encoding="ascii") as f:
        text = "".join("    " + line for line in f)
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  ca.crt: |\n{text}---\n"


@pytest.fixture
def upstream(world, proxy, more_certs):
    """start(documents) -> what a request through the gateway gets."""
    names = []
    context = server_tls(more_certs.two, more_certs.two_key)
    context.sni_callback = lambda s, name, c: names.append(name)
    site = Site("two", context)
    base = (proxy_doc() + service("two", site.port) + config_map("ca", more_certs.ca)
            + config_map("other", more_certs.otherca)
            + gateway([f"{{name: web, port: {world.port}, protocol: HTTP}}"]) + route("r", "web", "two"))

    def start(text):
        world.put(base + text)
        start.proxy = proxy("--config", world.dir)
        done = curl("-i", f"http://127.0.0.1:{world.port}/name")
        return int(done.stdout.split()[1]), done.stdout
    start.names, start.site = names, site
    yield start
    site.close()


def test_a_backend_is_called_with_tls_and_verified(upstream):
    status, text = upstream(backend_tls("ca"))
    assert status == 200 and text.endswith(b"two") and upstream.names == ["two.test"]


def test_a_backend_of_another_ca_is_not(upstream):
    status, text = upstream(backend_tls("other"))
    assert status == 503 and b"upstream_tls" in text and upstream.site.requests == 0


def test_a_backend_of_another_name_is_not(upstream):
    status, text = upstream(backend_tls("ca", hostname="three.test"))
    assert status == 503 and b"upstream_tls" in text and upstream.site.requests == 0


def test_subject_alt_names_decide_instead_of_the_hostname(upstream):
    sans = ", subjectAltNames: [{type: Hostname, hostname: nobody.test}, {type: URI, uri: \"%s\"}]"
    status, _ = upstream(backend_tls("ca", "three.test", sans % "spiffe://cluster.local/ns/default/sa/two"))
    assert status == 200 and upstream.names == ["three.test"]


def test_none_of_the_subject_alt_names_is_a_refusal(upstream):
    sans = ", subjectAltNames: [{type: URI, uri: \"spiffe://cluster.local/ns/default/sa/three\"}]"
    status, text = upstream(backend_tls("ca", "two.test", sans))
    assert status == 503 and b"upstream_identity" in text and upstream.site.requests == 0


def test_a_bundle_that_is_not_there_means_no_call_at_all(upstream):
    status, text = upstream(backend_tls("gone"))
    assert status == 503 and b"no_endpoint" in text and upstream.site.requests == 0
    assert "ConfigMap default/gone is not among the documents" in upstream.proxy.err()


def test_a_bundle_in_a_file(upstream, more_certs):
    status, _ = upstream(backend_tls(options=f"  options: {{weir.dev/ca-file: {more_certs.ca}}}\n"))
    assert status == 200


def test_the_systems_store_does_not_know_the_test_ca(upstream):
    status, text = upstream(backend_tls(more=", wellKnownCACertificates: System"))
    assert status == 503 and b"upstream_tls" in text


def test_bytes_from_an_ended_tls_go_on_in_the_policys_tls(world, proxy, more_certs):
    two = echo(world, more_certs, "two")
    world.put(proxy_doc() + service("two", two.port) + secret(more_certs, "cert", "one") + config_map("ca", more_certs.ca)
              + gateway([f"{{name: end, port: {world.port}, protocol: TLS, tls: {{mode: Terminate, "
                         "certificateRefs: [{name: cert}]}}"])
              + route("r1", "end", "two", "TLSRoute", "[one.test]") + backend_tls("ca"))
    proxy("--config", world.dir)
    with connect(world.port, more_certs.ca, "one.test") as t:
        assert subject(t) == "one"
        exchange(t, b"through two of them" * 1000)
    assert len(two.seen) == 1

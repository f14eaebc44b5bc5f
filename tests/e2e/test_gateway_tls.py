# SPDX-License-Identifier: Apache-2.0
"""Several listeners behind one port of a Gateway: who is meant is said by SNI, and by Host where there is no TLS; what is opened and
closed by a reload; certificates that are exchanged underneath."""

import os
import socket
import ssl
import struct

import ports
import pytest

from backends import Site
from gateways import World, connect, gateway, https, listening_sockets, proxy_doc, route, service, subject
from proxies import curl, pods


@pytest.fixture
def sites():
    found = {name: Site(name) for name in "ab"}
    yield found
    for s in found.values():
        s.close()


@pytest.fixture
def world(tmp_path, sites):
    w = World(tmp_path / "config")
    w.services = "".join(service(n, s.port) for n, s in sites.items())
    return w


@pytest.fixture(scope="module")
def more_certs(certs):
    certs.issue("wild", san="DNS:*.example.com")
    certs.issue("api", san="DNS:api.example.com,DNS:*.example.com")
    return certs


def two_hosts(w, certs, first="wild"):
    return (proxy_doc() + w.services + gateway([https("wild", w.port, "*.example.com", certs, first),
                                                https("api", w.port, "api.example.com", certs, "api")])
            + route("one", "wild", "a") + route("two", "api", "b"))


@pytest.fixture
def edge(world, proxy, more_certs):
    world.put(two_hosts(world, more_certs))
    return proxy("--config", world.dir)


def get(w, certs, sni, host, *more):
    done = curl("-k", "--connect-to", f"{sni}:443:127.0.0.1:{w.port}", "-H", f"Host: {host}", "-w", "\n%{http_code}",
                *more, f"https://{sni}/name")
    body, _, status = done.stdout.decode().rpartition("\n")
    return int(status), body


def test_the_certificate_is_that_of_the_name_asked_for(edge, world, more_certs):
    for name, leaf in (("x.example.com", "wild"), ("api.example.com", "api"), ("API.Example.com", "api"),
                       ("y.x.example.com", "wild")):
        with connect(world.port, more_certs.ca, name) as t:
            assert subject(t) == leaf


@pytest.mark.parametrize("flag", ["--http1.1", "--http2"])
def test_a_request_goes_where_its_name_says(edge, world, more_certs, flag):
    status, body = get(world, more_certs, "x.example.com", "x.example.com", flag)
    assert status == 200 and body == "a"
    status, body = get(world, more_certs, "api.example.com", "api.example.com", flag)
    assert status == 200 and body == "b"
    status, body = get(world, more_certs, "x.example.com", "z.example.com", flag)
    assert status == 200 and body == "a"  # the same listener's


@pytest.mark.parametrize("flag", ["--http1.1", "--http2"])
def test_a_request_for_another_listener_is_misdirected(edge, world, more_certs, sites, flag):
    for sni, host in (("x.example.com", "api.example.com"), ("api.example.com", "x.example.com"),
                      ("x.example.com", "API.example.com:443")):
        status, body = get(world, more_certs, sni, host, flag)
        assert status == 421 and "misdirected" in body
    assert get(world, more_certs, "x.example.com", "elsewhere.test", flag)[0] == 404
    assert sites["a"].requests == sites["b"].requests == 0


def test_a_name_nobody_has_is_refused(edge, world, more_certs):
    for name in ("elsewhere.test", None):
        with pytest.raises(ssl.SSLError) as e:
            connect(world.port, more_certs.ca, name)
        assert "UNRECOGNIZED_NAME" in str(e.value).upper()
    edge.wait_metric("weir_tls_unknown_name_total", 2)
    edge.wait_metric("weir_tls_handshake_failures_total", 2)


def hello(name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    t = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        t.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_hello_in_many_records_and_segments_is_followed(edge, world, more_certs, size):
    message = hello("api.example.com")[5:]
    cut = [message[i:i + size] for i in range(0, len(message), size)]
    records = b"".join(b"\x16\x03\x01" + struct.pack(">H", len(c)) + c for c in cut)
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(records), 11):
            s.sendall(records[i:i + 11])
        first = s.recv(6)
    assert first[0] == 0x16 and first[5] == 2  # a ServerHello


def test_what_is_no_hello_is_refused(edge, world):
    good = hello("api.example.com")
    rows = [b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x02\x02\x00", good[:5] + b"\x01\x00\x00\x01\x03" + good[10:],
            b"\x16\x03\x01\x40\x00\x01\x00\x3f\xff" + bytes(16384)]
    for row in rows:
        with socket.create_connection(("127.0.0.1", world.port), timeout=10) as s:
            s.sendall(row)
            assert s.recv(100) == b"\x15\x03\x03\x00\x02\x02\x32"  # fatal, decode_error
            assert s.recv(100) == b""
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
        assert s.recv(100) == b""
    edge.wait_metric("weir_tls_handshake_failures_total", len(rows) + 1)
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as s:
        s.sendall(good)
        assert s.recv(1) == b"\x16"


def test_a_hello_that_does_not_come_is_not_waited_for_forever(world, proxy, more_certs):
    world.put(two_hosts(world, more_certs).replace("accessLog: json", "limits: {handshakeTimeout: 1s}"))
    p = proxy("--config", world.dir)
    for sent in (b"", b"\x16", hello("api.example.com")[:50]):
        with socket.create_connection(("127.0.0.1", world.port), timeout=20) as s:
            s.sendall(sent)
            assert s.recv(10) == b""
    p.wait_metric("weir_tls_handshake_failures_total", 3)


def test_listeners_of_a_port_share_one_socket_per_worker(edge, world):
    v4, v6 = listening_sockets(world.port, edge.pid)
    assert v4 == 2 and v6 in (0, 2)


def test_http_listeners_of_a_port_are_told_apart_by_host(world, proxy, sites):
    def listener(name, host):
        return f"{{name: {name}, port: {world.port}, protocol: HTTP, hostname: \"{host}\"}}"

    world.put(proxy_doc() + world.services + gateway([listener("wild", "*.example.com"), listener("api", "api.example.com")])
              + route("one", "wild", "a") + route("two", "api", "b"))
    p = proxy("--config", world.dir)

    def ask(host):
        done = curl("-H", f"Host: {host}", "-w", "\n%{http_code}", f"http://127.0.0.1:{world.port}/name")
        return tuple(done.stdout.decode().splitlines()[-2:])

    assert ask("x.example.com") == ("a", "200")
    assert ask("api.example.com") == ("b", "200")
    assert ask("API.example.com:80") == ("b", "200")
    assert ask("example.com")[1] == "404"
    v4, v6 = listening_sockets(world.port, p.pid)
    assert v4 == 2 and v6 in (0, 2)


def test_a_reload_opens_and_closes_listeners_and_drops_nobody(world, proxy, sites):
    second = ports.free_port()

    def text(*names):
        at = {"one": world.port, "two": second}
        return (proxy_doc() + world.services + gateway([f"{{name: {n}, port: {at[n]}, protocol: HTTP}}" for n in names])
                + route("all", None, "a"))

    def refused(port):
        with socket.socket() as s:
            s.settimeout(10)
            return s.connect_ex(("127.0.0.1", port)) != 0

    world.put(text("one"))
    p = proxy("--config", world.dir)
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as kept:
        def again():
            kept.sendall(b"GET /name HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while not got.endswith(b"a"):
                more = kept.recv(4096)
                assert more, "the connection was dropped"
                got += more
            assert got.startswith(b"HTTP/1.1 200 ")

        again()
        assert refused(second)
        world.reload(p, text("one", "two"))
        pods.wait_for(lambda: not refused(second), what="the second port")
        again()
        assert curl("-f", f"http://127.0.0.1:{second}/name").stdout == b"a"
        with socket.create_connection(("127.0.0.1", second), timeout=10) as idle:
            idle.sendall(b"GET /name HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
            world.reload(p, text("one"))
            pods.wait_for(lambda: refused(second), what="the second port to close")
            while idle.recv(4096):  # finished, not cut
                pass
        again()
        assert listening_sockets(second, p.pid) == [0, 0]
        assert p.metric('weir_config_reloads_total{result="failure"}') == 0


def test_a_port_that_cannot_be_had_is_said_and_counted(world, proxy):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", ports.free_port()))
        taken.listen()
        world.put(proxy_doc(workers=1) + gateway([f"{{name: one, port: {world.port}, protocol: HTTP}}"]))
        p = proxy("--config", world.dir)
        bad = taken.getsockname()[1]
        world.reload(p, proxy_doc(workers=1) + gateway([f"{{name: one, port: {world.port}, protocol: HTTP}}",
                                                        f"{{name: two, port: {bad}, protocol: HTTP}}"]))
        p.wait_metric("weir_listen_failures_total", 1)
        assert f"addr=0.0.0.0:{bad}" in p.err()
        assert curl("-o", "/dev/null", f"http://127.0.0.1:{world.port}/").returncode == 0


def test_a_gateways_certificate_is_exchanged_underneath(world, proxy, more_certs, tmp_path):
    """As the kubelet does it: a new directory, then the link `..data` to it."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def put(n, leaf):
        version = mount / f"..{n}"
        version.mkdir()
        for name, source in (("tls.crt", getattr(more_certs, leaf)), ("tls.key", getattr(more_certs, leaf + "_key"))):
            with open(source, "rb") as f:
                (version / name).write_bytes(f.read() if leaf != "stranger" or name == "tls.key" else b"rubbish")
        os.symlink(version.name, mount / "..new")
        os.rename(mount / "..new", mount / "..data")

    put(1, "server")
    for name in ("tls.crt", "tls.key"):
        os.symlink(f"..data/{name}", mount / name)
    listener = (f"{{name: web, port: {world.port}, protocol: HTTPS, tls: {{options: {{weir.dev/cert-file: "
                f"{mount}/tls.crt, weir.dev/key-file: {mount}/tls.key}}}}}}")
    world.put(proxy_doc() + world.services + gateway([listener]) + route("all", None, "a"))
    p = proxy("--config", world.dir)

    def served():
        with connect(world.port, more_certs.ca, "localhost") as t:
            return subject(t)

    with connect(world.port, more_certs.ca, "localhost") as old:
        assert served() == subject(old) == "server"
        put(2, "server2")
        pods.wait_for(lambda: served() == "server2", what="the new certificate")
        put(3, "stranger")
        p.wait_metric('weir_certificate_reloads_total{result="failure"}', 1)
        assert p.metric('weir_config_reloads_total{result="failure"}') == 1
        assert "tls.crt" in p.err() and "result=refused" in p.err()
        assert served() == "server2"
        put(4, "server")
        pods.wait_for(lambda: served() == "server", what="the certificate after that")
        old.sendall(b"GET /name HTTP/1.1\r\nHost: localhost\r\n\r\n")  # as before, on its own keys
        assert old.recv(4096).startswith(b"HTTP/1.1 200 ")

# SPDX-License-Identifier: Apache-2.0
"""TLS on the listener and towards the servers, with files as a user has them."""

import os
import socket
import ssl
import subprocess

import pytest

from backends import Site, body_of, server_tls, sha
from proxies import curl, pods, weir


@pytest.fixture
def tls(proxy, site, certs):
    return proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}", "--cert",
                 certs.server, "--key", certs.server_key, "--admin", "127.0.0.1:0")


def test_curl_verifies_the_certificate(tls, certs):
    assert curl("--cacert", certs.ca, tls.url("/", "https")).stdout == b"ok\n"
    assert curl("--cacert", certs.otherca, tls.url("/", "https")).returncode == 60


@pytest.mark.parametrize("flag,version", [("--http1.1", b"1.1"), ("--http2", b"2")])
def test_alpn(tls, certs, flag, version):
    done = curl("--cacert", certs.ca, flag, "-w", "%{http_version}", tls.url("/", "https"))
    assert done.stdout == b"ok\n" + version


@pytest.mark.parametrize("flag", ["--http1.1", "--http2"])
def test_large_bodies_are_byte_exact(tls, certs, tmp_path, flag):
    file = tmp_path / "in"
    file.write_bytes(body_of(20_000_000))
    up = curl("--cacert", certs.ca, flag, "-T", file, tls.url("/digest", "https"))
    assert up.stdout.split()[0].decode() == sha(body_of(20_000_000))
    down = curl("--cacert", certs.ca, flag, tls.url("/bytes/20000000", "https"))
    assert sha(down.stdout) == sha(body_of(20_000_000))


def test_plain_http_on_a_tls_listener_is_refused(tls):
    assert curl(tls.url("/")).returncode != 0
    tls.wait_metric("weir_tls_handshake_failures_total", 1)


def test_tls_1_1_is_refused(tls, certs):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{tls.port}", "-tls1_1",
                           "-cipher", "ALL:@SECLEVEL=0"], input=b"", capture_output=True, timeout=20)
    assert b"Cipher is (NONE)" in done.stdout


def test_a_client_certificate_is_asked_for_and_verified(proxy, site, certs):
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}", "--cert", certs.server,
              "--key", certs.server_key, "--client-ca", certs.ca)
    url = p.url("/", "https")
    good = curl("--cacert", certs.ca, "--cert", certs.client, "--key", certs.client_key, url)
    assert good.stdout == b"ok\n"
    assert curl("--cacert", certs.ca, url).returncode != 0
    stranger = curl("--cacert", certs.ca, "--cert", certs.stranger, "--key", certs.stranger_key, url)
    assert stranger.returncode != 0 and stranger.stdout == b""
    assert site.requests == 1


def test_a_renewed_certificate_is_taken_up_without_a_restart(proxy, site, certs, tmp_path):
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(name):
        for target, source in ((key, getattr(certs, name + "_key")), (cert, getattr(certs, name))):
            new = tmp_path / f".{target.name}"
            with open(source, "rb") as f:
                new.write_bytes(f.read())
            os.rename(new, target)

    def served():
        context = ssl.create_default_context(cafile=certs.ca)
        with socket.create_connection(("127.0.0.1", p.port), timeout=10) as s, \
                context.wrap_socket(s, server_hostname="localhost") as t:
            return dict(x[0] for x in t.getpeercert()["subject"])["commonName"]

    put("server")
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}", "--cert", cert,
              "--key", key)
    assert served() == "server"
    put("server2")
    pods.wait_for(lambda: served() == "server2", what="the new certificate")
    cert.write_text("rubbish")
    p.wait_err(r"result=refused")
    assert served() == "server2"


@pytest.fixture
def secure_site(certs):
    s = Site("secure", server_tls(certs.server, certs.server_key))
    yield s
    s.close()


def test_an_https_upstream_is_verified(proxy, secure_site, certs):
    url = f"https://127.0.0.1:{secure_site.port}"
    good = proxy("--listen", "127.0.0.1:0", "--to", url, "--to-ca", certs.ca)
    assert curl("-f", good.url("/bytes/[1000-1010]"), "-o", "/dev/null").returncode == 0
    bad = proxy("--listen", "127.0.0.1:0", "--to", url, "--to-ca", certs.otherca)
    done = curl("-i", bad.url())
    assert done.stdout.startswith(b"HTTP/1.1 503 ") or done.stdout.startswith(b"HTTP/1.1 502 ")
    wrong = proxy("--listen", "127.0.0.1:0", "--to", url, "--to-ca", certs.ca, "--to-sni",
                  "elsewhere.test")
    assert curl("-f", wrong.url()).returncode == 22
    named = proxy("--listen", "127.0.0.1:0", "--to", url, "--to-ca", certs.ca, "--to-sni",
                  "weir.test")
    assert curl("-f", named.url()).stdout == b"ok\n"


def test_an_https_upstream_may_ask_for_our_certificate(proxy, certs):
    asking = Site("asking", server_tls(certs.server, certs.server_key, client_ca=certs.ca))
    url = f"https://127.0.0.1:{asking.port}"
    with_one = proxy("--listen", "127.0.0.1:0", "--to", url, "--to-ca", certs.ca, "--to-cert",
                     certs.client, "--to-key", certs.client_key)
    assert curl("-f", with_one.url()).stdout == b"ok\n"
    without = proxy("--listen", "127.0.0.1:0", "--to", url, "--to-ca", certs.ca)
    assert curl("-f", without.url()).returncode == 22
    asking.close()


@pytest.mark.parametrize("lacking", ["cert", "key"])
def test_certificate_and_key_go_together(proxy, certs, lacking):
    given = {"cert": ["--key", certs.server_key], "key": ["--cert", certs.server]}[lacking]
    p = proxy("--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", *given, wait=False)
    assert p.wait() in (1, 2) and "--cert" in p.err() and "--key" in p.err()


def test_a_key_of_another_certificate_is_refused_at_start(proxy, certs):
    p = proxy("--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--cert", certs.server, "--key",
              certs.client_key, wait=False)
    assert p.wait() == 1 and certs.server in p.err()


def kernel_tls():
    """What the kernel says to a socket that asks for it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
        except OSError:
            return "not offered"
    return "offered"


@pytest.mark.skipif("not built in" in weir("version").stdout, reason="weir was built without the kernel half")
def test_check_says_whether_the_kernel_offers_tls():
    lines = [line for line in weir("check").stdout.splitlines() if "kernel TLS" in line]
    assert len(lines) == 1 and f" {kernel_tls()}" in lines[0]

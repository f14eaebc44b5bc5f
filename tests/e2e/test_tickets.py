# SPDX-License-Identifier: Apache-2.0
"""Session tickets as openssl's client uses them: shared by workers, renewed by time, bound to what they were given for."""

import subprocess

import pytest

from proxies import pods

REQUEST = b"GET /name HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def client(tmp_path):
    """client(port, ...) -> was the session resumed? `keep` stores the session, `use` offers the stored one."""
    def connect(port, *more, keep=None, use=None, version="-tls1_3"):
        args = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", version, "-ign_eof",
                *map(str, more)]
        if keep:
            args += ["-sess_out", tmp_path / keep]
        if use:
            args += ["-sess_in", tmp_path / use]
        done = subprocess.run([str(a) for a in args], input=REQUEST, capture_output=True, timeout=30)
        assert b"HTTP/1.1 200 " in done.stdout, done.stdout.decode() + done.stderr.decode()
        # The first such line is of the handshake; later ones are of tickets that came behind it.
        return b"\nReused, TLSv1." in done.stdout
    return connect


@pytest.fixture
def listener(proxy, site, certs, tmp_path):
    def start(*more, document=""):
        args = ["--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}", "--cert", certs.server, "--key", certs.server_key,
                "--admin", "127.0.0.1:0", "--workers", "2", *more]
        if document:
            (tmp_path / "proxy.yaml").write_text(
                f"apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {{name: p}}\nspec: {{{document}}}\n")
            args += ["--config", tmp_path / "proxy.yaml"]
        return proxy(*args)
    return start


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_a_session_is_resumed_by_any_worker(listener, client, version):
    p = listener()
    assert not client(p.port, keep="s", version=version)
    assert all(client(p.port, use="s", version=version) for _ in range(12))  # some of them at the other one
    p.wait_metric("weir_tls_resumptions_total", 12)


def test_a_client_that_shows_each_ticket_once_goes_on_resuming(listener, client):
    """RFC 8446 C.4: a resumed handshake gives the ticket of the next one."""
    p = listener()
    assert not client(p.port, keep="s0")
    assert all(client(p.port, use=f"s{i}", keep=f"s{i + 1}") for i in range(6))


def test_a_reload_does_not_end_sessions(listener, client, certs, tmp_path):
    p = listener(document="ticketRotation: 1h")
    assert not client(p.port, keep="s")
    (tmp_path / "proxy.yaml").write_text((tmp_path / "proxy.yaml").read_text().replace("1h", "2h"))
    pods.wait_for(lambda: p.metric("weir_config_generation") == 2, what="the reload")
    assert client(p.port, use="s")


def test_a_key_opens_for_one_more_period_and_the_ticket_is_renewed(listener, client):
    p = listener(document="ticketRotation: 8s")

    def rotations():
        return p.metric("weir_tls_ticket_rotations_total")

    def next_rotation(n):
        pods.wait_for(lambda: rotations() >= n, timeout=30, what="a rotation")

    # What is slower than a period cannot be told from a ticket that is too old: it is begun again.
    for _ in range(5):
        begun = rotations()
        assert not client(p.port, keep="a")
        if rotations() != begun:
            continue
        next_rotation(begun + 1)
        resumed = client(p.port, use="a", keep="b")
        if rotations() != begun + 1:
            continue
        assert resumed
        next_rotation(begun + 2)
        old, renewed = client(p.port, use="a"), client(p.port, use="b")
        assert not old
        if rotations() == begun + 2:
            assert renewed
            return
    pytest.fail("the machine never had eight seconds")


def test_no_tickets_where_they_are_not_wanted(listener, client):
    p = listener(document="ticketRotation: 0s")
    assert not client(p.port, keep="s")
    assert not client(p.port, keep="s", version="-tls1_2")
    assert p.metric("weir_tls_resumptions_total") == 0


@pytest.mark.parametrize("version", ["-tls1_3", "-tls1_2"])
def test_with_a_client_certificate_the_bundle_counts(listener, client, certs, tmp_path, version):
    bundle = tmp_path / "clients.pem"
    bundle.write_text(open(certs.ca, encoding="ascii").read())
    p = listener("--client-ca", bundle)
    cert = ["-cert", certs.client, "-key", certs.client_key]
    assert not client(p.port, *cert, keep="s", version=version)
    assert all(client(p.port, *cert, use="s", version=version) for _ in range(6))
    assert client(p.port, use="s", version=version)  # the certificate is in the ticket
    bundle.write_text(open(certs.ca, encoding="ascii").read() + open(certs.otherca, encoding="ascii").read())
    pods.wait_for(lambda: p.metric("weir_config_generation") == 2, what="the new bundle")
    assert not client(p.port, *cert, use="s", version=version)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{p.port}", version, "-ign_eof", "-sess_in",
                           tmp_path / "s"], input=REQUEST, capture_output=True, timeout=30)
    assert b"HTTP/1.1 200 " not in done.stdout  # no certificate, and the old ticket is none


def test_a_ticket_of_one_listener_is_none_of_another(listener, client):
    first, second = listener(), listener()
    assert not client(first.port, keep="s")
    assert not client(second.port, use="s")


def test_early_data_is_never_taken(listener, certs, tmp_path, client):
    p = listener()
    assert not client(p.port, keep="s")
    (tmp_path / "early").write_bytes(REQUEST)
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{p.port}", "-tls1_3", "-ign_eof", "-sess_in",
                           tmp_path / "s", "-early_data", tmp_path / "early"], input=REQUEST, capture_output=True, timeout=30)
    text = done.stdout + done.stderr
    assert b"Early data was not sent" in text or b"Early data was rejected" in text


@pytest.mark.parametrize("version", ["-tls1_2"])
def test_renegotiation_is_refused(listener, version):
    p = listener()
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{p.port}", version, "-legacy_renegotiation"],
                          input=b"R\n", capture_output=True, timeout=30)
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stdout + done.stderr
    assert b"Compression: NONE" in done.stdout

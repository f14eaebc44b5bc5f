# SPDX-License-Identifier: Apache-2.0
"""Certificates of seconds: keys made in the workers, renewed under load, a CA that is exchanged, a signer that is away."""
import os
import subprocess
import sys
import time

import pytest

import nodemode
import pods

sys.path.insert(0, os.path.join(nodemode.ROOT, "demo"))
import capture  # noqa: E402

SPIFFE = "spiffe://cluster.local/ns/default/sa/"


@pytest.fixture(scope="module")
def m():
    with pods.Pods("svid") as the_pods:
        mesh = nodemode.NodeMesh(the_pods)
        mesh.bundle = os.path.join(the_pods.run_dir, "bundle.crt")
        mesh.agent_spec = {"svidLifetime": "3s", "trustBundle": mesh.bundle}
        trust(mesh, mesh.mesh_ca())
        for name in ("web", "api"):
            mesh.pod(name, "node")
        mesh.helper_start()
        mesh.up()
        yield mesh


def trust(m, *cas):
    """All of them, in one file that is replaced at once."""
    with open(m.bundle + ".new", "w", encoding="utf-8") as to:
        for ca in cas:
            with open(os.path.join(ca, "ca.crt"), encoding="utf-8") as f:
                to.write(f.read())
    os.rename(m.bundle + ".new", m.bundle)


def swap(m, ca):
    """The signer signs with another CA from now on."""
    for name in ("ca.crt", "ca.key"):
        with open(os.path.join(ca, name), "rb") as f, open(os.path.join(m.ca, name + ".new"), "wb") as to:
            to.write(f.read())
    for name in ("ca.key", "ca.crt"):
        os.rename(os.path.join(m.ca, name + ".new"), os.path.join(m.ca, name))


def shown(m):
    """Of the client's certificate, as the server's worker saw it: identity and hash."""
    answer = m.curl("web", "api")
    assert isinstance(answer, dict), answer
    fields = dict(f.split("=", 1) for f in answer["headers"]["x-forwarded-client-cert"].split(";"))
    return fields["URI"], fields["Hash"]


def signer(m):
    return m.agent_status()["signer"]


def test_what_two_pods_say_is_encrypted_and_keys_stay_in_their_workers(m):
    assert shown(m)[0] == SPIFFE + "web"
    file = os.path.join(m.pods.run_dir, "wire.pcap")
    with open(file, "wb") as out:
        dump = m.pods.spawn(["tcpdump", "-i", "br0", "-w", "-", "-U", "--immediate-mode", "-s", "0", "-Z", "root", "tcp"],
                            name="tcpdump", netns=m.pods.node_netns, stdout=out, stderr=subprocess.PIPE)
    while b"listening on" not in dump.stderr.readline():
        pass
    for worker in m.tenants().values():  # a new one each, so that there is a handshake to be seen
        m.agent_ask(f"replace {worker['identity']}")
    for i in range(20):
        assert m.curl("web", "api", "-H", f"x-secret: plaintext-{i}")["headers"]["x-secret"] == f"plaintext-{i}"
    dump.terminate()
    dump.wait(timeout=20)
    streams = capture.streams(file)
    assert any(bytes_.startswith(b"\x16\x03") for bytes_ in streams.values())  # TLS handshakes
    assert sum(map(len, streams.values())) > 2000
    assert not any(b"plaintext" in bytes_ or b"GET /" in bytes_ for bytes_ in streams.values())
    assert not [f for _, _, names in os.walk(m.pods.run_dir) for f in names if f == "tls.key"]


def test_certificates_change_under_load_and_no_request_fails(m):
    before, hashes = signer(m)["issued"], set()
    with m.load("web", "api") as load:
        end = time.monotonic() + 6  # twice their lives
        while time.monotonic() < end:
            hashes.add(shown(m)[1])
            time.sleep(0.3)
    assert load.failures == [] and load.calls > 50
    assert len(hashes) >= 3, hashes
    assert signer(m)["issued"] - before >= 5  # two workers


def test_a_ca_is_exchanged_with_old_and_new_trusted_meanwhile_and_no_request_fails(m):
    old, new = os.path.join(m.pods.run_dir, "old-ca"), os.path.join(m.pods.run_dir, "new-ca")
    m._ok("ca", "init", "--dir", new)
    os.mkdir(old)
    for name in ("ca.crt", "ca.key"):
        with open(os.path.join(m.ca, name), "rb") as f, open(os.path.join(old, name), "wb") as to:
            to.write(f.read())
    with m.load("web", "api") as load:
        trust(m, old, new)
        time.sleep(2)
        swap(m, new)
        time.sleep(3.5)
        trust(m, new)
        time.sleep(2)
        assert shown(m)[0] == SPIFFE + "web"
    assert load.failures == [] and load.calls > 50
    assert "trust_bundle" in m.agent_log()


def test_without_a_signer_what_is_held_serves_until_it_expires_and_then_nothing_is_sent_in_plain(m):
    assert shown(m)[0] == SPIFFE + "web"
    key = os.path.join(m.ca, "ca.key")
    os.rename(key, key + ".away")
    pods.wait_for(lambda: signer(m)["failed"] > 0, timeout=20, what="a request to fail")
    answer = pods.wait_for(lambda: None if isinstance(a := m.curl("web", "api"), dict) else a, timeout=30,
                           what="the certificates to expire")
    assert "503" in answer or "certificate" in answer or "tls" in answer.lower(), answer
    os.rename(key + ".away", key)
    pods.wait_for(lambda: isinstance(m.curl("web", "api"), dict), timeout=30, what="mTLS to be there again")
    assert shown(m)[0] == SPIFFE + "web"

# SPDX-License-Identifier: Apache-2.0
"""Who speaks first on a service port, as the sidecars of a node share it: of a whole mesh, with mTLS between the pods, and after restarts."""
import json
import os
import signal

import pytest

import nodemode
import pods

SMTP = "10.96.9.25"
SERVER = """
import socketserver
class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 mail.test\\r\\n")
        while self.rfile.readline():
            self.wfile.write(b"250 fine\\r\\n")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", 8025), Mail).serve_forever()
"""
CALL = f"""
import smtplib
with smtplib.SMTP("{SMTP}", 25, timeout=20) as mail:
    print(mail.noop()[0])
"""
HASTY = f"""
import socket, sys
s = socket.create_connection(("{SMTP}", 25), timeout=20)
s.sendall(b"GET / HTTP/1.1\\r\\nHost: mail\\r\\n\\r\\n")
print("spoken", flush=True)
s.recv(1)
"""


@pytest.fixture(scope="module")
def m():
    """web and other call mail, all with sidecars, by mTLS: one worker each, so that nothing is learnt twice."""
    with pods.Pods("first") as the_pods:
        mesh = nodemode.NodeMesh(the_pods)
        for name in ("web", "other", "mail"):
            mesh.pod(name, "sidecar")
        mesh.policies = [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "smtp", "namespace": "default"},
             "spec": {"clusterIP": SMTP, "selector": {"app": "mail"}, "ports": [{"name": "tcp", "port": 25, "targetPort": 8025}]}},
            {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
             "metadata": {"name": "default", "namespace": "default"}, "spec": {"mtls": {"mode": "STRICT"}}}]
        the_pods.pods["mail"].spawn([nodemode.PYTHON, "-c", SERVER], uid=pods.NOBODY)
        mesh.up()
        for name in ("web", "other", "mail"):
            start(mesh, name)
        yield mesh


def start(m, name):
    m.sidecar_start(m.pods.pods[name], name, args=["--workers", "1"])


def call(m, name):
    done = m.pods.pods[name].run([nodemode.PYTHON, "-c", CALL])
    assert done.stdout == "250\n", done.stderr


def figures(m, name):
    """How often the pod's sidecar waited for a client, was told by the node, and expected the server."""
    f = m.metrics(m.pods.pods[name])
    return tuple(f[f"weir_detect_{what}_total"] for what in ("waits", "told", "server_first"))


def learnt(m):
    return m.agent_status()["first_speakers"]


def restart(m, name):
    process = m.sidecars[name]
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)
    start(m, name)


def test_one_connection_teaches_the_node(m):
    assert learnt(m)["ports"] == []
    call(m, "web")
    assert figures(m, "web") == (1, 0, 0) and figures(m, "mail") == (1, 0, 0)
    call(m, "web")
    assert figures(m, "web") == (1, 0, 1) and figures(m, "mail") == (1, 0, 1)
    call(m, "other")
    assert figures(m, "other") == (0, 1, 1) and figures(m, "mail") == (1, 0, 2)


def test_a_sidecar_and_an_agent_that_start_again_know_it(m):
    for name in ("web", "mail"):
        restart(m, name)
    m.agent_kill()
    m.agent_again()
    call(m, "web")
    assert figures(m, "web") == figures(m, "mail") == (0, 1, 1)


def test_status_shows_it(m):
    f = learnt(m)
    assert (f["server"], f["client"], f["both"]) == (2, 0, 0)
    by_port = {p["port"]: p for p in f["ports"]}
    assert by_port[25] == {**by_port[25], "address": SMTP, "service": "default/smtp", "first": "server", "server_reported_by": "default/web"}
    assert by_port[8025]["server_reported_by"] == "default/mail" and "default/mail" in by_port[8025]["identity"]
    done = m.weir_run("status", "--agent", m.agent_socket)
    assert "first_speakers" in done.stdout and SMTP in done.stdout
    counters = json.loads(m.agent_ask("counters"))
    assert counters["first_noted"] == 5 and counters["first_contrary"] == 0 and counters["first_told"] >= 3


def test_a_client_of_another_mind_changes_nothing_for_who_has_seen_it_otherwise(m):
    """A pod speaks HTTP to the port, before its sidecar has even looked: from then on who has to ask waits, and nobody else does."""
    other = m.sidecars["other"]
    other.send_signal(signal.SIGSTOP)
    client = m.pods.pods["other"].spawn([nodemode.PYTHON, "-c", HASTY], uid=pods.NOBODY, name="other-hasty")
    pods.wait_for(lambda: os.path.getsize(m.pods.log("other-hasty.out")), what="the client to have spoken")
    other.send_signal(signal.SIGCONT)
    client.wait(timeout=20)
    pods.wait_for(lambda: learnt(m)["both"], what="the report")
    assert [(p["first"], p["client_speaks"], p["client_reported_by"]) for p in learnt(m)["ports"] if p["port"] == 25] == [
        ("both", "http1", "default/other")]
    before = figures(m, "web")
    call(m, "web")
    assert figures(m, "web") == (before[0], before[1], before[2] + 1)
    restart(m, "web")
    call(m, "web")
    assert figures(m, "web") == (1, 1, 0)
    call(m, "web")
    assert figures(m, "web") == (1, 1, 1)

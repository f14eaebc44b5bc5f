# SPDX-License-Identifier: Apache-2.0
"""HTTP telemetry of applications that do their own TLS: probes on the libssl that they run, found by the agent without SYS_ADMIN."""
import json
import os
import re
import subprocess

import pytest

from agent import SERVICE_IP, eventually
from test_http import records
from test_metrics import at, get  # noqa: F401

SERVER = """
import http.server, socketserver, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(404 if "none" in self.path else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    do_POST = do_GET
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    def get_request(self):
        s, peer = self.socket.accept()
        return context.wrap_socket(s, server_side=True, do_handshake_on_connect=False), peer
Server((sys.argv[1], 8443), Handler).serve_forever()
"""
# Byte by byte, several requests in one connection; then one that moves the bytes itself, through memory.
CLIENT = """
import socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
s = context.wrap_socket(socket.create_connection((sys.argv[1], 443), 8))
for path in (b"/slow?k=v", b"/none"):
    for b in b"GET %s HTTP/1.1\\r\\nHost: shop\\r\\n\\r\\n" % path:
        s.send(bytes([b]))
    answer = b""
    while not answer.endswith(b"ok"):
        answer += s.recv(1)
s.close()
raw, into, out = socket.create_connection((sys.argv[1], 443), 8), ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(into, out)
def step(call, *args):
    while True:
        try:
            done = call(*args)
            raw.sendall(out.read())
            return done
        except ssl.SSLWantReadError:
            raw.sendall(out.read())
            into.write(raw.recv(65536))
step(tls.do_handshake)
step(tls.write, b"POST /memory HTTP/1.1\\r\\nHost: shop\\r\\nContent-Length: 0\\r\\n\\r\\n")
step(tls.read, 1000)
raw.close()
"""


def spawn(pod, *command, **more):
    """A program in the pod: in its cgroup before it runs, in its network namespace."""
    enter = "echo $$ > %s/app/cgroup.procs && exec nsenter --net=%s \"$@\"" % (pod.cgroup, pod.netns)
    return subprocess.Popen(["/bin/sh", "-c", enter, "sh", *command], stdin=subprocess.DEVNULL, **more)


@pytest.fixture
def pem(tmp_path):
    key, cert, both = (str(tmp_path / name) for name in ("key", "cert", "both"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=shop", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with open(both, "w") as f:
        f.write(open(key).read() + open(cert).read())
    return both


@pytest.fixture
def shop(agent, at, pem):  # noqa: F811
    web, other, store = agent.world.pods
    text = agent.service("shop", 443, 8443, store)
    document = agent.pod_document(web)
    document["metadata"]["annotations"]["weir.dev/http-telemetry"] = "true"
    agent.write("pods.yaml", document, agent.pod_document(store), agent.pod_document(other))
    agent.write("shop.yaml", text.replace('"name": "shop", ', '"name": "shop", "annotations": {"weir.dev/http-telemetry": "true"}, ', 1))
    agent.start()
    server = spawn(store, "/usr/bin/python3", "-c", SERVER, store.v4, pem, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: listens(store, 8443))
        eventually(lambda: "exchange" in tls_of(agent, "store")["why"])
        yield agent
    finally:
        server.kill()
        server.wait()


def listens(pod, port):
    with open(f"/proc/{pod.holder.pid}/net/tcp") as f:
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in f.readlines()[1:])


def tls_of(agent, name):
    return next(p for p in agent.status()["pods"] if p["name"] == "default/" + name)["tls_telemetry"]


def told(agent, n):
    return eventually(lambda: len(r := [r for r in records(agent) if r.get("tls") == "yes"]) >= n and r)


def incomplete(at):  # noqa: F811
    text = get(at + "/metrics")[1]
    return {k: int(v) for k, v in re.findall(r'weir_http_telemetry_incomplete_total\{reason="(\w+)"\} (\d+)', text) if v != "0"}


@pytest.mark.guest("weir_tls_enter", "weir_tls_return", "weir_tls_socket")
def test_what_goes_through_openssl_is_told_with_the_flows_addresses(shop, at):  # noqa: F811
    web, _, store = shop.world.pods
    with open(f"/proc/{shop.p.pid}/status") as f:
        caps = int(next(line for line in f if line.startswith("CapEff")).split()[1], 16)
    assert caps == 1 << 12 | 1 << 38 | 1 << 39, "NET_ADMIN, PERFMON, BPF and no more"
    curl = spawn(web, "curl", "-sk", "-m", "8", "--http1.1", "-o", "/dev/null", f"https://{SERVICE_IP}/cart?token=secret",
                 "-o", "/dev/null", f"https://{SERVICE_IP}/none")
    assert curl.wait() == 0
    got = told(shop, 4)
    assert sorted((r["direction"], r["path"], r["status"]) for r in got) == [
        ("egress", "/cart", 200), ("egress", "/none", 404), ("ingress", "/cart", 200), ("ingress", "/none", 404)]
    for r in got:
        assert (r["method"], r["http"], r["service"]) == ("GET", "1.1", "default/shop")
        assert (r["source"], r["source_ip"], r["destination"], r["destination_port"]) == ("default/web", web.v4, "default/store", 8443)
        if r["direction"] == "egress":
            assert (r["original_ip"], r["original_port"]) == (SERVICE_IP, 443)
    for name in ("web", "store"):
        assert tls_of(shop, name) == {"state": "seen", "exchanges": 2} or name == "web"
    assert tls_of(shop, "intruder")["why"].startswith("no Service and no annotation")
    assert 'side="server",source="tls",method="GET",status="2xx"} 1\n' in get(at + "/metrics")[1]
    assert "secret" not in json.dumps(shop.ask("flows")) + get(at + "/metrics")[1]
    # What packets cannot see is said there: one encrypted connection, at both ends.
    assert incomplete(at) == {"encrypted": 2}
    client = spawn(web, "/usr/bin/python3", "-c", CLIENT, SERVICE_IP)
    assert client.wait() == 0
    got = told(shop, 10)[4:]
    assert sorted((r.get("direction", "?"), r["method"], r["path"], r["status"]) for r in got) == [
        ("?", "POST", "/memory", 200), ("egress", "GET", "/none", 404), ("egress", "GET", "/slow", 200),
        ("ingress", "GET", "/none", 404), ("ingress", "GET", "/slow", 200), ("ingress", "POST", "/memory", 200)]
    [blind] = [r for r in got if "direction" not in r]
    assert (blind["addresses"], blind["pod"]) == ("unknown", "default/web")
    assert incomplete(at) == {"encrypted": 6, "no_address": 1}


def test_a_pod_without_openssl_says_so_and_probes_go_with_the_last_process(shop):
    web, _, store = shop.world.pods
    eventually(lambda: tls_of(shop, "web")["why"] == "it has no process")
    sleeper = spawn(web, "sleep", "60")
    try:
        eventually(lambda: tls_of(shop, "web")["why"].startswith("none of its processes runs a libssl"))
    finally:
        sleeper.kill()
        sleeper.wait()


LINKED = """
#include <openssl/ssl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) { return SSL_CTX_new(TLS_client_method()) && puts("up") > 0 && fflush(stdout) == 0 ? pause() : 1; }
"""


def test_a_program_with_openssl_linked_in_is_said_to_be_seen_too_little(shop, tmp_path):
    web, _, store = shop.world.pods
    program = str(tmp_path / "linked")
    subprocess.run(["cc", "-x", "c", "-", "-x", "none", "-l:libssl.a", "-l:libcrypto.a", "-ldl", "-lpthread", "-o", program],
                   input=LINKED, text=True, check=True)
    assert "libssl" not in subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    linked = spawn(web, program, stdout=subprocess.PIPE)
    try:
        assert linked.stdout.readline() == b"up\n"
        eventually(lambda: tls_of(shop, "web")["state"] == "too_little")
        assert tls_of(shop, "web")["why"] == (
            "its program linked has TLS of its own linked in (OpenSSL): what it says by that is not seen")
        assert tls_of(shop, "store")["state"] == "none", "its libssl is a library and has probes"
    finally:
        linked.kill()
        linked.wait()
        linked.stdout.close()
    eventually(lambda: tls_of(shop, "web")["why"] == "it has no process")

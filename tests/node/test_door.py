# SPDX-License-Identifier: Apache-2.0
"""The configuration door: `weir proxy --agent` in a pod, the agent at 127.0.0.1:15012 of it, and whoever else of that pod tries."""
import hashlib
import json
import os
import signal
import struct
import subprocess

import pytest

import nodemode
import pods

HELLO, STATE, PONG, CSR, WELCOME, BEGIN, KEEP, DROP, DOCUMENT, END, PING, SVID, NO_SVID = 1, 2, 3, 4, 16, 17, 18, 19, 20, 21, 22, 23, 24

# Says what it is told to, in the pod's namespace and in whichever cgroup it is started; prints what came back.
SPEAKER = r"""
import json, socket, struct, sys
what = json.loads(sys.argv[1])
def one():
    s = socket.socket(); s.settimeout(what.get("patience", 5)); s.connect(("127.0.0.1", 15012)); return s
got, s = b"", None

def there():
    at = 0
    while len(got) - at >= 8:
        n, kind, _ = struct.unpack("!IHH", got[at:at + 8])
        if len(got) - at >= 8 + n and kind in what.get("until", []):
            return True
        at += 8 + n
    return False

try:
    s = one()
    s.sendall(bytes.fromhex(what.get("say", "")))
    try:
        while not there() and (more := s.recv(65536)):
            got += more
        end = "there" if there() else "closed"
    except TimeoutError:
        end = "silent"
    except ConnectionResetError:
        end = "reset"
except ConnectionError as e:
    end = type(e).__name__
print(json.dumps({"end": end, "got": got.hex()}))
"""


def message(kind, content=b""):
    return struct.pack("!IHH", len(content), kind, 0) + content


def messages(text):
    data, found = bytes.fromhex(text), []
    while len(data) >= 8:
        n, kind, _ = struct.unpack("!IHH", data[:8])
        found.append((kind, data[8:8 + n]))
        data = data[8 + n:]
    return found


class DoorMesh(nodemode.NodeMesh):
    def sidecar(self, name):
        """As `weir inject` writes it."""
        pod = self.pods.pods[name]
        self.sidecars[name] = pod.spawn([self.weir, "proxy", "--agent", "127.0.0.1:15012", "--log-level", "debug"],
                                        sidecar=True, uid=pods.NOBODY)
        return self.sidecars[name]

    def is_ready(self, name):
        return self.pods.pods[name].run(["curl", "-sf", "http://127.0.0.1:15021/ready"]).returncode == 0

    def wait_ready(self, name):
        pods.wait_for(lambda: self.is_ready(name), timeout=60, what=f"the sidecar of {name}")

    def figures(self, name):
        done = self.pods.pods[name].run(["curl", "-sf", "http://127.0.0.1:15020/metrics"])
        return nodemode.mesh.parse_metrics(done.stdout)

    def door(self, name):
        return next(d for d in self.agent_status()["doors"] if d["pod"] == f"default/{name}")

    def said_by(self, name):
        return self.tail(f"{name}-weir.err", 100000)

    def speak(self, name, sidecar=False, later=False, **what):
        """Bytes to the door from a process of the application or, as an attacker who is in there, of the sidecar."""
        pod = self.pods.pods[name]
        argv = self.pods.wrapped([nodemode.PYTHON, "-c", SPEAKER, json.dumps(what)], pod.netns,
                                 os.path.join(pod.cgroup, "weir" if sidecar else "app"), uid=pods.NOBODY)
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return process if later else self.said(process)

    @staticmethod
    def said(process):
        out, err = process.communicate(timeout=90)
        assert out, err
        return json.loads(out)


@pytest.fixture(scope="module")
def m():
    with pods.Pods("door") as the_pods:
        mesh = DoorMesh(the_pods)
        for name in ("web", "api"):
            mesh.pod(name, "sidecar")
        mesh.pod("plain", "kernel")
        mesh.helper_start()
        mesh.up()
        for name in ("web", "api"):
            mesh.sidecar(name)
        for name in ("web", "api"):
            mesh.wait_ready(name)
        yield mesh


def wait(what, timeout=60):
    return pods.wait_for(what, timeout=timeout, what="it")


@pytest.fixture(scope="module")
def half(m):
    """Half a message and then silence, in the sidecar's container; its end is looked at last."""
    return m.speak("web", sidecar=True, later=True, say=message(HELLO, struct.pack("!I", 1))[:6].hex(), patience=60)


@pytest.fixture(scope="module")
def alone(m):
    """A pod in which the agent does not listen."""
    pod = m.pod("alone", "kernel", serve=False)
    m.publish()
    wait(lambda: any(p["name"] == "default/alone" and p["state"] == "enrolled" for p in m.agent_status()["pods"]))
    return pod


def test_sidecars_have_their_configuration_from_the_agent(m):
    answer = m.curl("web", "api")
    assert answer["server"] == "api" and "spiffe://cluster.local/ns/default/sa/web" in answer["headers"]["x-forwarded-client-cert"]
    wait(lambda: m.door("web")["state"] == "in force")
    assert m.door("web")["connections"] == 1
    assert not any(d["pod"] == "default/plain" for d in m.agent_status()["doors"])
    status = json.loads(m.pods.pods["web"].run(["curl", "-sf", "http://127.0.0.1:15000/status"]).stdout)
    assert status["pod"] == "default/web" and status["agent"]["state"] == "connected" and status["agent"]["documents"] > 4


def test_an_application_of_the_pod_is_refused_and_told_nothing(m):
    before = m.door("web")["refused"]
    for _ in range(3):
        assert m.speak("web", say=message(HELLO, struct.pack("!I", 1)).hex()) in (
            {"end": "reset", "got": ""}, {"end": "ConnectionResetError", "got": ""}, {"end": "BrokenPipeError", "got": ""})
    assert m.door("web")["refused"] == before + 3
    assert m.agent_log().count("event=door_refused pod=default/web") == 1
    assert "not made by a process of the sidecar's container" in m.agent_log()


def test_a_change_acts(m):
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
             "metadata": {"name": "marked", "namespace": "default"},
             "spec": {"parentRefs": [{"kind": "Service", "group": "", "name": "api"}],
                      "rules": [{"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {
                          "set": [{"name": "x-marked", "value": "yes"}]}}],
                                 "backendRefs": [{"name": "api", "port": 80}]}]}}
    before = m.figures("web")
    m.policies.append(route)
    m.publish()
    try:
        wait(lambda: m.curl("web", "api")["headers"].get("x-marked") == "yes")
        after = m.figures("web")
        assert after["weir_agent_snapshots_total"] == before["weir_agent_snapshots_total"] + 1
        # One document of a dozen was sent, not all of them.
        assert after["weir_agent_received_bytes_total"] - before["weir_agent_received_bytes_total"] < 1500
    finally:
        m.policies.remove(route)
        m.publish()
    wait(lambda: "x-marked" not in m.curl("web", "api")["headers"])


def test_a_restarted_agent_breaks_nothing_and_sends_nothing_again(m):
    before = m.figures("web")
    with m.load("web", "api") as load:
        m.agent_kill(signal.SIGKILL)
        wait(lambda: m.figures("web")["weir_agent_up"] == 0)
        assert m.is_ready("web")
        assert "event=agent_away" in m.said_by("web")
        m.agent_again()
        wait(lambda: m.figures("web")["weir_agent_up"] == 1)
    assert load.failures == [] and load.calls > 20
    after = m.figures("web")
    assert after["weir_agent_connects_total"] == before["weir_agent_connects_total"] + 1
    assert after["weir_agent_snapshots_total"] == before["weir_agent_snapshots_total"]
    # The CAs to trust, and not one document.
    assert after["weir_agent_received_bytes_total"] - before["weir_agent_received_bytes_total"] < 1200
    assert m.curl("web", "api")["server"] == "api"


def test_what_changed_while_the_agent_was_away_comes_alone(m):
    before = m.figures("api")
    m.agent_kill(signal.SIGTERM)
    extra = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "extra", "namespace": "default"},
             "spec": {"clusterIP": "10.96.9.9", "ports": [{"name": "http", "port": 80}]}}
    m.policies.append(extra)
    m.publish()
    m.agent_again()
    wait(lambda: m.figures("api")["weir_agent_snapshots_total"] == before["weir_agent_snapshots_total"] + 1)
    assert m.figures("api")["weir_agent_received_bytes_total"] - before["weir_agent_received_bytes_total"] < 1700
    m.policies.remove(extra)
    m.publish()
    wait(lambda: m.figures("api")["weir_agent_snapshots_total"] == before["weir_agent_snapshots_total"] + 2)


def test_a_restarted_sidecar_is_ready_again(m):
    old = m.sidecars["api"]
    old.send_signal(signal.SIGKILL)
    old.wait()
    wait(lambda: m.door("api")["connections"] == 0)
    m.sidecar("api")
    m.wait_ready("api")
    wait(lambda: m.curl("web", "api") and m.curl("web", "api")["server"] == "api")
    wait(lambda: m.door("api")["state"] == "in force")


def test_a_sidecar_that_is_first_waits_and_a_term_ends_it(m):
    name = "late"
    m.pod(name, "sidecar")
    process = m.sidecar(name)
    wait(lambda: "event=agent_away" in m.said_by(name))
    assert not m.is_ready(name) and process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    m.sidecar(name)
    m.publish()
    m.wait_ready(name)
    m.remove(name)
    m.publish()
    wait(lambda: not any(d["pod"] == f"default/{name}" for d in m.agent_status()["doors"]))
    m.pods.remove(name)


@pytest.mark.parametrize("say", [
    b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, struct.pack("!IHH", 0xffffffff, HELLO, 0), message(STATE, b"\0" * 17),
    message(HELLO, struct.pack("!I", 0)), message(HELLO, b"\0\0\0\1xyz"), message(HELLO, struct.pack("!I", 1)) * 2,
], ids=["http", "zeroes", "huge", "state first", "version 0", "odd digests", "two hellos"])
def test_nonsense_from_within_the_sidecars_container_is_disconnected(m, half, say):
    before = m.agent_log().count("event=door_disconnected")
    assert m.speak("web", sidecar=True, say=say.hex())["end"] in ("closed", "reset")
    wait(lambda: m.agent_log().count("event=door_disconnected") > before)
    assert m.figures("web")["weir_agent_up"] == 1


def test_a_snapshot_holds_no_secret(m):
    m.policies.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"},
                       "type": "Opaque", "data": {"password": "aHVudGVyMg=="}})
    before = m.agent_status()["generation"]
    m.publish()
    try:
        wait(lambda: m.agent_status()["generation"] > before)
        said = m.speak("web", sidecar=True, say=message(HELLO, struct.pack("!I", 1)).hex(), patience=30, until=[END])
        kinds = [json.loads(content)["kind"] for kind, content in messages(said["got"]) if kind == DOCUMENT]
        assert messages(said["got"])[0] == (WELCOME, struct.pack("!I", 1) + b"default/web")
        assert {BEGIN, END} <= {k for k, _ in messages(said["got"])}
        assert "Pod" in kinds and "Service" in kinds and not {"Secret", "Agent", "Gateway"} & set(kinds)
        assert b"aHVudGVyMg" not in bytes.fromhex(said["got"])
    finally:
        m.policies.pop()
        m.publish()


def request(identity):
    """A certificate request of whoever has openssl; the key is thrown away."""
    return subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                           "/dev/null", "-subj", "/", "-addext", f"subjectAltName=URI:{identity}"],
                          capture_output=True, check=True).stdout


def test_the_identity_is_asked_for_over_the_same_connection(m):
    status = json.loads(m.pods.pods["web"].run(["curl", "-sf", "http://127.0.0.1:15000/status"]).stdout)
    assert status["svid"]["state"] == "held" and status["identity"] == "spiffe://cluster.local/ns/default/sa/web"
    assert not any(b"PRIVATE KEY" in open(m.pods.log(n), "rb").read() for n in ("web-weir.err", "web-weir.out"))


@pytest.mark.parametrize("csr, answer", [
    (request("spiffe://cluster.local/ns/default/sa/web"), SVID),
    (request("spiffe://cluster.local/ns/default/sa/api"), NO_SVID),
    (request("spiffe://cluster.local/ns/kube-system/sa/default"), NO_SVID),
    (b"-----BEGIN CERTIFICATE REQUEST-----\nnonsense\n-----END CERTIFICATE REQUEST-----\n", NO_SVID), (b"", NO_SVID),
], ids=["its own", "a neighbour's", "another namespace's", "nonsense", "nothing"])
def test_whoever_is_in_a_sidecar_gets_certificates_of_its_pod_alone(m, csr, answer):
    said = m.speak("web", sidecar=True, say=(message(HELLO, struct.pack("!I", 1)) + message(CSR, csr)).hex(), patience=30,
                   until=[SVID, NO_SVID])
    assert [k for k, _ in messages(said["got"]) if k in (SVID, NO_SVID)] == [answer]


def test_a_thousand_connections_of_the_application_disturb_nobody(m):
    before = m.door("web")["refused"]
    done = m.pods.pods["web"].run([nodemode.PYTHON, "-c", """
import socket
for i in range(1000):
    s = socket.socket(); s.setblocking(False)
    try: s.connect(("127.0.0.1", 15012))
    except BlockingIOError: pass
    except OSError: pass
    s.close() if i % 2 else globals().setdefault("kept", []).append(s)
"""])
    assert done.returncode == 0, done.stderr
    assert m.curl("web", "api")["server"] == "api"
    wait(lambda: m.door("web")["refused"] - before >= 500)
    assert m.figures("web")["weir_agent_up"] == 1
    old = m.sidecars["web"]
    old.send_signal(signal.SIGTERM)
    old.wait()
    m.sidecar("web")
    m.wait_ready("web")


class FakeAgent:
    """Listens where the agent would, in a pod that the agent does not know, and says what a test wants."""

    def __init__(self, m, pod):
        self.m, self.pod = m, pod

    def serve(self, say, then="hold"):
        code = f"""
import socket, sys
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind(("127.0.0.1", 15012)); l.listen()
print("up", flush=True)
while True:
    s, _ = l.accept(); s.recv(65536); s.sendall(bytes.fromhex("{say.hex()}"))
    print("said", flush=True)
    if "{then}" == "close": s.close()
    else: globals().setdefault("kept", []).append(s)
"""
        self.process = self.pod.spawn([nodemode.PYTHON, "-c", code], name="fake", stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"up\n"
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def whole(texts, n=None, digest=None):
    digests = b"".join(hashlib.sha256(t).digest()[:16] for t in texts)
    return (message(WELCOME, struct.pack("!I", 1) + b"default/alone") +
            message(BEGIN, struct.pack("!I", len(texts) if n is None else n) +
                    (digest or hashlib.sha256(digests).digest()[:16])) + b"".join(message(DOCUMENT, t) for t in texts) + message(END))


POD = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone", "namespace": "default"},
                  "spec": {"serviceAccountName": "alone"}, "status": {"podIP": "10.210.0.9"}}).encode()


@pytest.mark.parametrize("say, why", [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is not understood"),
    (struct.pack("!IHH", 0xfffffff, DOCUMENT, 0), "is not understood"),
    (message(BEGIN, b"\0" * 20), "is not understood"),
    (whole([POD], digest=b"x" * 16), "is not understood"),
    (whole([POD], n=2), "is not understood"),
    (message(WELCOME, struct.pack("!I", 1) + b"nobody"), "is not understood"),
    (message(WELCOME, struct.pack("!I", 9) + b"default/alone"), "is not understood"),
    (whole([])[:-8] + message(KEEP, struct.pack("!I", 1)), "is not understood"),
    (b"", "does not answer"),
], ids=["http", "huge", "no welcome", "other digest", "too few", "no pod", "version", "keeps nothing", "silence"])
def test_a_sidecar_survives_a_bad_agent_and_takes_the_good_one(m, alone, say, why):
    m.sidecars["alone"] = None
    try:
        with FakeAgent(m, alone).serve(say):
            m.sidecar("alone")
            wait(lambda: why in m.said_by("alone"))
            assert m.sidecars["alone"].poll() is None and not m.is_ready("alone")
        with FakeAgent(m, alone).serve(whole([POD])):
            m.wait_ready("alone")
    finally:
        m.sidecars["alone"].kill()
        m.sidecars["alone"].wait()
        os.unlink(m.pods.log("alone-weir.err"))


def test_half_a_message_is_not_waited_for(m, half):
    said = m.said(half)
    assert said["end"] in ("closed", "reset") and said["got"] == ""
    assert "why=\"it says nothing\"" in m.agent_log()

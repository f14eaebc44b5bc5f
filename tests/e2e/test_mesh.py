# SPDX-License-Identifier: Apache-2.0
"""Agent, sidecars and kernel together, over pods. Each test leaves the world as it found it."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

import capture
import mesh
import pods
from demo import API, SPIFFE, STORE, Load

pytestmark = pytest.mark.pods

STRICT = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec:
  mtls: {mode: STRICT}
"""


@pytest.fixture
def edit(up):
    """edit(name, text) puts a file into the running configuration; all are put back and in force again afterwards."""
    before = {}

    def generations():
        return up.mesh.agent_status()["generation"], [
            up.mesh.metrics(p)["weir_config_generation"] for p in meshed(up)]

    def change(name, text):
        was, sidecars = generations()
        if text is None:
            os.unlink(os.path.join(up.mesh.config, name))
        else:
            up.mesh.write(name, text)
        pods.wait_for(lambda: generations()[0] > was and
                      all(a > b for a, b in zip(generations()[1], sidecars)),
                      what=f"{name} in force everywhere")

    def put(name, text):
        if name not in before:
            try:
                before[name] = up.mesh.read(name)
            except FileNotFoundError:
                before[name] = None
        change(name, text)
    yield put
    for name, text in before.items():
        change(name, text)


def meshed(up):
    return [up.web, *up.api.values(), up.store]


def get(up, pod=None, *args, host=API):
    """(status, body as JSON or text) of a request from a pod."""
    done = (pod or up.web).run(["curl", "-s", "-S", "--max-time", "10", "-w", "\n%{http_code}", *args,
                                f"http://{host}/"])
    body, _, code = done.stdout.rpartition("\n")
    try:
        body = json.loads(body)
    except ValueError:
        body = body or done.stderr
    return int(code or 0), body


@contextlib.contextmanager
def on_the_wire(up):
    """{(source, port, destination, port): bytes} of what crosses the bridge meanwhile, filled in at the end."""
    found, file = {}, os.path.join(up.pods.run_dir, "test.pcap")
    with open(file, "wb") as out:
        dump = up.pods.spawn(["tcpdump", "-i", "br0", "-w", "-", "-U", "--immediate-mode", "-s", "0",
                              "-Z", "root", "tcp"], name="tcpdump", netns=up.pods.node_netns,
                             stdout=out, stderr=subprocess.PIPE)
    said = b""
    while b"listening on" not in said:
        more = dump.stderr.readline()
        assert more, said
        said += more
    yield found
    dump.terminate()
    dump.wait(timeout=20)
    found.update(capture.streams(file))


def refused(up, pod, address, port):
    done = pod.run(["/usr/bin/python3", up.program("tcp_client.py"), address, str(port), "hello"])
    return done.returncode == 1 and "Operation not permitted" in done.stderr


def test_the_servers_sidecar_tells_who_calls_and_a_caller_cannot_say_it_itself(up):
    code, seen = get(up, None, "-H", f"x-forwarded-client-cert: URI={SPIFFE}root")
    assert code == 200
    xfcc = seen["headers"]["x-forwarded-client-cert"]
    assert f"URI={SPIFFE}web" in xfcc and "root" not in xfcc and f"By={SPIFFE}api" in xfcc


def test_every_request_is_one_line_in_each_sidecar(up):
    code, seen = get(up)
    request = seen["headers"]["x-request-id"]
    lines = pods.wait_for(lambda: up.both_lines(seen["server"], request), what="both access lines")
    (_, out), (_, into) = lines
    assert out["route"] == "default/api" and out["service"].startswith("default/api-v")
    assert into["peer"] == SPIFFE + "web" and into["downstream_remote_address"].startswith(up.web.ip)


def test_a_service_that_no_route_names_is_balanced_over_its_endpoints(up, edit):
    edit("routes.yaml", "# no route\n")
    servers = {get(up)[1]["server"] for _ in range(20)}
    assert servers == {"api-v1", "api-v2"}


def test_a_pod_can_call_itself_through_its_own_service(up):
    pod = up.api["api-v1"]
    code, seen = get(up, pod, host="10.96.0.11")
    assert code == 200 and seen["server"] == "api-v1"


def test_an_unmeshed_caller_is_served_in_plain_where_policy_and_mode_allow_it(up, edit):
    edit("policies.yaml", "# none\n")
    code, seen = get(up, up.intruder)
    assert code == 200 and "x-forwarded-client-cert" not in seen["headers"]


def test_strict_mode_refuses_plain_callers_and_serves_meshed_ones(up, edit):
    edit("policies.yaml", "# none\n")
    edit("strict.yaml", STRICT)
    code, _ = get(up, up.intruder)
    assert code != 200
    code, seen = get(up)
    assert code == 200 and f"URI={SPIFFE}web" in seen["headers"]["x-forwarded-client-cert"]


def test_strict_mode_carries_plain_tcp_over_mtls(up, edit):
    """What the kernel would carry alone goes through both sidecars, encrypted, with the caller proven."""
    edit("policies.yaml", "# none\n")
    assert up.say_to_store(up.web, "before").stdout.split("\n")[1] == \
        f"store saw {up.web.ip} say before"
    edit("strict.yaml", STRICT)
    lines, relays = len(up.mesh.access_lines(up.store)), up.mesh.metrics(up.web)["weir_relays_total"]
    with on_the_wire(up) as wire:
        said = up.say_to_store(up.web, "a plain secret").stdout.split("\n")
    assert said[0] == f"peer={STORE}:7000" and said[1].endswith(" say a plain secret")
    line = pods.wait_for(lambda: [x for x in up.mesh.access_lines(up.store)[lines:]
                                  if x["protocol"] == "TCP"], what="the access line of store")[0]
    assert line["direction"] == "inbound" and line["peer"] == SPIFFE + "web"
    assert up.mesh.metrics(up.web)["weir_relays_total"] == relays + 1
    to_store = [v for k, v in wire.items() if k[2] == up.store.ip and k[3] == 7000]
    assert [capture.client_hello_alpn(v) for v in to_store] == [["weir-tcp"]]
    assert not any(b"a plain secret" in v for v in wire.values())
    done = up.say_to_store(up.intruder, "who am I")
    assert "who am I" not in done.stdout


def test_policy_is_enforced_at_the_receiver_for_callers_no_hook_has_seen(up):
    """From the bridge, outside every pod's cgroup: only the receiving side can refuse."""
    for pod, port in ((up.store, 7000), (up.api["api-v1"], 8080)):
        done = up.pods.spawn(["/usr/bin/python3", up.program("tcp_client.py"), pod.ip, str(port), "x"],
                             name="outside", netns=up.pods.node_netns)
        assert done.wait(timeout=20) == 1


def test_the_capture_ports_are_not_to_be_dialled(up):
    for port in (15001, 15006):
        done = up.web.run(["curl", "-s", "-S", "--max-time", "3", "-o", "/dev/null",
                           "-w", "%{http_code}", f"http://{up.api['api-v1'].ip}:{port}/"])
        assert done.stdout == "000" and done.returncode != 0
        own = up.web.run(["curl", "-s", "-S", "--max-time", "3", "-o", "/dev/null",
                          "-w", "%{http_code}", f"http://127.0.0.1:{port}/"])
        assert own.stdout != "200"


def test_a_policy_edit_is_in_force_both_ways(up, edit):
    assert refused(up, up.intruder, STORE, 7000)
    edit("policies.yaml", "# none\n")
    assert not refused(up, up.intruder, STORE, 7000)
    edit("policies.yaml", up.mesh.template("policies.yaml"))
    assert refused(up, up.intruder, STORE, 7000)


def test_egress_policy_is_enforced_at_the_caller(up, edit):
    edit("egress.yaml", """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web-may-not-leave}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
""")
    mark = up.mesh.flow_mark()
    assert refused(up, up.web, STORE, 7000)
    r = up.mesh.wait_flow(mark, lambda r: r["event"] == "deny", "the record of the denial")
    assert r["policy"] == "default/web-may-not-leave" and r["reason"] == "deny_egress"
    assert refused(up, up.web, up.api["api-v1"].ip, 8080)


KEEP_ALIVE_CLIENT = """
import http.client, sys
c = http.client.HTTPConnection("%s", 80, timeout=10)
for line in sys.stdin:
    try:
        c.request("GET", "/")
        r = c.getresponse()
        r.read()
        print(r.status, flush=True)
    except OSError as e:
        print(type(e).__name__, flush=True)
        c.close()
"""


def test_a_new_egress_policy_reaches_the_connections_a_sidecar_has_pooled(up, edit):
    """Both the application's connection to its sidecar and the sidecar's to the endpoints were there before the policy."""
    client = up.web.spawn(["/usr/bin/python3", "-u", "-c", KEEP_ALIVE_CLIENT % API], name="keep-alive",
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask():
        client.stdin.write("\n")
        client.stdin.flush()
        return client.stdout.readline().strip()
    try:
        assert [ask() for _ in range(10)] == ["200"] * 10
        assert up.mesh.metrics(up.web)["weir_upstream_connections_active"] > 0
        edit("egress.yaml", """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web-may-not-call-api}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  - to: [{podSelector: {matchLabels: {app: store}}}]
""")
        pods.wait_for(lambda: ask() != "200", what="the walk over connections")
        assert "200" not in [ask() for _ in range(20)]
        assert up.mesh.metrics(up.web)["weir_upstream_connections_active"] == 0
        edit("egress.yaml", "# none\n")
        pods.wait_for(lambda: ask() == "200", what="requests to pass again")
    finally:
        client.stdin.close()
        client.wait(timeout=20)


def test_getpeername_and_getsockname_over_ipv6_mapped_sockets(up):
    """An IPv6 socket that dials ::ffff:a.b.c.d takes the same decisions."""
    program = ("import socket, sys; s = socket.socket(socket.AF_INET6); s.settimeout(5);"
               f"s.connect(('::ffff:{STORE}', 7000)); print(s.getpeername()[0])")
    allowed = up.web.run(["/usr/bin/python3", "-c", program])
    assert allowed.stdout.strip() == f"::ffff:{STORE}", allowed.stderr
    denied = up.intruder.run(["/usr/bin/python3", "-c", program])
    assert "PermissionError" in denied.stderr


def test_a_server_with_another_identity_is_not_spoken_to(up):
    """The other half of mutual: web's sidecar knows whom it wants to reach."""
    pod = up.api["api-v1"]

    def replace(account):
        old = up.mesh.sidecars[pod.name]
        old.terminate()
        assert old.wait(timeout=40) == 0
        up.mesh.sidecar_start(pod, account)
    before = up.mesh.metrics(up.web)["weir_identity_refused_total"]
    replace("intruder")
    try:
        code, said = get(up, host="10.96.0.11")
        assert code == 503 and "server" not in said, said
        assert up.mesh.metrics(up.web)["weir_identity_refused_total"] > before
    finally:
        replace("api")
    pods.wait_for(lambda: get(up, host="10.96.0.11")[0] == 200, what="the right identity again")


V6 = """\
apiVersion: v1
kind: Service
metadata: {name: api6}
spec:
  clusterIP: "fd00:96::10"
  ports: [{name: http, port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api6, labels: {kubernetes.io/service-name: api6}}
addressType: IPv6
ports: [{name: http, port: 8080}]
endpoints: [{addresses: ["%s"]}]
---
apiVersion: v1
kind: Service
metadata: {name: store6}
spec:
  clusterIP: "fd00:96::20"
  ports: [{name: tcp-store, port: 7000}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: store6, labels: {kubernetes.io/service-name: store6}}
addressType: IPv6
ports: [{name: tcp-store, port: 7000}]
endpoints: [{addresses: ["%s"]}]
"""


def test_ipv6_services_go_the_same_ways(up, edit):
    text = up.mesh.template("pods.yaml")
    for pod in up.pods.pods.values():
        text = text.replace(f"podIP: {pod.ip}\n",
                            f"podIPs: [{{ip: {pod.ip}}}, {{ip: \"{pod.ip6}\"}}]\n")
    edit("pods.yaml", text)
    edit("v6.yaml", V6 % (up.api["api-v1"].ip6, up.store.ip6))
    code, seen = get(up, None, "-g", host="[fd00:96::10]")
    assert code == 200 and f"URI={SPIFFE}web" in seen["headers"]["x-forwarded-client-cert"]
    client = ["/usr/bin/python3", up.program("tcp_client.py"), "fd00:96::20", "7000", "hello"]
    done = up.web.run(client)
    assert done.stdout.splitlines() == ["peer=fd00:96::20:7000", f"store saw {up.web.ip6} say hello"]
    assert "Operation not permitted" in up.intruder.run(client).stderr
    assert get(up, up.intruder, "-g", host="[fd00:96::10]")[0] == 0


def test_declared_pods_are_joined_with_their_sidecars_and_say_the_same(up, edit):
    if up.mesh.agent_status()["join"]["declared_both_ways"] != "passed":
        pytest.skip(up.mesh.agent_status()["join"]["declared_both_ways"])
    edit("pods.yaml", up.mesh.template("pods.yaml").replace(
        "    weir.dev/cgroup:", '    weir.dev/join: "on"\n    weir.dev/cgroup:'))
    said = "".join(chr(33 + i * 7 % 90) for i in range(400_000)).replace("\\", "-").replace("@", "-")
    path = os.path.join(up.pods.run_dir, "said")
    with open(path, "w", encoding="ascii") as f:
        f.write(said)
    began = json.loads(up.mesh.agent_ask("counters"))["join_began"]
    for n in range(12):
        code, seen = get(up, None, "--data-binary", f"@{path}", "-H", "Expect:")
        assert code == 200 and seen["body"] == said, n
        assert f"URI={SPIFFE}web" in seen["headers"]["x-forwarded-client-cert"]
    # At least what curl and its sidecar say to each other; connections older than the edit stay as they are.
    assert json.loads(up.mesh.agent_ask("counters"))["join_began"] >= began + 24
    assert up.mesh.weir_run("join", "off", "--agent", up.mesh.agent_socket).returncode == 0
    assert get(up, None, "--data-binary", f"@{path}")[1]["body"] == said
    assert up.mesh.agent_status()["join"]["state"] == "off by hand"
    assert up.mesh.weir_run("join", "on", "--agent", up.mesh.agent_socket).returncode == 0


def test_uninstall_is_refused_to_a_living_agent_and_leaves_nothing_of_a_dead_one(tmp_path):
    with pods.Pods("e2e") as p:
        p.add("a")
        (tmp_path / "weir.yaml").write_text(
            "apiVersion: weir.dev/v1alpha1\nkind: Agent\nmetadata: {name: node}\nspec:\n"
            f"  cgroup: {p.pods_cgroup}\n  pinDir: {p.pin_dir}\n  admin: {p.run_dir}/agent.sock\n")
        m = mesh.Mesh(p, tmp_path)
        m.agent_start(wait=False)
        pods.wait_for(lambda: (m.agent_status() or {}).get("state") == "in_force", what="the agent")
        assert os.listdir(os.path.join(p.pin_dir, "links"))
        done = m.weir_run("agent", "--uninstall", "--config", m.config)
        assert done.returncode == 1, done
        assert m.agent_kill() == -signal.SIGKILL
        assert os.listdir(os.path.join(p.pin_dir, "links"))
        done = m.weir_run("agent", "--uninstall", "--config", m.config)
        assert done.returncode == 0, done.stderr
        assert not os.path.exists(p.pin_dir)
        assert p.close() is None


def held(up):
    return json.loads(up.mesh.agent_ask("counters"))["held_sidecar"]


def test_a_sidecar_that_is_gone_means_refusal_not_plaintext(up):
    """Fails closed: without its sidecar a meshed pod cannot call an L7 service, and nobody takes its place."""
    process, before = up.mesh.sidecars["web"], held(up)
    process.kill()
    process.wait()
    try:
        done = up.web.run(["curl", "-s", "-S", "--max-time", "1", f"http://{API}/"])
        assert done.returncode == 28 and held(up) == before + 1, done
        said = up.mesh.weir_run("explain", "--agent", up.mesh.agent_socket, "default/web", f"{API}:80")
        assert "held: the pod's sidecar does not listen" in said.stdout, said
        assert not refused(up, up.web, STORE, 7000)  # what needs no sidecar goes on
        done = up.web.run(["curl", "-s", "-S", "--max-time", "20", f"http://{API}/"])
        assert done.returncode == 7, done  # after sidecarHoldTime
    finally:
        up.mesh.sidecar_start(up.web, "web")
    assert get(up)[0] == 200


@pytest.mark.parametrize("name", ["web", "api-v1"])
def test_a_call_made_while_a_sidecar_restarts_is_late_and_not_lost(up, name):
    """The caller's, or the server's that it calls."""
    process, before = up.mesh.sidecars[name], held(up)
    process.kill()
    process.wait()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(get, up, None, host="10.96.0.11")
        pods.wait_for(lambda: held(up) > before or call.done(), what="a call that is held")
        up.mesh.sidecar_start(up.web if name == "web" else up.api[name], "web" if name == "web" else "api")
        code, said = call.result()
    assert code == 200 and held(up) > before, said


def test_a_sidecar_drains_and_its_successor_takes_over(up):
    old = up.mesh.sidecars["web"]
    with Load(up, up.web, "calls") as load:
        n = len(load.read())
        pods.wait_for(lambda: len(load.read()) > n + 30, what="load")
        old.send_signal(signal.SIGTERM)
        assert old.wait(timeout=40) == 0
        up.mesh.sidecar_start(up.web, "web")
        n = len(load.read())
        pods.wait_for(lambda: len(load.read()) > n + 30, what="load")
    # Between the two a call waits. Only a request on a connection that was kept may meet its end (RFC 9112 9.5).
    assert load.count() and all("http_kept FAIL RemoteDisconnected" in f for f in load.failures()), load.summary()
    assert get(up)[0] == 200


def test_the_agent_is_stopped_and_started_under_load_without_a_gap(up):
    with Load(up, up.web, "calls") as load, Load(up, up.intruder, "refused") as tries:
        for how in (signal.SIGTERM, signal.SIGKILL):
            code = up.mesh.agent_kill(how)
            assert code == (0 if how == signal.SIGTERM else -signal.SIGKILL)
            assert refused(up, up.intruder, STORE, 7000)
            assert get(up)[0] == 200
            up.mesh.agent_start()
            assert up.mesh.agent_status()["adopted"] is True
    assert load.count() and not load.failures(), load.summary()
    assert tries.count() and not tries.failures(), tries.summary()


def test_a_second_agent_is_refused(up):
    done = up.mesh.weir_run("agent", "--config", up.mesh.config, "--admin", "")
    assert done.returncode == 1 and re.search("another|own", done.stderr), done.stderr


def test_an_edit_made_while_the_agent_was_away_is_in_force_when_it_is_back(up):
    up.mesh.agent_kill()
    try:
        up.mesh.write("policies.yaml", "# none\n")
        assert refused(up, up.intruder, STORE, 7000)  # nobody has told the kernel
    finally:
        up.mesh.agent_start()
    try:
        assert not refused(up, up.intruder, STORE, 7000)
    finally:
        was = up.mesh.agent_status()["generation"]
        up.mesh.write("policies.yaml", up.mesh.template("policies.yaml"))
        pods.wait_for(lambda: up.mesh.agent_status()["generation"] > was, what="the policy again")
    assert refused(up, up.intruder, STORE, 7000)


def test_weir_status_knows_the_agent(up):
    done = up.mesh.weir_run("status", "-o", "json", "--agent", up.mesh.agent_socket)
    agent = json.loads(done.stdout)["agent"]
    assert agent["state"] == "in_force" and agent["pods_enrolled"] == 5


def test_metrics_and_health_ports_of_a_sidecar(up):
    for port, path, host in ((15020, "/metrics", "127.0.0.1"), (15021, "/ready", "127.0.0.1"),
                             (15021, "/live", "[::1]"), (15020, "/metrics", "[::1]")):
        done = up.web.run(["curl", "-g", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                           f"http://{host}:{port}{path}"])
        assert done.stdout == "200", (port, path, host, done)

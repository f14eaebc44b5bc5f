#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo: five pods (network namespaces and cgroups on this machine), one agent, four sidecars, the YAML of
demo/config; then each promise is tried and what was seen is shown. Exit code 0 only if all hold.

usage: demo.py [--keep]          run it (make demo; make demo KEEP=1)
       demo.py --in POD CMD...   run a command in a pod of a demo that was kept
       demo.py --down            take a kept demo down
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tests", "support")]

import capture  # noqa: E402
import mesh  # noqa: E402
import pods  # noqa: E402
from show import Show  # noqa: E402

API, STORE = "10.96.0.10", "10.96.0.20"  # cluster addresses, services.yaml
SPIFFE = "spiffe://cluster.local/ns/default/sa/"
PYTHON = "/usr/bin/python3"
CALLS, SHARE = 500, 0.10  # routes.yaml: 10 of 100 go to v2
PROGRAMS = ("http_server.py", "tcp_server.py", "tcp_client.py", "mesh_client.py", "load.py")


class Load:
    """load.py in a pod, from enter to exit; then what it saw."""

    def __init__(self, demo, pod, kind):
        self.demo, self.pod, self.kind = demo, pod, kind
        self.name = f"load-{kind}-{secrets.token_hex(2)}"
        self.lines = []

    def __enter__(self):
        self.process = self.pod.spawn(
            [PYTHON, self.demo.program("load.py"), self.kind, f"{API}:80", f"{STORE}:7000"],
            name=self.name, stdin=subprocess.PIPE)
        pods.wait_for(lambda: len(self.read()) >= 5, what=f"{self.name} to call")
        return self

    def read(self):
        with open(self.demo.pods.log(self.name + ".out"), encoding="utf-8") as f:
            return [line.split(" ", 3) for line in f if line.endswith("\n")]

    def __exit__(self, *_exc):
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.lines = self.read()

    def count(self):
        return len(self.lines)

    def failures(self):
        return [" ".join(fields) for fields in self.lines if fields[2] != "ok"]

    def summary(self):
        bad = self.failures()
        return f"{self.count()} calls, {len(bad)} failed" + (f": {bad[0]}" if bad else "")


class Demo:
    def __init__(self, the_pods, show):
        self.pods, self.show = the_pods, show
        self.is_up = False

    def program(self, name):
        return os.path.join(self.pods.run_dir, "app", name)

    # ---- putting it up ----

    def up(self):
        show, began = self.show, time.monotonic()
        show.wait("making pods")
        os.mkdir(os.path.join(self.pods.run_dir, "app"))
        for name in PROGRAMS:
            shutil.copy(os.path.join(HERE, name), self.program(name))
            os.chmod(self.program(name), 0o755)
        self.web = self.pods.add("web")
        self.api = {"api-v1": self.pods.add("api-v1"), "api-v2": self.pods.add("api-v2")}
        self.store = self.pods.add("store")
        self.intruder = self.pods.add("intruder")
        show.wait("starting weir agent")
        self.mesh = mesh.Mesh(self.pods, os.path.join(HERE, "config"))
        self.mesh.agent_start()
        show.wait("starting servers and sidecars")
        for name, pod in self.api.items():
            pod.spawn([PYTHON, self.program("http_server.py"), name, "8080"], uid=pods.NOBODY)
        self.store.spawn([PYTHON, self.program("tcp_server.py"), "store", "7000"], uid=pods.NOBODY)
        self.mesh.sidecar_start(self.web, "web", wait=False)
        for pod in self.api.values():
            self.mesh.sidecar_start(pod, "api", wait=False)
        self.mesh.sidecar_start(self.store, "store")
        for name in ("web", "api-v1", "api-v2"):
            self.mesh.sidecar_wait(self.pods.pods[name])
        for pod, port in ((self.api["api-v1"], 8080), (self.api["api-v2"], 8080),
                          (self.store, 7000)):
            pods.wait_for(lambda: self.connects(pod, port), what=f"the server of {pod.name}")
        show.say(f"pods {' '.join(self.pods.pods)}: up in {time.monotonic() - began:.1f} s, "
                 f"as {self.pods.id}")
        self.is_up = True
        show.head()
        self.privileges()

    def privileges(self):
        """What the kernel says of the sidecars' processes."""
        seen = set()
        for process in self.mesh.sidecars.values():
            with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            seen.add((status["Uid"].split()[1], int(status["CapEff"], 16), status["NoNewPrivs"]))
        self.show.check(seen == {(str(pods.NOBODY), 0, "1")},
                        f"privileges of the {len(self.mesh.sidecars)} sidecars",
                        "an ordinary uid, no capability", "; ".join(
                            f"uid {uid}, capabilities {caps:#x}, no_new_privs {nnp}"
                            for uid, caps, nnp in sorted(seen)))

    def connects(self, pod, port):
        return pod.run([PYTHON, "-c", "import socket, sys;"
                        f"socket.create_connection(('127.0.0.1', {port}), 5)"]).returncode == 0

    # ---- small calls ----

    def curl(self, pod, *args, path="/", timeout=30):
        return pod.run(["curl", "-s", "-S", "--max-time", "10", *args, f"http://{API}{path}"],
                       timeout=timeout)

    def say_to_store(self, pod, words):
        return pod.run([PYTHON, self.program("tcp_client.py"), STORE, "7000", words])

    # ---- 1 ----

    def calls_through_both(self):
        show = self.show
        show.title(1, "web calls api by its cluster address")
        secret, control = "secret-" + secrets.token_hex(12), "plain-" + secrets.token_hex(12)
        file = os.path.join(self.pods.run_dir, "wire.pcap")
        show.wait("starting tcpdump on the bridge")
        # Through pipes and a name in .pcap: more than that some distributions' AppArmor does not allow.
        with open(file, "wb") as out:
            dump = self.pods.spawn(["tcpdump", "-i", "br0", "-w", "-", "-U", "--immediate-mode",
                                    "-s", "0", "-Z", "root", "tcp"], name="tcpdump",
                                   netns=self.pods.node_netns, stdout=out, stderr=subprocess.PIPE)
        said = b""
        while b"listening on" not in said:
            more = dump.stderr.readline()
            if not more:
                raise pods.PodsError("tcpdump: " + said.decode("utf-8", "replace"))
            said += more
        answer = self.curl(self.web, "-X", "POST", "-H", f"x-secret: {secret}", "-d", secret,
                           "-w", "%{http_code}")
        self.say_to_store(self.web, control)
        body, code = answer.stdout.rsplit("\n", 1) if answer.stdout else ("{}", answer.stderr)
        seen = json.loads(body) if code == "200" else {}
        request = seen.get("headers", {}).get("x-request-id", "-")
        lines = pods.wait_for(lambda: self.both_lines(seen.get("server"), request) or
                              code != "200", what="the access lines of both sidecars")
        directions = "no access lines" if lines is True else " and ".join(
            f"{name} {line['direction']} {line['protocol']}" for name, line in lines)
        show.check(code == "200" and lines is not True, f"curl http://{API}/ in web",
                   "200 through both sidecars",
                   f"{code} from {seen.get('server', body.strip())}; logged by {directions}")
        xfcc = seen.get("headers", {}).get("x-forwarded-client-cert", "none")
        uri = re.search(r"(?:^|;)URI=([^;,]+)", xfcc)
        show.check(bool(uri) and uri.group(1) == SPIFFE + "web",
                   "what api is told in x-forwarded-client-cert", SPIFFE + "web",
                   uri.group(1) if uri else xfcc)
        time.sleep(0.1)  # the last packets on their way into the file
        dump.terminate()
        dump.communicate(timeout=10)
        self.look_at_wire(file, secret.encode(), control.encode())

    def both_lines(self, server, request):
        if server not in self.api:
            return None
        found = []
        for pod in (self.web, self.api[server]):
            found += [(pod.name, line) for line in self.mesh.access_lines(pod)
                      if line["request_id"] == request and line["response_code"] == 200]
        directions = [line["direction"] for _, line in found]
        return found if directions == ["outbound", "inbound"] else None

    def look_at_wire(self, file, secret, control):
        found = capture.streams(file)
        servers = {pod.ip for pod in self.api.values()}
        between = {k: v for k, v in found.items() if {k[0], k[2]} & servers}
        hellos = [v for k, v in between.items()
                  if k[0] == self.web.ip and "weir-h2" in capture.client_hello_alpn(v)]
        not_tls = [k for k, v in between.items() if v[0] not in (20, 21, 22, 23) or v[1] != 3]
        leaks = sum(secret in v for v in found.values())
        controls = sum(control in v for v in found.values())
        size = sum(map(len, between.values()))
        self.show.check(bool(hellos) and not not_tls and not leaks and controls > 0,
                        "the wire between web and api, by tcpdump",
                        "TLS (ALPN weir-h2), nothing readable",
                        f"{len(hellos)} ClientHello weir-h2, {size} bytes of TLS records; the "
                        f"request's secret {leaks} times (what web told store: {controls} times)"
                        + (f"; not TLS: {not_tls}" if not_tls else ""))

    # ---- 2 ----

    def servers_of(self, done):
        """How often each server answered, from the bodies of many calls."""
        counts = {}
        for line in done.stdout.splitlines():
            name = json.loads(line)["server"]
            counts[name] = counts.get(name, 0) + 1
        return counts

    def routes(self):
        show = self.show
        show.title(2, "a route by header, and by weight")
        show.wait("20 calls with x-version: v2")
        done = self.curl(self.web, "-f", "-H", "x-version: v2", path="/?n=[1-20]")
        counts = self.servers_of(done)
        show.check(counts == {"api-v2": 20}, "20 calls with x-version: v2", "20 from api-v2",
                   counts_text(counts) or done.stderr)
        show.wait(f"{CALLS} calls")
        sigma = (CALLS * SHARE * (1 - SHARE)) ** 0.5
        low, high = round(CALLS * SHARE - 4.5 * sigma), round(CALLS * SHARE + 4.5 * sigma)
        done = self.curl(self.web, "-f", "--max-time", "60", path=f"/?n=[1-{CALLS}]", timeout=90)
        counts = self.servers_of(done)
        v2 = counts.get("api-v2", 0)
        show.check(sum(counts.values()) == CALLS and low <= v2 <= high,
                   f"{CALLS} calls without the header",
                   f"90/10: {low} to {high} from api-v2 (4.5 sigma)",
                   counts_text(counts) + (f"; {done.stderr}" if done.returncode else ""))

    # ---- 3 ----

    def counters(self, pod):
        wanted = re.compile(r"weir_((down|up)stream_(connections|received_bytes|sent_bytes)|relays)"
                            r"_total")
        return {k: v for k, v in self.mesh.metrics(pod).items() if wanted.match(k)}

    def still_counters(self):
        """Both sidecars' counters once they no longer move from what was before."""
        def read():
            return [self.counters(self.web), self.counters(self.store)]
        last = [read()]

        def same():
            now = read()
            before, last[0] = last[0], now
            return now if now == before else None
        return pods.wait_for(same, pause=0.3, what="the sidecars' counters to stand still")

    def plain_tcp(self):
        show = self.show
        show.title(3, "web talks to store: plain TCP, carried by the kernel")
        show.wait("waiting for the sidecars to be idle")
        before, mark = self.still_counters(), self.mesh.flow_mark()
        done = self.say_to_store(self.web, "hello")
        lines = done.stdout.split("\n") + ["", ""]
        show.check(lines[0] == f"peer={STORE}:7000", "getpeername in web, after connect",
                   f"what it asked for: {STORE}:7000", lines[0] or done.stderr)
        show.check(lines[1] == f"store saw {self.web.ip} say hello", "who store sees",
                   f"web itself: {self.web.ip}", lines[1] or done.stderr)
        flow = self.mesh.wait_flow(mark, lambda r: r["event"] == "open" and
                                   r.get("source") == "default/web" and
                                   r.get("original_ip") == STORE, "the flow record of web")
        ok = (flow["destination_ip"], flow["destination_port"], flow["reason"]) == \
            (self.store.ip, 7000, "allow_service")
        show.check(ok, "the flow log", f"{STORE}:7000 became {self.store.ip}:7000",
                   f"{flow['original_ip']}:{flow['original_port']} became {flow['destination_ip']}:"
                   f"{flow['destination_port']} ({flow['destination']}), {flow['reason']}")
        for n in range(20):
            self.say_to_store(self.web, f"again {n}")
        after = self.still_counters()
        moved = [f"{name}: {k} +{a[k] - b[k]:g}" for name, b, a in
                 zip(("web", "store"), before, after) for k in a if a[k] != b.get(k)]
        show.check(not moved, "20 more calls; both sidecars' counters",
                   "connections and bytes do not move",
                   "; ".join(moved) or f"{sum(map(len, after))} counters, none moved")

    # ---- 4 ----

    def intruders(self):
        show = self.show
        show.title(4, "who is not allowed")
        mark = self.mesh.flow_mark()
        store = self.say_to_store(self.intruder, "hello")
        show.check(store.returncode == 1 and "Operation not permitted" in store.stderr,
                   "intruder connects to store", "EPERM from the kernel",
                   store.stderr or store.stdout)
        api = self.curl(self.intruder)
        show.check(api.returncode == 7, "intruder curls api", "connect() refused: curl exit code 7",
                   f"exit code {api.returncode}: {api.stderr or api.stdout}")
        for name, policy in (("store", "default/store-from-web"), ("api", "default/api-from-web")):
            r = self.mesh.wait_flow(mark, lambda r: r["event"] == "deny" and
                                    r.get("source") == "default/intruder" and
                                    r.get("service") == f"default/{name}", "the record of a denial")
            show.check(r["verdict"] == "deny" and r.get("policy") == policy,
                       f"the flow log of intruder to {name}", f"deny, {policy}",
                       f"{r['verdict']}, {r.get('policy')} ({r['reason']}, to {r['destination']})")
        self.stolen()

    def stolen(self):
        """From web's address, which the kernel lets through, with the intruder's certificate."""
        show, server = self.show, self.api["api-v1"]
        before = self.mesh.metrics(server)
        done = {}
        for account in ("intruder", "web"):
            done[account] = self.web.run([PYTHON, self.program("mesh_client.py"),
                                          self.mesh.identity(account), server.ip, "8080"])
        ok = "status=403" in done["intruder"].stdout and "status=200" in done["web"].stdout
        show.check(ok, "a valid certificate of another identity",
                   "403 by api's sidecar; 200 with web's own",
                   ", ".join(f"{a}: {d.stdout or d.stderr}" for a, d in done.items()))
        line = pods.wait_for(lambda: next((x for x in self.mesh.access_lines(server)
                                           if x["peer"] == SPIFFE + "intruder"), None),
                             what="the access line of a refused caller")
        show.check(line["response_code"] == 403 and line["direction"] == "inbound",
                   "the sidecar's access log", "403, the caller's identity, the policy",
                   f"{line['response_code']} {line['peer']} ({line['reason']}, {line['detail']})")
        name = "weir_identity_refused_total"
        after = self.mesh.metrics(server)
        show.check(after[name] == before[name] + 1, f"{name} of api-v1", "one more",
                   f"{before[name]:g}, then {after[name]:g}")

    # ---- 5 ----

    def agent_dies(self):
        show = self.show
        show.title(5, "the agent is killed, and comes back")
        with Load(self, self.web, "calls") as load, \
                Load(self, self.intruder, "refused") as refused:
            show.wait("agent killed; calling")
            code = self.mesh.agent_kill(signal.SIGKILL)
            calls = [self.curl(self.web, "-f").returncode for _ in range(20)]
            words = self.say_to_store(self.web, "anyone there?")
            show.check(code == -signal.SIGKILL and not any(calls) and words.returncode == 0,
                       "SIGKILL; web calls api and store", "both answer as before",
                       f"20 calls to api: {20 - sum(map(bool, calls))} good; store: "
                       f"{words.stdout.splitlines()[1:] or words.stderr}")
            denied = self.say_to_store(self.intruder, "hello")
            show.check("Operation not permitted" in denied.stderr, "intruder connects to store",
                       "EPERM from the kernel, as before", denied.stderr or denied.stdout)
            show.wait("agent starting again")
            mark = self.mesh.flow_mark()
            self.mesh.agent_start()
            adopted = self.mesh.agent_status()["adopted"]
            self.say_to_store(self.intruder, "hello")
            r = self.mesh.wait_flow(mark, lambda r: r["event"] == "deny", "a record after the start")
            show.check(adopted, "the agent starts again", "adopts the pinned programs",
                       f"adopted: {str(adopted).lower()}; flow log goes on: deny, {r['policy']}")
        show.check(load.count() > 0 and not load.failures(),
                   "load on api and store all the while", "no call fails", load.summary())
        show.check(refused.count() > 0 and not refused.failures(),
                   "intruder trying all the while", "no call gets through",
                   refused.summary().replace("failed", "got through"))

    # ---- 6 ----

    def edits(self):
        show = self.show
        show.title(6, "a route edit, and a broken one")
        original = self.mesh.template("routes.yaml")
        edited = original.replace("weight: 90", "weight: 0").replace("weight: 10}", "weight: 100}")
        with Load(self, self.web, "calls") as load:
            show.wait("routes.yaml edited; calling")
            at = time.monotonic()
            self.mesh.write("routes.yaml", edited)
            pods.wait_for(lambda: (time.monotonic() - at > 2.0), timeout=5, what="two seconds")
        last = max((float(f[0]) for f in load.lines if f[3:] and f[3].strip() == "api-v1"),
                   default=0.0)
        later = [f for f in load.lines if f[2] == "ok" and f[3].strip() == "api-v2" and
                 float(f[0]) > max(at, last)]
        show.check(last < at + 1.0 and len(later) > 20, "v1:v2 from 90:10 to 0:100",
                   "live within one second",
                   f"{max(0.0, last - at) * 1000:.0f} ms after the edit the last answer of "
                   f"api-v1, then {len(later)} of api-v2")
        show.check(not load.failures(), "load all the while", "no call fails", load.summary())
        self.broken_edit(edited)
        self.mesh.write("routes.yaml", original)

    def broken_edit(self, edited):
        show = self.show
        broken = edited.replace("- backendRefs:", "- backendRef:")
        place = next(f"{n}:{line.index('backendRef:') + 1}" for n, line in
                     enumerate(broken.splitlines(), 1) if "backendRef:" in line)
        path = os.path.join(self.mesh.config, "routes.yaml")
        before = self.mesh.metrics(self.web)
        generations = [self.mesh.agent_status()["generation"]]
        with Load(self, self.web, "calls") as load:
            show.wait("routes.yaml broken; calling")
            self.mesh.write("routes.yaml", broken)
            said = pods.wait_for(lambda: self.complaint(path), what="web's sidecar to complain")
            refusal = pods.wait_for(lambda: self.mesh.agent_status().get("last_refusal"),
                                    what="the agent to complain")
            counts = self.servers_of(self.curl(self.web, "-f", path="/?n=[1-50]"))
        show.check(f"{path}:{place}:" in said, "a misspelt key; web's sidecar says",
                   f"routes.yaml:{place}", said.replace(self.mesh.config + "/", ""))
        show.check(f"{path}:{place}:" in refusal, "the agent says", f"routes.yaml:{place}",
                   refusal.replace(self.mesh.config + "/", ""))
        done = self.mesh.weir_run("validate", self.mesh.config)
        show.check(done.returncode == 1 and f"{path}:{place}:" in done.stdout, "weir validate says",
                   f"exit code 1, routes.yaml:{place}",
                   f"exit code {done.returncode}, "
                   f"{done.stdout.splitlines()[0].replace(self.mesh.config + '/', '')}")
        after = self.mesh.metrics(self.web)
        generations.append(self.mesh.agent_status()["generation"])
        same = before["weir_config_generation"] == after["weir_config_generation"] and \
            generations[0] == generations[1]
        show.check(same and counts == {"api-v2": 50} and not load.failures(),
                   "what it changes", "nothing: same generation, same route",
                   f"generation {after['weir_config_generation']:g} as before; 50 calls: "
                   f"{counts_text(counts)}; load: {load.summary()}")

    def complaint(self, path):
        with open(self.pods.log("web-weir.err"), encoding="utf-8") as f:
            found = [line for line in f if path + ":" in line]
        return found[-1][found[-1].index(path):].strip() if found else None

    STEPS = (calls_through_both, routes, plain_tcp, intruders, agent_dies, edits)

    def run(self):
        self.up()
        for step in self.STEPS:
            try:
                step(self)
            except BrokenPipeError:
                raise  # nobody reads what we say
            except (pods.PodsError, OSError, ValueError, KeyError, IndexError,
                    subprocess.SubprocessError) as e:
                self.show.check(False, f"step {step.__name__}", "to be carried through",
                                f"{type(e).__name__}: {e}")
        if self.show.bad:
            self.logs()

    def logs(self):
        """What the processes said, when something does not hold."""
        self.show.say("\nthe last lines of the logs:")
        for name in sorted(os.listdir(self.pods.logs)):
            if not name.endswith(".err"):
                continue
            text = self.mesh.tail(name, 12).rstrip() if hasattr(self, "mesh") else ""
            if text:
                self.show.say(f"-- {name}\n{text}")

    def hints(self):
        say, me = self.show.say, os.path.relpath(os.path.join(HERE, "demo.py"))
        run = self.pods.run_dir
        say(f"""
It stays up. To try:
  {me} --in web curl -s http://{API}/
  {me} --in web curl -s -H 'x-version: v2' http://{API}/
  {me} --in web {self.program('tcp_client.py')} {STORE} 7000 hello
  {me} --in intruder curl http://{API}/
  {me} --in web curl -s http://127.0.0.1:15000/metrics
  {self.mesh.weir} status --agent {self.mesh.agent_socket}
  tail -f {self.mesh.flow_log}
  tail -f {self.pods.logs}/web-weir.out
  edit {self.mesh.config}/routes.yaml, then look: {self.mesh.weir} validate {self.mesh.config}
To take it down: {me} --down, or make demo again. All of it is in {run}.""")


def counts_text(counts):
    return ", ".join(f"{n} from {name}" for name, n in sorted(counts.items()))


def down():
    for name in pods.sweep(kept=True, kind="demo"):
        print(f"took down {name}")
    return 0


def inside(name, argv):
    """Runs a command in a pod of the demo that was kept."""
    found = [r for r in pods.records() if r["kind"] == "demo" and not pods.is_left_over(r)]
    if not found:
        sys.exit("no demo is up: make demo KEEP=1")
    netns = os.path.join(found[-1]["run_dir"], "netns", name)
    cgroup = os.path.join(found[-1]["cgroup"], "pods", name, "app")
    if not argv or not os.path.exists(netns):
        there = " ".join(sorted(os.listdir(os.path.dirname(netns))))
        sys.exit(f"usage: demo.py --in POD CMD...; there are {there}")
    with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as f:
        f.write(str(os.getpid()))
    os.execvp("nsenter", ["nsenter", f"--net={netns}", "--", *argv])


def play(keep, kind=Demo):
    show = Show()
    for name in pods.sweep(kept=True, kind="demo"):
        show.say(f"took down what an earlier run left: {name}")
    with pods.Pods("demo") as the_pods:
        demo = kind(the_pods, show)
        try:
            demo.run()
        except pods.PodsError as e:
            show.check(False, "putting it up", "to work", e)
            demo.logs()
        except KeyboardInterrupt:
            show.say("stopped; taking everything down")
            raise
        if keep and demo.is_up:
            demo.hints()
            the_pods.leave()
        else:
            take_down(the_pods, show)
    result = f"{show.good} of {show.good + show.bad} hold"
    show.say(f"\n{show.paint('1;32' if not show.bad else '1;31', result)} "
             f"after {show.seconds():.0f} s")
    return 1 if show.bad else 0


def take_down(the_pods, show):
    show.wait("taking everything down")
    problem = the_pods.close()
    left = [p for p in (the_pods.run_dir, the_pods.cgroup) if os.path.exists(p)]
    show.check(problem is None and not left, "weir agent --uninstall, then all the rest",
               "nothing is left", problem or " ".join(left) or
               "no program, pin, cgroup, namespace, mount or process")


def main(kind=Demo, usage=__doc__):
    argv = sys.argv[1:]
    if "-h" in argv[:1] or "--help" in argv[:1]:
        print(usage)
        return 0
    if argv[:1] not in ([], ["--keep"], ["--down"], ["--in"]) or \
            (len(argv) > 1 and argv[0] != "--in"):
        print(usage, file=sys.stderr)
        return 2
    if os.geteuid() != 0 and shutil.which("sudo"):
        os.execvp("sudo", ["sudo", "--preserve-env=NO_COLOR,TERM", PYTHON, os.path.abspath(sys.argv[0]),
                           *argv])
    reason = pods.why_not()
    if reason:
        hint = " (sudo make demo)" if os.geteuid() != 0 else ""
        print(f"{os.path.basename(sys.argv[0])}: {reason}{hint}", file=sys.stderr)
        return 1
    if argv[:1] == ["--down"]:
        return down()
    if argv[:1] == ["--in"]:
        return inside(argv[1] if len(argv) > 1 else "", argv[2:])
    try:
        return play(argv == ["--keep"], kind)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    sys.exit(main())

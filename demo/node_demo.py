#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demo of node mode: three pods with nothing added to them, one agent and its helper, the YAML of demo/node; then each
promise is tried and what was seen is shown. Exit code 0 only if all hold.

usage: node_demo.py [--keep]          run it (make demo MODE=node; make demo MODE=node KEEP=1)
       node_demo.py --in POD CMD...   run a command in a pod of a demo that was kept
       node_demo.py --down            take a kept demo down
"""
import json
import os
import shutil
import signal
import sys
import time

import demo
from demo import API, HERE, PYTHON, SPIFFE, mesh, pods

PROMISED = {"web", "api", "intruder"}


def facts(pid):
    """User, capabilities and program of a process, as the kernel says."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    return int(status["Uid"].split()[1]), int(status["CapEff"], 16)


class NodeDemo(demo.Demo):
    def up(self):
        show, began = self.show, time.monotonic()
        show.wait("making pods")
        os.mkdir(os.path.join(self.pods.run_dir, "app"))
        shutil.copy(os.path.join(HERE, "http_server.py"), self.program("http_server.py"))
        self.web, self.api, self.intruder = (self.pods.add(name) for name in ("web", "api", "intruder"))
        self.server = self.api.spawn([PYTHON, self.program("http_server.py"), "api", "8080"], uid=pods.NOBODY)
        show.wait("starting weir agent")
        self.mesh = mesh.Mesh(self.pods, os.path.join(HERE, "node"))
        made = self.mesh.weir_run("ca", "init", "--dir", self.mesh.ca)
        if made.returncode:
            raise pods.PodsError(made.stderr)
        self.mesh.agent_start()
        pods.wait_for(lambda: self.connects(self.api, 8080), what="the server of api")
        show.say(f"pods {' '.join(self.pods.pods)}: up in {time.monotonic() - began:.1f} s, as {self.pods.id}")
        self.is_up = True
        show.head()

    # ---- what is asked ----

    def tenants(self):
        return {t["identity"].removeprefix("default/"): t for t in self.mesh.agent_status()["tenants"]}

    def in_pod(self, name):
        """Programs of all processes in a pod's cgroup."""
        found = []
        for base, _, _ in os.walk(self.pods.pods[name].cgroup):
            with open(os.path.join(base, "cgroup.procs"), encoding="ascii") as f:
                for pid in f.read().split():
                    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as c:
                        found.append(os.path.basename(c.read().split("\0")[1]))
        return found

    def call(self):
        """The server that answered web, and the identity it was told; (None, why) when there was no answer."""
        done = self.curl(self.web)
        if done.returncode:
            return None, done.stderr
        answer = json.loads(done.stdout)
        told = dict(f.split("=", 1) for f in
                    answer["headers"].get("x-forwarded-client-cert", "").split(";") if "=" in f)
        return answer["server"], told.get("URI", "none")

    def mode(self, value):
        """Edits the Namespace's label; a running pod is enrolled or released as it is."""
        text = self.mesh.template("mesh.yaml")
        self.mesh.write("mesh.yaml", text.replace("weir.dev/mode: node ", f"weir.dev/mode: {value} "))

    # ---- what is shown ----

    def nothing_added(self):
        show, states = self.show, {n: (t["state"], t["pid"]) for n, t in self.tenants().items()}
        show.title(1, "nothing is added to a pod")
        seen = {name: self.in_pod(name) for name in sorted(PROMISED)}
        show.check(seen == {"api": ["http_server.py"], "intruder": [], "web": []}, "the processes in the pods",
                   "api's server, and nothing else", "; ".join(f"{n}: {' '.join(p) or 'none'}" for n, p in seen.items()))
        show.check(states == dict.fromkeys(PROMISED, ("idle", 0)), "workers before the first call",
                   "none: an idle identity costs no process", ", ".join(f"{n} {s}" for n, (s, _) in sorted(states.items())))

    def first_call(self):
        show = self.show
        show.title(2, "the first connection starts the workers")
        seen = self.call()
        show.check(seen == ("api", SPIFFE + "web"), f"curl http://{API}/ in web, and who api is told it is",
                   SPIFFE + "web, by mTLS", " is told ".join(map(str, seen)))
        workers = {n: t for n, t in self.tenants().items() if t["pid"]}
        show.check(set(workers) == {"web", "api"}, "weir status: tenants", "web and api run, intruder is idle", "; ".join(
            f"{n} {t['state']}, pid {t['pid']}, ready in {t['start_took_us'] / 1000:.0f} ms"
            for n, t in sorted(workers.items())))
        kernel = {n: facts(t["pid"]) for n, t in workers.items()}
        show.check(len({uid for uid, _ in kernel.values()}) == 2 and
                   all(uid >= 2000000000 and caps == 0 for uid, caps in kernel.values()),
                   "privileges of the workers", "a user for each identity, no capability",
                   "; ".join(f"{n}: uid {uid}, capabilities {caps:#x}" for n, (uid, caps) in sorted(kernel.items())))
        show.check(self.in_pod("api") == ["http_server.py"] and not self.in_pod("web"), "the processes in the pods now",
                   "as before", f"api: {' '.join(self.in_pod('api'))}; web: {' '.join(self.in_pod('web')) or 'none'}")

    def refused(self):
        show, mark = self.show, self.mesh.flow_mark()
        show.title(3, "who is not allowed")
        done = self.curl(self.intruder, "-w", " %{http_code}")
        show.check(done.stdout.endswith(" 503"), "intruder curls api", "503 by its own worker: the kernel lets nothing out",
                   done.stderr or done.stdout)
        r = self.mesh.wait_flow(mark, lambda r: r["event"] == "deny" and r.get("source") == "default/intruder",
                                "the record of a denial")
        show.check(r.get("policy") == "default/api-from-web", "the flow log", "deny, default/api-from-web",
                   f"{r['verdict']}, {r.get('policy')} ({r['reason']})")

    def worker_dies(self):
        show, before = self.show, self.tenants()
        show.title(4, "a worker dies")
        os.kill(before["api"]["pid"], signal.SIGKILL)
        pods.wait_for(lambda: self.tenants()["api"]["pid"] != before["api"]["pid"], what="the agent to see it")
        answers = [self.call() for _ in range(5)]
        after = self.tenants()
        show.check(set(answers) == {("api", SPIFFE + "web")}, "api's is killed; web calls five times",
                   "the next connection starts one", f"{sum(a[0] == 'api' for a in answers)} of 5 answered; "
                   f"pid {before['api']['pid']} became {after['api']['pid']}, restarts {after['api']['restarts']}")
        show.check(after["web"]["pid"] == before["web"]["pid"], "web's worker", "goes on",
                   f"pid {before['web']['pid']}, then {after['web']['pid']}")

    def modes(self):
        show, pid = self.show, self.server.pid
        show.title(5, "the mode of running pods is edited")
        for value, told, what in (("kernel", "none", "policy alone, no certificate"), ("node", SPIFFE + "web", "mTLS again")):
            show.wait(f"weir.dev/mode: {value}")
            self.mode(value)
            seen = pods.wait_for(lambda: (s := self.call()) == ("api", told) and s, timeout=20, what=f"mode {value}")
            show.check(self.server.poll() is None, f"Namespace: weir.dev/mode: {value}", what,
                       f"{seen[0]} answers and is told {seen[1]}; its server has pid {pid} still")

    STEPS = (nothing_added, first_call, refused, worker_dies, modes)

    def hints(self):
        me = os.path.relpath(os.path.abspath(__file__))
        self.show.say(f"""
It stays up. To try:
  {me} --in web curl -s http://{API}/
  {me} --in intruder curl http://{API}/
  {self.mesh.weir} status --agent {self.mesh.agent_socket}
  tail -f {self.mesh.flow_log}
  edit {self.mesh.config}/mesh.yaml, then look: {self.mesh.weir} validate {self.mesh.config}
To take it down: {me} --down, or make demo again. All of it is in {self.pods.run_dir}.""")


if __name__ == "__main__":
    sys.exit(demo.main(NodeDemo, __doc__))

# SPDX-License-Identifier: Apache-2.0
"""A small mesh whose pods are in any mode: one Service per application, one identity per Pod unless said otherwise."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

sys.path.insert(0, HERE)

import mesh  # noqa: E402
import pods  # noqa: E402
import rawbpf  # noqa: E402

PYTHON = "/usr/bin/python3"
SERVER = os.path.join(ROOT, "demo", "http_server.py")
LOADER = os.path.join(HERE, "callers.py")


class NodeMesh(mesh.Mesh):
    def __init__(self, the_pods):
        empty = os.path.join(the_pods.run_dir, "source")
        os.mkdir(empty)
        super().__init__(the_pods, empty)
        self.modes, self.accounts, self.services = {}, {}, {}
        self.n_services = 0
        self.policies, self.agent_spec, self.flags = [], {}, []
        for path in (SERVER, LOADER):
            with open(path, encoding="utf-8") as f, open(self.program(path), "w", encoding="utf-8") as to:
                to.write(f.read())
        os.chmod(self.pods.run_dir, 0o755)

    def program(self, path):
        return os.path.join(self.pods.run_dir, os.path.basename(path))

    # ---- documents ----

    def pod(self, name, mode, account=None, serve=True):
        """A pod with an HTTP server at 8080, and a Service of its name."""
        pod = self.pods.add(name)
        self.modes[name], self.accounts[name] = mode, account or name
        self.n_services += 1
        self.services[name] = f"10.96.{self.n_services // 250 + 1}.{self.n_services % 250 + 1}"
        if serve:
            pod.spawn([PYTHON, self.program(SERVER), name, "8080"], uid=pods.NOBODY)
        return pod

    def remove(self, name):
        for table in (self.modes, self.accounts, self.services):
            del table[name]

    def documents(self):
        yield {"apiVersion": "weir.dev/v1alpha1", "kind": "Agent", "metadata": {"name": "node"},
               "spec": {"cgroup": self.pods.pods_cgroup, "pinDir": self.pods.pin_dir, "admin": self.agent_socket,
                        "flowLog": self.flow_log, "meshCA": self.mesh_ca(), "holdTime": "2s", **self.agent_spec}}
        yield {"apiVersion": "weir.dev/v1alpha1", "kind": "Proxy", "metadata": {"name": "proxy"},
               "spec": {"trustDomain": "cluster.local", "accessLog": "json", "limits": {"drainTimeout": "5s"}}}
        for name, mode in self.modes.items():
            pod = self.pods.pods[name]
            yield {"apiVersion": "v1", "kind": "Pod",
                   "metadata": {"name": name, "namespace": "default", "labels": {"app": name},
                                "annotations": {"weir.dev/cgroup": f"{self.pods.pods_cgroup}/{name}",
                                                "weir.dev/netns": pod.netns, "weir.dev/mode": mode}},
                   "spec": {"serviceAccountName": self.accounts[name],
                            "containers": [{"name": "server", "ports": [{"name": "http", "containerPort": 8080}]}]},
                   "status": {"podIP": pod.ip}}
            yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
                   "spec": {"clusterIP": self.services[name], "selector": {"app": name},
                            "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}
        yield from self.policies

    def publish(self):
        self.write("mesh.yaml", "\n---\n".join(json.dumps(d) for d in self.documents()))

    # ---- who signs ----

    def mesh_ca(self):
        if not os.path.isdir(self.ca):
            self._ok("ca", "init", "--dir", self.ca)
        return self.ca

    def up(self):
        self.publish()
        self.agent_again()

    # ---- what is seen ----

    def agent_status(self):
        """An agent that loads programs on a busy machine does not answer at once."""
        def answer():
            status = super(NodeMesh, self).agent_status()
            if status is None and self.agent.poll() is not None:
                raise pods.PodsError("the agent ended:\n" + self.agent_log()[-3000:])
            return status
        return pods.wait_for(answer, timeout=60, what="the agent to answer")

    def tenants(self):
        return {t["identity"].removeprefix("default/"): t for t in self.agent_status()["tenants"]}

    def state(self, name):
        return next(p for p in self.agent_status()["pods"] if p["name"] == f"default/{name}")

    def curl(self, pod, to, *more):
        done = self.pods.pods[pod].run(["curl", "-sS", "--max-time", "10", *more, f"http://{self.services[to]}/"])
        return json.loads(done.stdout) if done.stdout.startswith("{") else (done.stdout + done.stderr).strip()

    # ---- processes apart ----

    def helper_start(self):
        """The helper by itself: workers and listeners outlive the agent."""
        path = os.path.join(self.pods.run_dir, "helper.sock")
        self.helper = self.pods.spawn([self.weir, "helper", "--listen", path, "--cgroup", self.pods.pods_cgroup,
                                       *self.flags], name="helper")
        pods.wait_for(lambda: os.path.exists(path), what="the helper")
        self.agent_spec["helper"] = path

    def agent_again(self):
        self.agent_start(wait=False)
        pods.wait_for(self._agent_ready, timeout=90, what="the agent to enrol the pods")

    def outside(self, name):
        """Does a caller of no pod reach its server?"""
        done = subprocess.run(["nsenter", f"--net={self.pods.node_netns}", "curl", "-s", "--max-time", "2",
                               f"http://{self.pods.pods[name].ip}:8080/"], capture_output=True)
        return done.returncode == 0

    # ---- coming and going ----

    def churn(self, rounds, at_once, client="plain"):
        """Pods of node mode come, are called, and go; whoever is asked must answer."""
        for r in range(rounds):
            names = [f"c{r}-{i}" for i in range(at_once)]
            for i, name in enumerate(names):
                self.pod(name, "node", account=f"churn{i % 3}")
                self.publish()
            for name in names:
                pods.wait_for(lambda: any(p["name"] == f"default/{name}" and p.get("node_mode") == "served"
                                          for p in self.agent_status()["pods"]), timeout=60, what=name)
                pods.wait_for(lambda: isinstance(self.curl(client, name), dict), timeout=60, what=f"{name} to answer")
            for name in names:
                self.remove(name)
            self.publish()
            pods.wait_for(lambda: not any(p["name"].startswith("default/c") for p in self.agent_status()["pods"]),
                          timeout=60, what="their documents to be gone")
            for name in names:
                self.pods.remove(name)

    def leftovers(self):
        """Everything that pods in node mode may have left: by count or by name."""
        tenants = os.path.join(self.pods.cgroup, "pods", "weir-tenants")
        workers = {t["pid"] for t in self.agent_status()["tenants"]} - {0}
        return {"tenants": sorted(self.tenants()),
                "cgroups": sorted(os.path.relpath(d, tenants) for d, _, _ in os.walk(tenants)),
                "processes": len([p for base, _, _ in os.walk(tenants) for p in
                                  open(os.path.join(base, "cgroup.procs"), encoding="ascii").read().split()]) - len(workers),
                "helper's descriptors": len(os.listdir(f"/proc/{self.helper.pid}/fd")) - len(workers),
                "pins": sorted(os.listdir(self.pods.pin_dir)),
                "maps": {m: n for m in os.listdir(self.pods.pin_dir)
                         if (n := rawbpf.entries(os.path.join(self.pods.pin_dir, m))) is not None}}

    # ---- load ----

    def load(self, pod, to, *more):
        return Load(self, self.pods.pods[pod], self.services[to], *more)

    def agent_log(self):
        return self.tail(self.agent.name + ".err", 100000)


class Load:
    """callers.py in a pod, from enter to exit; then .calls, .failures, .p99_ms and the like."""

    def __init__(self, the_mesh, pod, ip, *more):
        self.argv = [PYTHON, the_mesh.program(LOADER), ip, *map(str, more)]
        self.pod, self.said = pod, None

    def __enter__(self):
        self.process = self.pod.spawn(self.argv, name=f"{self.pod.name}-load-{id(self)}", stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE)
        assert self.process.stdout.readline().strip() == b"running"
        return self

    def __exit__(self, *_exc):
        out, _ = self.process.communicate(timeout=30)
        self.said = json.loads(out)
        self.calls, self.failures, self.p50_ms, self.p99_ms = (
            self.said[k] for k in ("calls", "failures", "p50_ms", "p99_ms"))

# SPDX-License-Identifier: Apache-2.0
"""`weir agent` as a process, with its configuration directory, log, flow log and admin socket."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from actor import SLOW
from world import cgroup_mount

WEIR = os.environ.get("WEIR_BIN", "")
PATIENCE = 60 * SLOW  # seconds until something that has to come counts as missing
SERVICE_IP = "10.96.0.9"


def eventually(what):
    """The first true value of what(); fails after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, "never came true"
        time.sleep(0.02)


class Agent:
    def __init__(self, world):
        self.world = world
        self.dir = tempfile.mkdtemp(prefix="weir-agent-")
        self.config = os.path.join(self.dir, "config")
        os.mkdir(self.config)
        self.log = os.path.join(self.dir, "log")
        self.flow_log = os.path.join(self.dir, "flows")
        self.socket = os.path.join(self.dir, "sock")
        self.pins = os.path.join(world.tmp, "agent")
        self.p = None
        self.more = []  # further flags of every start
        self.parent = os.path.relpath(world.cgroup, cgroup_mount())
        self.write("agent.yaml", {"apiVersion": "weir.dev/v1alpha1", "kind": "Agent", "metadata": {"name": "agent"},
                                  "spec": {"cgroup": self.parent, "holdTime": "300ms"}})

    # --- documents

    def write(self, name, *documents):
        """Replaces a file by rename, as editors and kubelets do."""
        path = os.path.join(self.config, name)
        with open(os.path.join(self.dir, "new"), "w") as f:
            f.write("\n---\n".join(d if isinstance(d, str) else json.dumps(d) for d in documents))
        os.rename(os.path.join(self.dir, "new"), path)

    def pod_document(self, pod, cgroup=None, **labels):
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": pod.name, "namespace": "default", "labels": {"app": pod.name, **labels},
                             "annotations": {"weir.dev/cgroup": cgroup or f"{self.parent}/{pod.name}",
                                             "weir.dev/netns": pod.netns}},
                "spec": {"serviceAccountName": pod.name},
                "status": {"podIP": pod.v4, "podIPs": [{"ip": pod.v4}, {"ip": pod.v6}]}}

    def service(self, name, port, target, *pods):
        return "\n---\n".join(json.dumps(d) for d in [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
             "spec": {"clusterIP": SERVICE_IP, "ports": [{"name": "tcp", "port": port, "targetPort": target}]}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {"name": name + "-1", "namespace": "default",
                          "labels": {"kubernetes.io/service-name": name}},
             "addressType": "IPv4", "ports": [{"name": "tcp", "port": target}],
             "endpoints": [{"addresses": [p.v4]} for p in pods]}])

    def policy(self, name, to, *sources):
        return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"podSelector": {"matchLabels": {"app": to}}, "policyTypes": ["Ingress"],
                         "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": s}}} for s in sources]}]}}

    # --- the process

    def command(self, *more):
        return [WEIR, "agent", "--config", self.config, "--pin-dir", self.pins, "--admin",
                self.socket, "--flow-log", self.flow_log, *self.more, *more]

    def start(self, binary=WEIR):
        mark = len(self.text(self.log))
        self.p = subprocess.Popen([binary, *self.command()[1:]], stderr=open(self.log, "a"), stdin=subprocess.DEVNULL)
        try:
            eventually(lambda: "event=agent_ready" in self.text(self.log)[mark:] or self.p.poll() is not None)
        except AssertionError:
            raise AssertionError("not ready: " + self.text(self.log)[mark:]) from None
        assert self.p.poll() is None, self.text(self.log)

    def end(self, sig):
        self.p.send_signal(sig)
        code = self.p.wait(PATIENCE)
        self.p = None
        return code

    def once(self, *more):
        """Runs to its end: exit code and log."""
        r = subprocess.run(self.command(*more), stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                           timeout=PATIENCE)
        return r.returncode, r.stderr

    def cli(self, *words):
        """`weir WORDS` against this agent: exit code, standard output, standard error."""
        r = subprocess.run([WEIR, words[0], "--agent", self.socket, *words[1:]], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=PATIENCE)
        return r.returncode, r.stdout, r.stderr

    def ask(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(self.socket)
            s.sendall(line.encode() + b"\n")
            data = b""
            while chunk := s.recv(65536):
                data += chunk
        return [json.loads(part) for part in data.splitlines()]

    def status(self):
        return self.ask("status")[0]

    def pod_state(self, name):
        return {p["name"]: p["state"] for p in self.status()["pods"]}.get("default/" + name)

    def wait_generation(self, at_least):
        eventually(lambda: (g := self.ask("generation")[0])["generation"] >= at_least and g["in_force"])

    @staticmethod
    def text(path):
        if not os.path.exists(path):
            return ""
        with open(path) as f:
            return f.read()

    def close(self):
        if self.p and self.p.poll() is None:
            self.end(signal.SIGKILL)
        shutil.rmtree(self.dir)

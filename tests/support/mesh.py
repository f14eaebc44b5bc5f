#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""weir on top of pods: the agent, one sidecar per meshed pod, identities from a development CA, and
the few questions one asks them. Knows no policy, route or address: those are in the configuration."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess

from pods import NOBODY, WEIR, PodsError, start_time, wait_for

# Stand in the configuration for what only a run knows.
RUN_PLACE = "/run/weir-demo"
CGROUP_PLACE = "/weir-demo/pods"


class Mesh:
    def __init__(self, pods, config_source):
        self.pods = pods
        self.config_source = config_source
        self.config = os.path.join(pods.run_dir, "config")
        self.weir = os.path.join(pods.run_dir, "weir")
        self.ca = os.path.join(pods.run_dir, "ca")
        self.agent = None
        self.agent_starts = 0
        self.sidecars = {}
        # One file to copy: the copy can be executed by any uid, wherever the checkout lies.
        shutil.copy2(WEIR, self.weir)
        os.chmod(self.weir, 0o755)
        os.makedirs(self.config)
        for name in sorted(os.listdir(config_source)):
            if name.endswith((".yaml", ".yml", ".json")):
                self.write(name, self.template(name))

    # ---- configuration ----

    def template(self, name):
        with open(os.path.join(self.config_source, name), encoding="utf-8") as f:
            text = f.read()
        return text.replace(RUN_PLACE, self.pods.run_dir).replace(CGROUP_PLACE,
                                                                   self.pods.pods_cgroup)

    def write(self, name, text):
        """A whole new file at once, as an editor or a configuration manager does it."""
        path = os.path.join(self.config, name)
        new = os.path.join(self.config, f".{name}.new")
        with open(new, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(new, 0o644)
        os.rename(new, path)
        return path

    def read(self, name):
        with open(os.path.join(self.config, name), encoding="utf-8") as f:
            return f.read()

    # ---- identities ----

    def weir_run(self, *args, timeout=30):
        return subprocess.run([self.weir, *args], capture_output=True, text=True, timeout=timeout)

    def _ok(self, *args):
        done = self.weir_run(*args)
        if done.returncode != 0:
            raise PodsError(f"weir {' '.join(args)}: {done.stderr.strip()}")

    def identity(self, account, uid=NOBODY, namespace="default"):
        """The directory with tls.crt, tls.key and ca.crt of a service account; made when new."""
        if not os.path.isdir(self.ca):
            self._ok("ca", "init", "--dir", self.ca)
        parent = os.path.join(self.pods.run_dir, "identity")
        os.makedirs(parent, exist_ok=True)
        out = os.path.join(parent, f"{namespace}-{account}")
        if not os.path.isdir(out):
            self._ok("ca", "issue", "--dir", self.ca, f"{namespace}/{account}", "--out", out)
            for name in os.listdir(out):
                os.chown(os.path.join(out, name), uid, uid)
        return out

    # ---- the agent ----

    @property
    def agent_socket(self):
        return os.path.join(self.pods.run_dir, "agent.sock")

    @property
    def flow_log(self):
        return os.path.join(self.pods.run_dir, "flows.log")

    def agent_start(self, wait=True):
        self.agent_starts += 1
        self.agent = self.pods.spawn(
            [self.weir, "agent", "--config", self.config, "--flow-format", "json"],
            name=f"agent-{self.agent_starts}")
        if wait:
            wait_for(self._agent_ready, what="the agent to enrol the pods")
        return self.agent

    def _agent_ready(self):
        if self.agent.poll() is not None:
            raise PodsError("weir agent ended:\n" + self.tail(self.agent.name + ".err"))
        status = self.agent_status()
        return bool(status) and status.get("state") == "in_force" and status.get("pods") and all(
            p["state"] == "enrolled" for p in status["pods"])

    def agent_ask(self, line):
        """The answer's text, or None when no agent answers."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                s.settimeout(5)
                s.connect(self.agent_socket)
                s.sendall(line.encode() + b"\n")
                return s.makefile(encoding="utf-8").read()
        except OSError:
            return None

    def agent_status(self):
        text = self.agent_ask("status")
        return json.loads(text) if text else None

    def agent_kill(self, how=signal.SIGKILL):
        self.agent.send_signal(how)
        return self.agent.wait(timeout=20)

    def flows(self, since=0):
        """The records of the flow log from a byte offset on."""
        records = []
        try:
            with open(self.flow_log, "rb") as f:
                f.seek(since)
                for line in f.read().split(b"\n")[:-1]:
                    if line.strip():
                        records.append(json.loads(line))
        except FileNotFoundError:
            pass
        return records

    def flow_mark(self):
        try:
            return os.path.getsize(self.flow_log)
        except FileNotFoundError:
            return 0

    def wait_flow(self, since, match, what, timeout=10):
        """The first record since a mark for which match says yes."""
        return wait_for(lambda: next((r for r in self.flows(since) if match(r)), None),
                        timeout=timeout, what=what)

    # ---- sidecars ----

    def sidecar_start(self, pod, account=None, wait=True, args=()):
        identity = self.identity(account or pod.name)
        self.sidecars[pod.name] = pod.spawn(
            [self.weir, "proxy", "--config", self.config, "--pod", f"default/{pod.name}",
             "--identity", identity, *args], sidecar=True, uid=NOBODY)
        if wait:
            self.sidecar_wait(pod)
        return self.sidecars[pod.name]

    def sidecar_wait(self, pod):
        wait_for(lambda: self._sidecar_ready(pod), what=f"the sidecar of {pod.name}")

    def _sidecar_ready(self, pod):
        process = self.sidecars[pod.name]
        if process.poll() is not None:
            raise PodsError(f"weir proxy of {pod.name} ended:\n" + self.tail(process.name + ".err"))
        return pod.run(["curl", "-sf", "http://127.0.0.1:15000/ready"]).returncode == 0

    def metrics(self, pod):
        """{'name{labels}': value} of the pod's sidecar."""
        done = pod.run(["curl", "-sf", "http://127.0.0.1:15000/metrics"])
        if done.returncode != 0:
            raise PodsError(f"/metrics of {pod.name}: curl exit code {done.returncode}")
        return parse_metrics(done.stdout)

    def access_lines(self, pod):
        with open(self.pods.log(f"{pod.name}-weir.out"), encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def tail(self, name, lines=15):
        try:
            with open(self.pods.log(name), encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except FileNotFoundError:
            return ""


def parse_metrics(text):
    found = {}
    for line in text.splitlines():
        m = re.match(r"([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$", line)
        if m and not line.startswith("#"):
            found[m.group(1)] = float(m.group(2))
    return found


def alive(process):
    return process.poll() is None and start_time(process.pid) is not None

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Agent and helper killed at random moments while policy churns and connections are made: chaos.py [--minutes N] [--seed N].

What must hold at every moment, in every state that a kill can leave behind:
  * a flow that the policy before and after every edit denies never succeeds, by whatever family or protocol;
  * a flow that all of them allow never fails, and a connection that lives through all of it is never cut;
and whenever the agent is back and says that the newest edit is in force, flows that edits toggle are as it says, those that
existed included. Exits 1 with what was broken. One line of JSON with the figures is printed at the end.
"""
import argparse
import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
os.environ.setdefault("WEIR_BIN", os.path.join(ROOT, "build", "weir"))
sys.path[:0] = [os.path.join(ROOT, "tests", d) for d in ("bpf", "node")]

import actor  # noqa: E402
from agent import PATIENCE, SERVICE_IP, Agent, eventually  # noqa: E402
from helper import Helper  # noqa: E402
from world import World  # noqa: E402

PORT = 7000
LONG_LIVED = 8


# --- what runs in pods

def serve(*ips):
    """Echoes TCP and UDP, in threads of the actor."""
    def talk(s):
        with s:
            while data := s.recv(4096):
                s.sendall(data)

    def accept(listener):
        while True:
            s, _ = listener.accept()
            threading.Thread(target=lambda: _quietly(talk, s), daemon=True).start()

    def answer(s):
        while True:
            data, peer = s.recvfrom(4096)
            _quietly(s.sendto, data, peer)

    for ip in ips:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ip, PORT))
        listener.listen(512)
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        datagrams.bind((ip, PORT))
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        threading.Thread(target=answer, args=(datagrams,), daemon=True).start()


def _quietly(fn, *args):
    try:
        fn(*args)
    except OSError:
        pass


def exchange(ip, port, n):
    """n connections, a byte there and back on each. What went wrong, as texts."""
    wrong = []
    for _ in range(n):
        s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        s.settimeout(PATIENCE)
        try:
            s.connect((ip, port))
            s.sendall(b"x")
            if s.recv(1) != b"x":
                wrong.append("closed without an answer")
        except OSError as e:
            wrong.append(f"{type(e).__name__} {e.errno}")
        s.close()
    return wrong


def attack(ip, port, n, kind):
    """n attempts that policy denies; how many were answered. An established connection is an escape too."""
    escaped = 0
    for _ in range(n):
        s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind)
        s.settimeout(PATIENCE if kind == socket.SOCK_STREAM else 0.01)
        try:
            s.connect((ip, port))
            if kind == socket.SOCK_STREAM:
                escaped += 1
            else:
                s.send(b"x")
                escaped += s.recv(1) == b"x"
        except OSError:
            pass
        s.close()
    return escaped


def ping(fds):
    """Those that no longer answer."""
    dead = []
    for fd in fds:
        try:
            actor.SOCKS[fd].sendall(b"p")
            if actor.SOCKS[fd].recv(1) != b"p":
                dead.append((fd, "end of stream"))
        except OSError as e:
            dead.append((fd, errno.errorcode.get(e.errno, str(e))))
    return dead


# --- the cluster

class Cluster:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.world = World()
        for name in ("web", "intruder", "store", "api"):
            self.world.pod(name)
        self.agent = Agent(self.world)
        self.helper = Helper(os.path.join(self.agent.dir, "helper.sock"), self.agent.parent,
                             os.path.join(self.agent.dir, "helper.log"))
        self.agent.more = ["--helper", self.helper.path]
        self.api_allows_web = True
        self.api_denied = False  # by some edit since the last check: it may have been in force for a moment
        self.figures = dict.fromkeys(
            ("edits", "agent_kills", "agent_kills_in_start", "helper_kills", "settled", "allowed", "allowed_failed",
             "denied", "denied_escaped", "pings", "long_lived_cut", "toggled_wrong", "toggled_not_reset", "never_in_force"), 0)
        self.broken = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    def close(self):
        self.agent.close()
        self.helper.close()
        self.world.stop()

    def fault(self, figure, what):
        with self.lock:
            self.figures[figure] += 1
            if len(self.broken) < 20:
                self.broken.append(f"{figure}: {what}")

    def count(self, figure, n=1):
        with self.lock:
            self.figures[figure] += n

    # --- configuration: web -> store is always allowed, intruder -> store and -> api never, web -> api by chance

    def peers(self, *names):
        r = self.random
        peers = [{"podSelector": {"matchLabels": {"app": n}}} for n in names]
        if r.random() < 0.5:
            peers.append({"ipBlock": {"cidr": f"192.0.2.{r.randrange(256)}/32"}})
        if r.random() < 0.5:
            peers.append({"podSelector": {"matchLabels": {"app": f"nobody-{r.randrange(9)}"}}})
        r.shuffle(peers)
        return peers

    def policy(self, name, to, *sources):
        rule = {"from": self.peers(*sources)} if sources else {"from": self.peers("nobody")}
        if self.random.random() < 0.5:
            rule["ports"] = [{"port": PORT, "protocol": p} for p in ("TCP", "UDP")]
        return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"podSelector": {"matchLabels": {"app": to}}, "policyTypes": ["Ingress"], "ingress": [rule]}}

    def edit(self):
        """Another configuration, whole by one rename per file."""
        r, a = self.random, self.agent
        web, _, store, api = self.world.pods
        labels = [{"churn": str(r.randrange(3))} for _ in self.world.pods]
        a.write("pods.yaml", *[a.pod_document(p, **l) for p, l in zip(self.world.pods, labels)])
        self.api_allows_web = r.random() < 0.5
        self.api_denied = self.api_denied or not self.api_allows_web
        documents = [a.service("store", 70, PORT, store), self.policy("store-allow-web", "store", "web"),
                     self.policy("api", "api", *(["web"] if self.api_allows_web else []))]
        for i in range(r.randrange(30)):
            documents.append(self.policy(f"noise-{i}", r.choice(["store", "api", "nobody"])))
        r.shuffle(documents)
        a.write("mesh.yaml", *documents)
        self.count("edits")

    # --- killing

    def spawn_agent(self):
        a = self.agent
        a.p = subprocess.Popen(a.command(), stderr=open(a.log, "a"), stdin=subprocess.DEVNULL)

    def kill_agent(self, in_start):
        self.agent.p.send_signal(signal.SIGKILL)
        self.agent.p.wait()
        self.spawn_agent()
        self.count("agent_kills_in_start" if in_start else "agent_kills")

    def pause(self, longest):
        time.sleep(self.random.uniform(0, longest))

    def strike(self):
        r = self.random.random()
        if r < 0.75:
            self.kill_agent(False)
            while self.random.random() < 0.4:
                self.pause(0.8)
                self.kill_agent(True)
        if r > 0.5:
            self.helper.end()
            self.count("helper_kills")
            self.pause(1.0)
            self.helper.start()

    # --- checking

    def settle(self):
        """The newest edit is in force, and the agent says so."""
        last = {}

        def in_force():
            try:
                s = self.agent.status()
                last.update(s)
            except (OSError, IndexError, ValueError):  # it is only starting
                assert self.agent.p.poll() is None, "the agent ended by itself: " + self.agent.text(self.agent.log)[-2000:]
                return None
            return s["state"] == "in_force" and s["pods_verified"] == len(self.world.pods) and s

        end = time.monotonic() + 3 * PATIENCE
        while not (now := in_force()):
            if time.monotonic() > end:
                last.pop("join", None)
                self.fault("never_in_force", json.dumps(last) + self.agent.text(self.agent.log)[-3000:])
                raise RuntimeError("the newest edit is never in force: " + self.broken[-1])
            time.sleep(0.02)
        generation = now["generation"]
        self.agent.p.send_signal(signal.SIGHUP)
        self.agent.wait_generation(generation + 1)
        self.count("settled")

    def check_toggled(self, client, held):
        """New connections to api are as the newest edit says; those made under an earlier one are cut or kept."""
        api = self.world.pods[3]
        wrong = client.call(exchange, api.v4, PORT, 3)
        if self.api_allows_web == bool(wrong):
            self.fault("toggled_wrong", f"allowed={self.api_allows_web} {wrong}")
        if self.api_allows_web:
            dead = client.call(ping, held)
            if dead and not self.api_denied:
                self.fault("toggled_wrong", f"cut though allowed: {dead}")
            client.call(actor.close, *[fd for fd, _ in dead])
            held = [fd for fd in held if fd not in [f for f, _ in dead]]
            return held + [client.call(actor.connect, api.v4, PORT)]
        end = time.monotonic() + PATIENCE
        while len(client.call(ping, held)) < len(held):
            if time.monotonic() > end:
                self.fault("toggled_not_reset", f"{len(held)} held")
                break
            time.sleep(0.05)
        client.call(actor.close, *held)
        return []

    # --- load

    def load(self, fn, *args):
        def loop():
            try:
                while not self.over.is_set():
                    fn(*args)
            except Exception as e:  # to the verdict
                self.fault("allowed_failed", f"the load itself: {e!r}")
        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    def allowed(self, client, ip, port):
        wrong = client.call(exchange, ip, port, 10)
        self.count("allowed", 10)
        for what in wrong:
            self.fault("allowed_failed", f"{ip} {what}")

    def denied(self, client, targets):
        for ip, port, kind in targets:
            escaped = client.call(attack, ip, port, 5, kind)
            self.count("denied", 5)
            if escaped:
                self.fault("denied_escaped", f"{escaped} of 5 to {ip}:{port} kind {kind}")
                self.figures["denied_escaped"] += escaped - 1

    def long_lived(self, client, fds):
        for fd, what in client.call(ping, fds):
            self.fault("long_lived_cut", what)
            fds.remove(fd)
        self.count("pings", len(fds))
        time.sleep(0.02)

    def begin(self):
        web, intruder, store, api = self.world.pods
        self.edit()
        self.helper.start()
        self.spawn_agent()
        for pod in (store, api):
            pod.app().call(serve, pod.v4, pod.v6)
        self.settle()
        steady = web.app()
        lived = [steady.call(actor.connect, SERVICE_IP, 70) for _ in range(LONG_LIVED // 2)]
        lived += [steady.call(actor.connect, store.v6, PORT) for _ in range(LONG_LIVED // 2)]
        tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
        attacks = [(SERVICE_IP, 70, tcp), (store.v4, PORT, tcp), (store.v6, PORT, tcp), ("::ffff:" + store.v4, PORT, tcp),
                   (store.v4, PORT, udp), (store.v6, PORT, udp), (api.v4, PORT, tcp), ("::ffff:" + api.v4, PORT, udp)]
        # In no pod's cgroup: only the receiver's own programs stand in its way.
        outside = actor.Actor(intruder.netns)
        return [self.load(self.allowed, web.app(), SERVICE_IP, 70), self.load(self.allowed, web.app(), store.v6, PORT),
                self.load(self.denied, intruder.app(), attacks), self.load(self.denied, outside, attacks[1:]),
                self.load(self.long_lived, steady, lived)], outside

    def run(self, seconds):
        loads, outside = self.begin()
        client, held = self.world.pods[0].app(), []
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                for _ in range(self.random.randrange(1, 4)):
                    self.edit()
                    self.pause(0.7)
                    self.strike()
                    self.pause(0.5)
                self.settle()
                held = self.check_toggled(client, held)
                self.api_denied = not self.api_allows_web
        finally:
            self.over.set()
            for thread in loads:
                thread.join()
            outside.close()
        return self.broken


def run(seconds, seed):
    """Figures, and what was broken (empty: nothing)."""
    c = Cluster(seed)
    try:
        broken = c.run(seconds)
    finally:
        c.close()
    return dict(seed=seed, seconds=round(seconds), **c.figures), broken


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--minutes", type=float, default=5)
    p.add_argument("--seed", type=int, default=random.randrange(10**6))
    args = p.parse_args()
    figures, broken = run(args.minutes * 60, args.seed)
    for line in broken:
        print("BROKEN", line, file=sys.stderr)
    print(json.dumps(figures))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

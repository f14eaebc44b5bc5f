# SPDX-License-Identifier: Apache-2.0
"""The place the tests run in: a switch and pods (namespaces held by processes), cgroups below one of our own, a bpffs in
a mount namespace of ours. All of it ends with this process, however that ends, but for empty cgroups, swept at start."""
import ctypes
import os
import signal
import subprocess
import tempfile
import time

import abi
from actor import CLONE_NEWNET, CLONE_NEWNS, Actor, libc

DRIVER = os.environ.get("WEIR_KERN_DRIVER", "")
PREFIX = "weir-bpf-"


def cgroup_mount():
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        if right.split()[0] == "cgroup2":
            return left.split()[4]
    raise RuntimeError("no cgroup2 mount")


def run(*words, stdin=None):
    subprocess.run(words, check=True, input=stdin, text=True, capture_output=True)


def remove_tree(path):
    for base, dirs, _ in os.walk(path, topdown=False):
        for d in dirs:
            try:
                os.rmdir(os.path.join(base, d))
            except OSError:
                pass
    try:
        os.rmdir(path)
    except OSError:
        pass


class KernError(Exception):
    def __init__(self, code):
        super().__init__(f"kern answered {code}")
        self.code = code


class Driver:
    """The product's proxy/kern in a process of its own."""

    def __init__(self):
        self.p = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  stderr=open(os.environ.get("WEIR_KERN_LOG", "/dev/null"), "a"))

    def ask(self, *words):
        self.p.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.p.stdin.flush()
        lines = []
        while True:
            line = self.p.stdout.readline()
            if not line:
                raise RuntimeError("driver is gone")
            lines.append(line.rstrip("\n"))
            if line.startswith(("ok", "err ")):
                break
        if line.startswith("err "):
            raise KernError(int(line.split()[1]))
        return lines if len(lines) > 1 else line.split()[1:]

    def put(self, name, key, value):
        self.ask("put", name, key.hex(), value.hex())

    def delete(self, name, key):
        self.ask("delete", name, key.hex())

    def counts(self):
        return {k: int(v) for k, v in (w.split("=") for w in self.ask("counts"))}

    def dns_counts(self):
        return {k: int(v) for k, v in (w.split("=") for w in self.ask("dns_counts"))}

    def events(self):
        return [abi.event(bytes.fromhex(w[2:])) for w in self.ask("events") if w[0] != "h"]

    def exchanges(self):
        """HTTP records; what else happened is dropped."""
        return [abi.Exchange(bytes.fromhex(w[2:])) for w in self.ask("events") if w[0] == "h"]

    def http_counts(self):
        return {k: int(v) for k, v in (w.split("=") for w in self.ask("http_counts"))}

    def revoke(self, netns, how="best", gone_port=0):
        """Events of what was reset, and (checked, killed, kept)."""
        *events, sums = self.ask("revoke", netns, how, gone_port)
        checked, killed, kept, failed, error = (int(n) for n in sums.split("/"))
        assert failed == error == 0
        return [abi.event(bytes.fromhex(w[2:])) for w in events], (checked, killed, kept)

    def kill(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGKILL)
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


class Pod:
    def __init__(self, world, name, number):
        self.world, self.name, self.id = world, name, number
        self.identity = 100 + number
        self.v4, self.v6 = f"10.77.0.{number}", f"fd77::{number:x}"
        self.holder = Holder()
        self.netns = f"/proc/{self.holder.pid}/ns/net"
        self.cgroup = os.path.join(world.cgroup, name)
        self.actors = []
        for sub in ("", "app", "app/inner", "weir"):
            os.makedirs(os.path.join(self.cgroup, sub), exist_ok=True)
        world.plug(self)

    def app(self, sub="app", uid=None):
        self.actors.append(Actor(self.netns, os.path.join(self.cgroup, sub), uid))
        return self.actors[-1]

    def sidecar(self):
        """A process without any privilege in the sidecar's cgroup."""
        return self.app("weir", 65534)

    def stop_actors(self):
        while self.actors:
            self.actors.pop().close()


class Holder:
    """A process that only keeps a network namespace."""

    def __init__(self):
        r, w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(r)
            libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with us, however we end
            ok = libc.unshare(CLONE_NEWNET) == 0
            os.write(w, b"y" if ok else b"n")
            os.close(w)
            signal.pause()
            os._exit(0)
        os.close(w)
        assert os.read(r, 1) == b"y"
        os.close(r)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class World:
    made = 0

    def __init__(self):
        if World.made == 0:
            if libc.unshare(CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            run("mount", "--make-rprivate", "/")
            self._sweep()
        World.made += 1
        self.cgroup = os.path.join(cgroup_mount(), f"{PREFIX}{os.getpid()}-{World.made}")
        os.mkdir(self.cgroup)
        self.tmp = tempfile.mkdtemp(prefix=PREFIX)
        run("mount", "-t", "bpf", "bpf", self.tmp)
        self.pins = os.path.join(self.tmp, "weir")
        self.switch = Holder()
        self.pods, self.driver = [], None
        self._ip(self.switch.pid, "link set lo up", "link add br0 type bridge", "link set br0 up",
                 "addr add 10.77.0.254/24 dev br0")

    def _sweep(self):
        """Empty cgroups of earlier runs that were killed."""
        for name in os.listdir(cgroup_mount()):
            pid = name[len(PREFIX):].split("-")[0]
            if name.startswith(PREFIX) and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                remove_tree(os.path.join(cgroup_mount(), name))

    def _ip(self, pid, *lines):
        run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def plug(self, pod):
        port = f"p{pod.id}"
        self._ip(self.switch.pid, f"link add {port} type veth peer name eth0 netns {pod.holder.pid}",
                 f"link set {port} master br0 up")
        self._ip(pod.holder.pid, "link set lo up", "link set eth0 up", f"addr add {pod.v4}/24 dev eth0",
                 f"addr add {pod.v6}/64 dev eth0 nodad", "route add default via 10.77.0.254")

    def pod(self, name):
        pod = Pod(self, name, len(self.pods) + 1)
        self.pods.append(pod)
        return pod

    def start(self):
        """A driver with everything loaded, attached and every pod known, as an agent would leave it."""
        self.driver = Driver()
        self.driver.ask("open", self.pins, self.cgroup)
        for pod in self.pods:
            self.enrol(pod)
        self.driver.ask("flags", abi.HOLD)
        self.driver.ask("attach")
        return self.driver

    def cgroup_key(self, path):
        return int(self.driver.ask("cgroup_id", path)[0]).to_bytes(8, "little")

    def classify(self, pod):
        for sub, role in (("", abi.APP), ("weir", abi.PROXY)):
            self.driver.put("weir_cgroup", self.cgroup_key(os.path.join(pod.cgroup, sub).rstrip("/")),
                            pod.id.to_bytes(4, "little") + bytes([role, 0, 0, 0]))

    def enrol(self, pod):
        self.classify(pod)
        for ip in (pod.v4, pod.v6):
            self.driver.put("weir_ip", abi.addr(ip), pod.identity.to_bytes(4, "little") +
                            pod.id.to_bytes(4, "little") + b"\1" + bytes(7))
        self.set_pod(pod)
        self.driver.ask("pod_attach", pod.id, pod.netns)

    def set_pod(self, pod, flags=0, ingress=abi.slot(), egress=abi.slot(), authz=abi.slot()):
        cookie = int(self.driver.ask("cookie", pod.netns)[0])
        self.driver.put("weir_pod", pod.id.to_bytes(4, "little"),
                        abi.pod(pod.id, pod.identity, cookie, flags, ingress, egress, pod.v4, pod.v6, authz=authz))

    def service(self, ip, port, endpoints, proto=abi.TCP, flags=0, number=7, set=7):
        """endpoints: (pod or address, port, weight)."""
        total = 0
        weighted = any(w != 1 for _, _, w in endpoints)
        for i, (where, eport, weight) in enumerate(endpoints):
            total += weight
            pod = where if isinstance(where, Pod) else None
            address = (pod.v6 if ":" in ip else pod.v4) if pod else where
            self.driver.put("weir_ep", set.to_bytes(4, "little") + i.to_bytes(4, "little"),
                            abi.ep(address, eport, total, pod.id if pod else 0))
        self.driver.put("weir_svc", abi.svc_key(ip, port, proto),
                        abi.svc(number, set, len(endpoints), total if weighted else 0, flags))

    def rules(self, ident, *rules):
        self.driver.put("weir_rule", ident.to_bytes(4, "little"), abi.block(ident, list(rules)))

    def wait_count(self, name, at_least):
        """Until the programs have counted it; the kernel runs them at its own pace."""
        end = time.monotonic() + 10
        while True:
            n = self.driver.counts()[name]
            if n >= at_least or time.monotonic() > end:
                return n

    def stop(self):
        for pod in self.pods:
            pod.stop_actors()
        if self.driver:
            self.driver.kill()
        for pod in self.pods:
            pod.holder.close()
        self.switch.close()
        run("umount", "-l", self.tmp)
        os.rmdir(self.tmp)
        remove_tree(self.cgroup)

# SPDX-License-Identifier: Apache-2.0
"""A machine of the tests' own: network, mounts, processes, cgroups, IPC and host name in namespaces, so that a kubelet and its
containers can be started and nothing of them is seen, or left, outside.

Owns those namespaces, one cgroup in each hierarchy (the root of the inner cgroup namespace), a directory for logs. Knows nothing of
Kubernetes. The first process inside ends when this one does, however that happens, and everything inside with it; what is then left is
an empty directory in each cgroup hierarchy, which the next start removes.
"""

import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
STATE = ROOT / "build" / "k8s" / "run"
LAST_LOGS = ROOT / "build" / "k8s" / "log"  # of the last machine that was there
INIT = pathlib.Path(__file__).with_name("init.py")
NEEDS = ("unshare", "nsenter", "mount", "ip", "nft", "containerd", "ctr", "runc", "openssl", "tcpdump")

sys.path.insert(0, str(ROOT / "tests" / "support"))
import pods  # noqa: E402


class MachineError(RuntimeError):
    """This machine refuses, or lacks, something; the text says what."""


def why_not():
    """None, or why there can be no machine of our own here."""
    reason = pods.why_not()
    if reason:
        return reason
    missing = [n for n in NEEDS if not shutil.which(n)]
    if missing:
        return "needs " + " ".join(missing) + " (tools/deps.sh k8s)"
    done = subprocess.run(["unshare", "--pid", "--cgroup", "--ipc", "--uts", "--fork", "true"], capture_output=True, text=True)
    return None if done.returncode == 0 else "cannot make namespaces: " + done.stderr.strip()


def hierarchies():
    """{controllers: directory of the cgroup this process is in}, cgroup v2 with the key ""."""
    mounts = {}
    with open("/proc/self/mountinfo", encoding="ascii") as f:
        for line in f:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split()[:3]
            point = left.split()[4]
            if kind == "cgroup2":
                mounts.setdefault("", point)
            elif kind == "cgroup":
                mounts.setdefault(frozenset(options.split(",")) - {"rw", "ro"}, point)
    found = {}
    with open("/proc/self/cgroup", encoding="ascii") as f:
        for line in f:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for key, point in mounts.items():
                if controllers == key or (controllers and frozenset(controllers.split(",")) <= set(key or ())):
                    found[controllers] = pathlib.Path(point + path)
    return found


def sweep():
    """Removes what runs left that could not clean up."""
    for path in sorted(STATE.glob("*.json")) if STATE.is_dir() else ():
        record = json.loads(path.read_text(encoding="utf-8"))
        if pods.start_time(record["owner"]) != record["owner_start"]:
            remove(record)
            path.unlink()


def remove(record):
    for tree in record["cgroups"]:
        end = time.monotonic() + 30
        while os.path.isdir(tree):
            busy = [int(p) for p in pids_below(tree)]
            for pid in busy:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                for d, _, _ in os.walk(tree, topdown=False):
                    os.rmdir(d)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
    shutil.rmtree(record["directory"], ignore_errors=True)


def pids_below(tree):
    for d, _, files in os.walk(tree):
        if "cgroup.procs" in files:
            try:
                yield from (pathlib.Path(d) / "cgroup.procs").read_text(encoding="ascii").split()
            except OSError:
                pass


class Machine:
    """Context manager. `directory` is the same path inside and outside, on disk; all else that is written inside is in memory."""

    def __init__(self, name="node"):
        reason = why_not()
        if reason:
            raise MachineError(reason)
        sweep()
        self.name = name
        self.id = f"weir-k8s-{os.getpid()}-{secrets.token_hex(2)}"
        self.directory = pathlib.Path("/tmp") / self.id
        self.logs = self.directory / "log"
        self.cgroups = {k: d / self.id for k, d in hierarchies().items()}
        self.processes = []
        self.init = None
        self.record = {"id": self.id, "owner": os.getpid(), "owner_start": pods.start_time(os.getpid()),
                       "directory": str(self.directory), "cgroups": [str(d) for d in self.cgroups.values()]}

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def _start(self):
        STATE.mkdir(parents=True, exist_ok=True)
        (STATE / f"{self.id}.json").write_text(json.dumps(self.record), encoding="utf-8")
        self.directory.mkdir(mode=0o755)
        self.logs.mkdir()
        for controllers, d in self.cgroups.items():
            d.mkdir()
            if "cpuset" in controllers.split(","):  # a new one is empty, and takes no process until it is not
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (d / name).write_text((d.parent / name).read_text(encoding="ascii"), encoding="ascii")
        out = open(self.logs / "init", "wb")
        self.init = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--cgroup", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
             "/usr/bin/python3", str(INIT), self.name, ",".join(f"[{k}]".replace(",", "+") for k in self.cgroups)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, preexec_fn=self._join(""), start_new_session=True)
        out.close()
        if self.init.stdout.readline() != b"ready\n":
            raise MachineError("the first process: " + (self.logs / "init").read_text(encoding="utf-8"))
        children = pathlib.Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children").read_text(encoding="ascii")
        self.pid = int(children.split()[0])
        (STATE / f"{self.id}.json").write_text(json.dumps({**self.record, "pid": self.pid}), encoding="utf-8")

    def _join(self, below):
        """For a child: puts it into our cgroups."""
        files = [str(d / below / "cgroup.procs") for d in self.cgroups.values()]

        def join():
            for f in files:
                fd = os.open(f, os.O_WRONLY)
                os.write(fd, b"0")
                os.close(fd)
        return join

    def wrapped(self, argv):
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--cgroup", "--ipc", "--uts", "--", *map(str, argv)]

    def spawn(self, name, argv, lasting=True, **kwargs):
        """Starts argv inside; what it prints is in logs/NAME. `lasting`: it is wrong for it to end by itself."""
        with open(self.logs / name, "ab") as out:
            process = subprocess.Popen(self.wrapped(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                       preexec_fn=self._join("init"), start_new_session=True, **kwargs)
        process.name, process.lasting = name, lasting
        self.processes.append(process)
        return process

    def run(self, argv, timeout=60, check=True, **kwargs):
        """Runs argv inside to its end; CompletedProcess with text."""
        done = subprocess.run(self.wrapped(argv), capture_output=True, text=True, timeout=timeout,
                              preexec_fn=self._join("init"), **kwargs)
        if check and done.returncode != 0:
            raise MachineError(f"{' '.join(map(str, argv))}: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done

    def ended(self):
        """Names of what was spawned to last and is no more."""
        return [p.name for p in self.processes if p.lasting and p.poll() is not None]

    def stop(self, process, timeout=20):
        """Ends one spawned process, nsenter and what it became."""
        inner = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        for pid in inner:
            os.kill(int(pid), signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            for pid in inner:
                os.kill(int(pid), signal.SIGKILL)
            process.wait(timeout)
        self.processes.remove(process)

    def close(self):
        """Whoever interrupts again waits: half cleaned is worse."""
        held = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            self._close()
        finally:
            for s, handler in held.items():
                signal.signal(s, handler)

    def _close(self):
        if self.init:
            self.init.stdin.close()  # ends it, and so everything in its namespaces
            try:
                self.init.wait(20)
            except subprocess.TimeoutExpired:
                self.init.kill()
                self.init.wait()
            self.init.stdout.close()
            self.init = None
        for process in self.processes:
            process.wait(20)
        self.processes.clear()
        if self.logs.is_dir():
            shutil.rmtree(LAST_LOGS, ignore_errors=True)
            shutil.copytree(self.logs, LAST_LOGS, symlinks=True)
        remove(self.record)
        (STATE / f"{self.id}.json").unlink(missing_ok=True)

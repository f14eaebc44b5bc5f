#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pods for tests and for the demo: each one a network namespace on a bridge plus a cgroup.

Owns what such a set needs of the kernel and takes it away again: namespaces (bind mounts in a run
directory), the bridge (inside a namespace of its own, so the host's network is never touched), a
cgroup tree `<cgroup2>/<id>/{node,pods/NAME/{app,weir}}`, a private bpffs, the processes. Knows
nothing of weir except how to ask `weir agent --uninstall` for the pins.

What was made is written to build/pods/<id>.json *before* it is made; sweep() removes what a crashed
run left. Everything a run starts lives in its cgroup tree, so nothing foreign is ever ended.
"""

import atexit
import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STATE_DIR = os.environ.get("WEIR_PODS_STATE", os.path.join(ROOT, "build", "pods"))
WEIR = os.environ.get("WEIR", os.path.join(ROOT, "build", "weir"))
NET4 = "10.210.0."
NET6 = "fd00:210::"
NOBODY = 65534
TOOLS = ("ip", "nsenter", "unshare", "setpriv", "mount", "umount")


class PodsError(RuntimeError):
    """The machine refuses, or lacks, something pods need; the text says what."""


# ---- the machine ----

def mountinfo():
    """(root, mount point, filesystem type) of every mount."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            left, _, right = line.partition(" - ")
            fields = left.split(" ")
            point = fields[4].encode().decode("unicode_escape")
            found.append((fields[3], point, right.split(" ")[0]))
    return found


def cgroup2_mount():
    for _, point, kind in mountinfo():
        if kind == "cgroup2":
            return point
    return None


def why_not():
    """None, or why there can be no pods here."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [t for t in TOOLS if not shutil.which(t)]
    if missing:
        return "needs " + " ".join(missing) + " (tools/deps.sh test)"
    mount = cgroup2_mount()
    if mount is None:
        return "no cgroup2 filesystem is mounted"
    probe = os.path.join(mount, f"weir-probe-{os.getpid()}-{secrets.token_hex(2)}")
    try:
        os.mkdir(probe)
        os.rmdir(probe)
    except OSError as e:
        return f"cannot make cgroups below {mount}: {e.strerror}"
    done = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True)
    if done.returncode != 0:
        return "cannot make namespaces: " + done.stderr.strip()
    return None


def start_time(pid):
    """In clock ticks since boot; None when there is no such process (or it is a zombie)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def run_dir_parent():
    """Where a directory can be that a process of any uid reaches and may execute a file from."""
    for d in ("/tmp", "/var/tmp", "/dev/shm", "/run"):
        try:
            if os.access(d, os.W_OK) and not os.statvfs(d).f_flag & os.ST_NOEXEC:
                return d
        except OSError:
            continue
    raise PodsError("none of /tmp /var/tmp /dev/shm /run can hold an executable file")


def _run(argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        raise PodsError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _umount(path):
    libc = ctypes.CDLL(None, use_errno=True)
    MNT_DETACH = 2
    libc.umount2(os.fsencode(path), MNT_DETACH)


def _mounts_below(path):
    path = os.path.realpath(path)
    return [p for _, p, _ in mountinfo() if p == path or p.startswith(path + "/")]


# ---- taking down, from the record alone ----

def _cgroup_procs(tree):
    pids = []
    for d, _, _ in os.walk(tree):
        try:
            with open(os.path.join(d, "cgroup.procs"), encoding="ascii") as f:
                pids += [int(line) for line in f]
        except OSError:
            pass
    return pids


def _kill_cgroup(tree, timeout=10.0):
    """Ends every process below a cgroup of ours and waits until none is left."""
    deadline = time.monotonic() + timeout
    while os.path.isdir(tree):
        pids = _cgroup_procs(tree)
        if not pids:
            return
        try:
            with open(os.path.join(tree, "cgroup.kill"), "w", encoding="ascii") as f:
                f.write("1")
        except OSError:  # before 5.14
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if time.monotonic() > deadline:
            raise PodsError(f"{tree}: processes {pids} do not end")
        time.sleep(0.01)


def _remove_cgroup(tree):
    if not os.path.isdir(tree):
        return
    for d, _, _ in os.walk(tree, topdown=False):
        for attempt in range(200):
            try:
                os.rmdir(d)
                break
            except FileNotFoundError:
                break
            except OSError:  # a process that has ended is still being buried
                if attempt == 199:
                    raise
                time.sleep(0.01)


def _uninstall(record):
    """Asks weir itself to remove its pins. None, or what went wrong."""
    pins = record.get("pin_dir")
    if not pins or not os.path.isdir(pins):
        return None
    weir = next((w for w in (record.get("weir"), WEIR) if w and os.access(w, os.X_OK)), None)
    if weir is None:
        return "no weir binary to uninstall with"
    done = subprocess.run([weir, "agent", "--uninstall", "--pin-dir", pins, "--cgroup",
                           record["pods_cgroup"]], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        return (done.stdout + done.stderr).strip() or f"exit code {done.returncode}"
    return None


def take_down(record):
    """Removes all that a record names, in an order that works from any state. Returns what weir
    agent --uninstall complained about, or None."""
    tree, run_dir = record["cgroup"], record["run_dir"]
    _kill_cgroup(tree)
    try:
        problem = _uninstall(record)
    except (OSError, subprocess.SubprocessError) as e:
        problem = str(e)
    if os.path.isdir(run_dir):
        for point in reversed(_mounts_below(run_dir)):
            _umount(point)
        left = _mounts_below(run_dir)
        if left:
            raise PodsError(f"still mounted: {' '.join(left)}")
        shutil.rmtree(run_dir)
    _remove_cgroup(tree)
    try:
        os.unlink(record["state"])
    except FileNotFoundError:
        pass
    return problem


def records():
    found = []
    try:
        names = sorted(os.listdir(STATE_DIR))
    except FileNotFoundError:
        return found
    for name in names:
        if not name.endswith(".json"):
            continue
        path = os.path.join(STATE_DIR, name)
        try:
            with open(path, encoding="utf-8") as f:
                record = json.load(f)
        except (OSError, ValueError):
            continue
        record["state"] = path
        found.append(record)
    return found


def is_left_over(record):
    if record.get("keep"):
        return False
    return start_time(record["owner"]) != record["owner_start"]


def sweep(kept=False, kind=None):
    """Removes what crashed runs left; with kept=True also what was left up on purpose. Returns the
    ids removed."""
    removed = []
    for record in records():
        if kind and record["kind"] != kind:
            continue
        if is_left_over(record) or (kept and record.get("keep")):
            take_down(record)
            removed.append(record["id"])
    return removed


# ---- one pod ----

class Pod:
    def __init__(self, pods, name, index):
        self.pods = pods
        self.name = name
        self.index = index
        self.ip = NET4 + str(index)
        self.ip6 = NET6 + format(index, "x")
        # Of the address, as the CNI plugin "bridge" does it: whoever still knows the address's last pod reaches this one.
        self.mac = f"0a:58:{':'.join(f'{int(b):02x}' for b in self.ip.split('.'))}"
        self.netns = os.path.join(pods.run_dir, "netns", name)
        self.cgroup = os.path.join(pods.cgroup, "pods", name)

    def spawn(self, argv, sidecar=False, **kwargs):
        """Starts argv in the pod: as an application, or in the sidecar's cgroup."""
        kwargs.setdefault("name", self.name + ("-weir" if sidecar else ""))
        return self.pods.spawn(argv, netns=self.netns,
                               cgroup=os.path.join(self.cgroup, "weir" if sidecar else "app"),
                               **kwargs)

    def run(self, argv, timeout=30, **kwargs):
        """Runs argv to its end as an application of the pod; CompletedProcess with text."""
        full = self.pods.wrapped(argv, self.netns, os.path.join(self.cgroup, "app"))
        return subprocess.run(full, capture_output=True, text=True, timeout=timeout,
                              start_new_session=True, **kwargs)


# ---- all of them ----

class Pods:
    """Context manager. Names are unique per run; addresses need not be: no one else is on that
    bridge."""

    def __init__(self, kind, keep=False):
        reason = why_not()
        if reason:
            raise PodsError(reason)
        self.kind = kind
        self.id = f"weir-{kind}-{os.getpid()}-{secrets.token_hex(2)}"
        self.keep = keep
        self.pods = {}
        self._made = 0
        self.processes = []
        self._up = False
        self._signals = {}
        mount = cgroup2_mount()
        self.cgroup_mount = mount
        self.cgroup = os.path.join(mount, self.id)
        self.pods_cgroup = f"/{self.id}/pods"  # as configuration names it: below the mount
        self.run_dir = os.path.join(run_dir_parent(), f"{self.id}-{secrets.token_hex(8)}")
        self.bpffs = os.path.join(self.run_dir, "bpf")
        self.pin_dir = os.path.join(self.bpffs, "weir")
        self.logs = os.path.join(self.run_dir, "log")
        self.node_netns = os.path.join(self.run_dir, "netns", "node")
        self.record = {
            "id": self.id, "kind": kind, "keep": False, "owner": os.getpid(),
            "owner_start": start_time(os.getpid()), "run_dir": self.run_dir,
            "cgroup": self.cgroup, "pods_cgroup": self.pods_cgroup, "pin_dir": self.pin_dir,
            "weir": WEIR,
        }
        os.makedirs(STATE_DIR, exist_ok=True)
        self.record["state"] = os.path.join(STATE_DIR, self.id + ".json")
        self._save()

    def _save(self):
        path = self.record["state"]
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump({k: v for k, v in self.record.items() if k != "state"}, f, indent=1)
        os.rename(path + ".new", path)

    # -- life --

    def __enter__(self):
        self._up = True
        self._catch_signals()
        atexit.register(self.close)
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        if self.keep and exc[0] is None:
            self.leave()
        else:
            self.close()
        return False

    def _catch_signals(self):
        def stop(number, _frame):
            raise SystemExit(128 + number)
        for s in (signal.SIGTERM, signal.SIGHUP):
            try:
                self._signals[s] = signal.signal(s, stop)
            except ValueError:  # not the main thread: whoever has it decides
                return

    def _build(self):
        os.mkdir(self.run_dir, 0o700)
        os.chmod(self.run_dir, 0o755)
        for d in (self.bpffs, self.logs, os.path.join(self.run_dir, "netns")):
            os.mkdir(d)
        _run(["mount", "-t", "bpf", "-o", "mode=0700", "bpf", self.bpffs])
        for d in ("", "node", "pods"):
            os.mkdir(os.path.join(self.cgroup, d))
        self._new_netns(self.node_netns)
        self._ip(self.node_netns, "link set lo up", "link add br0 type bridge",
                 "link set br0 up", f"addr add {NET4}1/24 dev br0",
                 f"addr add {NET6}1/64 dev br0 nodad")

    def _new_netns(self, path):
        with open(path, "x", encoding="ascii"):
            pass
        _run(["unshare", f"--net={path}", "true"])

    def _ip(self, netns, *commands):
        _run(["nsenter", f"--net={netns}", "ip", "-batch", "-"], input="\n".join(commands) + "\n")

    def add(self, name):
        """A further pod, with its link up and its default route through the bridge."""
        self._made += 1
        taken = {p.index for p in self.pods.values()}
        pod = Pod(self, name, next(i for i in range(11, 255) if i not in taken))
        for d in ("", "app", "weir"):
            os.mkdir(os.path.join(pod.cgroup, d))
        self._new_netns(pod.netns)
        # A link's name has at most 15 characters, a pod's may have more.
        link = f"v{self._made - 1}-{name}"[:15]
        self._ip(self.node_netns,
                 f"link add name {link} type veth peer name eth0 address {pod.mac} netns {pod.netns}",
                 f"link set {link} master br0", f"link set {link} up")
        self._ip(pod.netns, "link set lo up", "link set eth0 up", f"addr add {pod.ip}/24 dev eth0",
                 f"addr add {pod.ip6}/64 dev eth0 nodad", f"route add default via {NET4}1",
                 f"route add default via {NET6}1")
        self.pods[name] = pod
        return pod

    def remove(self, name):
        """One pod ends: its processes, its link, its namespace, its cgroup."""
        pod = self.pods.pop(name)
        _kill_cgroup(pod.cgroup)
        for process in [p for p in self.processes if p.poll() is not None]:
            self.processes.remove(process)
        _umount(pod.netns)
        os.unlink(pod.netns)
        _remove_cgroup(pod.cgroup)

    def leave(self):
        """Goes away without taking anything down."""
        atexit.unregister(self.close)
        self.record["keep"] = True
        self._save()
        self._up = False
        self._restore_signals()

    def _restore_signals(self):
        for s, handler in self._signals.items():
            signal.signal(s, handler)
        self._signals = {}

    def close(self):
        """Takes everything down. Whoever presses ^C again waits: half cleaned is worse. Returns
        what weir agent --uninstall complained about, or None."""
        if not self._up:
            return None
        self._up = False
        atexit.unregister(self.close)
        held = {}
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            try:
                held[s] = signal.signal(s, signal.SIG_IGN)
            except ValueError:
                break
        try:
            problem = take_down(self.record)
            for p in self.processes:
                p.wait()
            return problem
        finally:
            for s, handler in held.items():
                signal.signal(s, handler)
            self._restore_signals()

    # -- processes --

    def wrapped(self, argv, netns=None, cgroup=None, uid=None):
        """The command that runs argv in a cgroup, a namespace and, for a uid, with no privilege
        left and no way to get one. It keeps its pid from the first exec to the last."""
        cgroup = cgroup or os.path.join(self.cgroup, "node")
        full = ["/bin/sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "sh", cgroup]
        if netns:
            full += ["nsenter", f"--net={netns}", "--"]
        if uid is not None:
            full += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
                     "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]
        return full + list(argv)

    def log(self, name):
        return os.path.join(self.logs, name)

    def spawn(self, argv, name="process", netns=None, cgroup=None, uid=None, **kwargs):
        """Starts a process; its output goes to log/NAME.out and log/NAME.err (appended) unless
        asked otherwise. Returns the Popen, which has .name."""
        full = self.wrapped(argv, netns, cgroup, uid)
        with open(self.log(name) + ".out", "ab") as out, open(self.log(name) + ".err", "ab") as err:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
            kwargs.setdefault("stdout", out)
            kwargs.setdefault("stderr", err)
            process = subprocess.Popen(full, start_new_session=True, **kwargs)
        process.name = name
        self.processes.append(process)
        return process


def wait_for(condition, timeout=20.0, what="condition", pause=0.02):
    """Calls condition until it returns something true, which is returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise PodsError(f"waited {timeout:g} s for {what}")
        time.sleep(pause)


if __name__ == "__main__":
    if sys.argv[1:] == ["sweep"]:
        print("\n".join(sweep()))
    elif sys.argv[1:] == ["sweep", "--kept"]:
        print("\n".join(sweep(kept=True)))
    else:
        sys.exit("usage: pods.py sweep [--kept]")

# SPDX-License-Identifier: Apache-2.0
"""A Debian of the test's own, booted by systemd-nspawn: its own root, network, processes, and a cgroup that the test made."""

import os
import pathlib
import shutil
import signal
import subprocess
import time


def run(*args, timeout=900, **kwargs):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout, **kwargs)
    assert done.returncode == 0, f"{args}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def cgroup2():
    for line in open("/proc/mounts", encoding="ascii"):
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(where)
    raise AssertionError("no cgroup2 is mounted")


def root_archive(path, deb):
    """A minimal root with systemd and what the package depends on, made once."""
    if path.exists():
        return path
    names = [d.split("|")[0].split("(")[0].strip() for d in run("dpkg-deb", "-f", deb, "Depends").split(",")]
    release = dict(line.strip().split("=", 1) for line in open("/etc/os-release", encoding="utf-8") if "=" in line)
    run("mmdebstrap", "--variant=minbase", "--format=tar", "--include=" + ",".join(["systemd-sysv", "dbus", "iproute2", *names]),
        release["VERSION_CODENAME"], str(path) + ".new")
    os.rename(str(path) + ".new", path)
    return path


class Machine:
    def __init__(self, root, archive):
        self.root = root
        root.mkdir()
        run("tar", "-C", root, "-xf", archive)
        self.cgroup = cgroup2() / f"weir-deb-{os.getpid()}"
        (self.cgroup / "machine").mkdir(parents=True)
        self.log = root.parent / "console"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["systemd-nspawn", "-q", "-D", str(root), "--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
                 "--machine=weir-deb", "--capability=CAP_BPF,CAP_PERFMON,CAP_SYS_RESOURCE", "--system-call-filter=bpf perf_event_open @debug"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self._enter_cgroup, start_new_session=True,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1"})
        self.leader = self._wait_for_init()
        # What systemd does on a machine that is not a container.
        self.sh("mount -o remount,rw /sys; mkdir -p /sys/fs/bpf; mount -t bpf bpf /sys/fs/bpf")

    def _enter_cgroup(self):
        with open(self.cgroup / "machine" / "cgroup.procs", "w", encoding="ascii") as f:
            f.write(str(os.getpid()))

    def _wait_for_init(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
            for pid in open(path, encoding="ascii").read().split():
                self.leader = int(pid)
                state = subprocess.run(self.within("systemctl", "is-system-running"), capture_output=True, text=True, check=False)
                if state.stdout.strip() in ("running", "degraded"):
                    return self.leader
            time.sleep(0.5)
        raise AssertionError(f"it does not boot: {self.log.read_text(errors='replace')[-3000:]}")

    def within(self, *args):
        pid = self.leader
        return ["nsenter", "-t", str(pid), "-m", "-p", "-n", "-u", "-i", "-C", f"--root=/proc/{pid}/root", f"--wd=/proc/{pid}/root",
                "--", *map(str, args)]

    def run(self, *args, **kwargs):
        return run(*self.within(*args), **kwargs)

    def sh(self, text, **kwargs):
        return self.run("sh", "-ec", text, **kwargs)

    def network(self, *args):
        """A command of this machine's in that one's network."""
        return ["nsenter", "-t", str(self.leader), "-n", "--", *map(str, args)]

    def files(self):
        """Every path, but for what is mounted there."""
        found = set()
        for top, directories, files in os.walk(self.root):
            at = "/" + os.path.relpath(top, self.root)
            directories[:] = [d for d in directories if os.path.join(at, d).lstrip("./") not in ("proc", "sys", "dev", "run", "tmp")]
            found.update(os.path.normpath(os.path.join(at, f)) for f in directories + files)
        return found

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)  # nspawn: an orderly shutdown
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for directory, _, _ in sorted(os.walk(self.cgroup), reverse=True):
            for _ in range(50):
                try:
                    os.rmdir(directory)
                    break
                except OSError:
                    time.sleep(0.1)
        shutil.rmtree(self.root, ignore_errors=True)

# SPDX-License-Identifier: Apache-2.0
"""The first process of a machine of the tests' own (machine.py): init.py HOSTNAME HIERARCHIES. Makes its mounts, says "ready", buries
orphans, and ends, and with it everything in its process namespace, when its standard input does."""

import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys

# In memory and empty at the start: what a kubelet, containerd and CNI plugins write.
PRIVATE = ("/run", "/var/lib", "/var/log")
# The kubelet writes these if they are not so, for the whole machine: here it finds them so.
SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
           "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}


def run(*argv):
    subprocess.run(argv, check=True, stdout=sys.stderr)


def mount_cgroups(keys):
    run("mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", "/sys/fs/cgroup")
    if keys == [""]:
        run("umount", "/sys/fs/cgroup")
        run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
        return pathlib.Path("/sys/fs/cgroup"),
    points = []
    for key in keys:
        point = pathlib.Path("/sys/fs/cgroup") / (key.removeprefix("name=") or "unified")
        point.mkdir()
        if not key:
            run("mount", "-t", "cgroup2", "cgroup2", point)
        else:
            run("mount", "-t", "cgroup", "-o", "none," + key if key.startswith("name=") else key, "cgroup", point)
        points.append(point)
    return points


def mounts(keys):
    for d in PRIVATE:
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", d)
    run("mount", "--make-shared", "/run")  # namespaces of pods are mounts there
    run("mount", "--make-shared", "/var/lib")  # and volumes of pods
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    for name, value in SYSCTLS.items():
        stand_in = pathlib.Path("/run") / name.replace("/", ".")
        stand_in.write_text(f"{value}\n", encoding="ascii")
        run("mount", "--bind", stand_in, f"/proc/sys/{name}")
    for point in mount_cgroups(keys):
        leaf = point / "init"
        leaf.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (point / name).exists() and (leaf / name).exists():
                (leaf / name).write_text((point / name).read_text(encoding="ascii"), encoding="ascii")
        (leaf / "cgroup.procs").write_text("0", encoding="ascii")


def main():
    socket.sethostname(sys.argv[1])
    mounts([k[1:-1].replace("+", ",") for k in sys.argv[2].split(",")])
    run("ip", "link", "set", "lo", "up")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    print("ready", flush=True)
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        ready.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd == 0:
                    sys.exit(0)
                woken.recv(4096)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass


main()

# SPDX-License-Identifier: Apache-2.0
"""weir in a cluster of cluster.py: its image loaded, its manifests applied as a user would, and what it says of itself."""

import json
import re
import subprocess

import cluster
import machine

ARCHIVE = cluster.ROOT / "build" / "image" / "weir.tar"
PROGRAM = cluster.ROOT / "build" / "static" / "weir"
NAMESPACE = "weir-system"


def why_not():
    missing = [str(p) for p in (ARCHIVE, PROGRAM) if not p.exists()]
    return f"no {' '.join(missing)}: make image" if missing else cluster.why_not()


def load(c):
    """weir's image into the node; its name there."""
    c.load(ARCHIVE)
    names = c.machine.run(["ctr", "-n", "k8s.io", "images", "ls", "-q"]).stdout
    name = re.search(r"^(?:\S*/)?(weir:\S+)", names, re.M)
    full = "docker.io/library/" + name.group(1)  # what the kubelet makes of a short name
    if full not in names.split():
        c.machine.run(["ctr", "-n", "k8s.io", "images", "tag", name.group(), full])
    return name.group(1)


def manifests(image, mode, signer=False):
    done = subprocess.run([str(PROGRAM), "install", "--mode", mode, "--image", image, *(["--signer"] if signer else [])],
                          capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise machine.MachineError(f"weir install: {done.stderr}")
    return done.stdout


def install(c, mode="node", signer=False):
    """weir install | kubectl apply -f -; returns when all of it is ready. With a signer: make_ca() first."""
    c.apply(manifests(load(c), mode, signer))
    ready(c)


def make_ca(c):
    """The mesh's CA as docs/identity.md says: a directory, and the Secret weir-ca of it."""
    d = c.machine.directory / "mesh-ca"
    subprocess.run([str(PROGRAM), "ca", "init", "--dir", str(d)], check=True, capture_output=True)
    if NAMESPACE not in c.kubectl("get", "namespaces", "-o", "name"):
        c.kubectl("create", "namespace", NAMESPACE)
    c.kubectl("create", "secret", "generic", "weir-ca", "-n", NAMESPACE, f"--from-file=tls.crt={d}/ca.crt", f"--from-file=tls.key={d}/ca.key",
              f"--from-file=ca.crt={d}/ca.crt")
    return d


def ready(c, timeout=120):
    kinds = c.get("daemonset,deployment", "-n", NAMESPACE)["items"]
    for item in kinds:
        try:
            c.kubectl("rollout", "status", f"{item['kind'].lower()}/{item['metadata']['name']}", "-n", NAMESPACE, f"--timeout={timeout}s",
                      timeout=timeout + 20)
        except machine.MachineError as e:
            raise machine.MachineError(f"{e}\n{trouble(c)}") from None


def trouble(c):
    """What the cluster says of weir's own pods, for a message."""
    return "\n".join(c.kubectl(*args, check=False) for args in (
        ("get", "pods", "-n", NAMESPACE, "-o", "wide"), ("get", "events", "-n", NAMESPACE),
        ("logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=weir", "--all-containers", "--tail=30")))


def agent_pid(c):
    """Of the agent, inside the machine."""
    return int(c.machine.run(["pgrep", "-xf", "/weir agent .*"]).stdout.split()[0])


def agent(c, *args):
    """The agent's own answers: `weir ARGS --agent ...` run beside it."""
    sock = f"/proc/{agent_pid(c)}/root/run/weir/agent.sock"
    return c.machine.run([PROGRAM, *args, "--agent", sock]).stdout


def status(c):
    return json.loads(agent(c, "status", "-o", "json"))["agent"]

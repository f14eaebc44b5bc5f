# SPDX-License-Identifier: Apache-2.0
"""weir taken out: the last file of the folder by its name, since it leaves a cluster without weir."""

import weir
from conftest import call, echo


def test_uninstalled_nothing_is_left(cluster, namespace):
    ns = namespace("node")
    echo(cluster, ns, "web")
    echo(cluster, ns, "store")
    assert "StatusCode=200" in call(cluster, ns, "web", "http://store/")
    cluster.kubectl("delete", "-f", "-", "--timeout=60s", "--ignore-not-found", input=weir.manifests("weir:0.1.0", "sidecar", signer=True))
    cluster.until("its pods gone", lambda: not cluster.get("pods", "-A", "-l", "app.kubernetes.io/name=weir")["items"])
    done = cluster.machine.run([weir.PROGRAM, "agent", "--uninstall"])
    said = done.stdout + done.stderr
    assert "left=nothing" in said, said
    assert cluster.machine.run(["find", "/sys/fs/bpf", "-name", "weir*"]).stdout == ""
    assert cluster.machine.run(["pgrep", "-x", "weir"], check=False).stdout == ""
    # By way of kube-proxy, which may not have been asked for this Service before and is in no hurry.
    cluster.until("a call without weir", lambda: "StatusCode=200" in call(cluster, ns, "web", "http://store/", check=False))

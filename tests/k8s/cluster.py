# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes cluster of one node inside a machine of its own: etcd, API server, controller-manager, scheduler, kube-proxy,
containerd and kubelet with real containers, and a resolver for svc.cluster.local.

Owns flags and configuration of those programs and the order in which they start. Knows nothing of weir (weir.py does).
"""

import json
import os
import pathlib
import subprocess
import time

import images
import machine
import pki

ROOT = machine.ROOT
HERE = pathlib.Path(__file__).resolve().parent
BIN = ROOT / "build" / "k8s" / "bin"
NODE = "weir-node"
# Of the node. Not a loopback one: the kubelet refuses that.
ADDRESS = "10.255.255.1"
PODS, SERVICES, FIRST_SERVICE = "10.244.0.0/16", "10.96.0.0/16", "10.96.0.1"
ECHO = "registry.k8s.io/gateway-api/echo-advanced:v1.5.1"
PAUSE = "weir.test/pause:1"

CONTAINERD = f"""
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""

CNI = {
    "cniVersion": "0.4.0", "name": "pods",
    "plugins": [{"type": "ptp", "ipMasq": False,
                 "ipam": {"type": "host-local", "dataDir": "/run/cni/addresses", "ranges": [[{"subnet": "10.244.0.0/24"}]],
                          "routes": [{"dst": "0.0.0.0/0"}]}}],
}

KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
    "address": ADDRESS, "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
    "authorization": {"mode": "Webhook"}, "cgroupDriver": "cgroupfs", "failCgroupV1": False, "enforceNodeAllocatable": [],
    "localStorageCapacityIsolation": False, "failSwapOn": False, "makeIPTablesUtilChains": False,
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock", "clusterDNS": [ADDRESS], "clusterDomain": "cluster.local",
    "resolvConf": "", "volumePluginDir": "/var/lib/kubelet/volume-plugins", "healthzPort": 0, "imageMinimumGCAge": "24h",
    "evictionHard": {"memory.available": "100Mi"}, "shutdownGracePeriod": "0s",
}


def why_not():
    """None, or why no cluster can run here."""
    reason = machine.why_not()
    if reason:
        return reason
    for d in ("/usr/lib/cni/ptp", "/usr/lib/cni/host-local"):
        if not os.path.exists(d):
            return f"needs {d} (tools/deps.sh k8s)"
    return None if (BIN / ".built").exists() else "nothing is built: tests/k8s/build.sh"


class Cluster:
    """Context manager."""

    def __init__(self):
        reason = why_not()
        if reason:
            raise machine.MachineError(reason)
        self.machine = machine.Machine(NODE)

    def __enter__(self):
        self.machine.__enter__()
        try:
            self._start()
        except BaseException:
            self.machine.close()
            raise
        return self

    def __exit__(self, *exc):
        self.machine.close()

    # -- what it is used through --

    def kubectl(self, *args, check=True, timeout=120, **kwargs):
        """Standard output of a kubectl run."""
        return self.machine.run([BIN / "kubectl", f"--kubeconfig={self.admin}", *args], timeout=timeout, check=check, **kwargs).stdout

    def apply(self, text, *args):
        return self.kubectl("apply", *args, "-f", "-", input=text)

    def get(self, *args):
        return json.loads(self.kubectl("get", "-o", "json", *args))

    def until(self, what, ask, timeout=120):
        """Waits until ask() says something true, and returns that. A program of the cluster that ended meanwhile is an error."""
        end = time.monotonic() + timeout
        while True:
            try:
                last = ask()
            except (machine.MachineError, OSError, subprocess.TimeoutExpired) as e:
                last, problem = None, e
            else:
                problem = last
            if last:
                return last
            gone = self.machine.ended()
            if gone or time.monotonic() > end:
                raise machine.MachineError(f"{what}: {' '.join(gone) + ' ended; ' if gone else ''}{problem} (logs in {self.machine.logs})")
            time.sleep(0.2)

    def load(self, archive):
        """An image archive into the node's containerd."""
        self.machine.run(["ctr", "-n", "k8s.io", "images", "import", "--snapshotter", "native", archive], timeout=300)

    # -- start --

    def _start(self):
        m = self.machine
        self.pki = pki.Pki(m.directory / "pki", f"https://{ADDRESS}:6443")
        self.pki.issue("api", "/CN=kube-apiserver",
                       f"DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:{FIRST_SERVICE},IP:{ADDRESS},IP:127.0.0.1")
        self.pki.issue("api-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        self.pki.issue("kubelet", f"/O=system:nodes/CN=system:node:{NODE}", f"DNS:{NODE},IP:{ADDRESS}")
        self.admin = self.pki.kubeconfig("admin", "admin", "system:masters")
        # The node's own calls to Services need a way before kube-proxy gives them another destination.
        m.run(["sh", "-c", f"ip addr add {ADDRESS}/32 dev lo && ip route add {SERVICES} dev lo src {ADDRESS} && sysctl -qw net.ipv4.ip_forward=1"])
        m.spawn("etcd", [BIN / "etcd", "--data-dir=/var/lib/etcd", "--listen-client-urls=http://127.0.0.1:2379",
                         "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync",
                         "--log-level=warn"])
        self.start_api()
        self._start_containerd()
        self.until("the API server", lambda: self.kubectl("get", "--raw=/readyz") == "ok")
        self._start_controllers()
        self._start_kubelet()
        self.kubectl("apply", "--server-side", "-f", BIN / "crds")
        for path in self._images():
            self.load(path)
        self.until("the node", lambda: any(c["type"] == "Ready" and c["status"] == "True" for c in self.get("node", NODE)["status"]["conditions"]))

    def start_api(self):
        p = self.pki
        self.api = self.machine.spawn("kube-apiserver", [
            BIN / "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={ADDRESS}", "--secure-port=6443",
            f"--service-cluster-ip-range={SERVICES}", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={p.cert('ca')}", f"--tls-cert-file={p.cert('api')}", f"--tls-private-key-file={p.key('api')}",
            f"--kubelet-client-certificate={p.cert('api-kubelet')}", f"--kubelet-client-key={p.key('api-kubelet')}",
            f"--kubelet-certificate-authority={p.cert('ca')}", "--kubelet-preferred-address-types=InternalIP", "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={p.directory}/service-accounts.pub",
            f"--service-account-signing-key-file={p.key('service-accounts')}"])

    def restart_api(self):
        """The API server ended and begun anew; returns when it is ready."""
        self.machine.stop(self.api)
        self.start_api()
        self.until("the API server", lambda: self.kubectl("get", "--raw=/readyz") == "ok")

    def _start_controllers(self):
        p, m = self.pki, self.machine
        m.spawn("kube-controller-manager", [
            BIN / "kube-controller-manager", f"--kubeconfig={p.kubeconfig('controllers', 'system:kube-controller-manager')}",
            "--use-service-account-credentials=true", f"--service-account-private-key-file={p.key('service-accounts')}",
            f"--root-ca-file={p.cert('ca')}", f"--cluster-signing-cert-file={p.cert('ca')}", f"--cluster-signing-key-file={p.key('ca')}",
            "--leader-elect=false", "--controllers=*,-cloud-node-lifecycle-controller", "--bind-address=127.0.0.1"])
        m.spawn("kube-scheduler", [BIN / "kube-scheduler", f"--kubeconfig={p.kubeconfig('scheduler', 'system:kube-scheduler')}",
                                   "--leader-elect=false", "--bind-address=127.0.0.1"])
        m.spawn("kube-proxy", [BIN / "kube-proxy", f"--kubeconfig={p.kubeconfig('proxy', 'system:kube-proxy')}", "--proxy-mode=nftables",
                               f"--cluster-cidr={PODS}", f"--hostname-override={NODE}", "--conntrack-max-per-core=0", "--conntrack-min=0",
                               "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
                               "--metrics-bind-address=127.0.0.1:10249"])
        m.spawn("dns", ["/usr/bin/python3", HERE / "dns.py", ADDRESS, p.kubeconfig("dns", "dns", "system:masters")])

    def _start_containerd(self):
        m = self.machine
        (m.directory / "containerd.toml").write_text(CONTAINERD, encoding="utf-8")
        (m.directory / "cni.conflist").write_text(json.dumps(CNI), encoding="utf-8")
        m.run(["install", "-D", m.directory / "cni.conflist", "/run/cni/net.d/10-pods.conflist"])
        m.spawn("containerd", ["containerd", "--config", m.directory / "containerd.toml"])
        self.until("containerd", lambda: m.run(["ctr", "version"]))

    def _start_kubelet(self):
        m, p = self.machine, self.pki
        config = {**KUBELET, "podLogsDir": str(m.logs / "pods"), "tlsCertFile": str(p.cert("kubelet")), "tlsPrivateKeyFile": str(p.key("kubelet"))}
        config["authentication"] = {**config["authentication"], "x509": {"clientCAFile": str(p.cert("ca"))}}
        (m.directory / "kubelet.json").write_text(json.dumps(config), encoding="utf-8")
        m.spawn("kubelet", [BIN / "kubelet", f"--config={m.directory}/kubelet.json", f"--hostname-override={NODE}", f"--node-ip={ADDRESS}",
                            f"--kubeconfig={p.kubeconfig('node', f'system:node:{NODE}', 'system:nodes')}", "--root-dir=/var/lib/kubelet"])

    def _images(self):
        d = self.machine.directory
        images.write(d / "pause.tar", PAUSE, {"/pause": (BIN / "pause", 0o755)}, ["/pause"])
        yield d / "pause.tar"
        # The suite's pods serve HTTPS with a certificate that they expect in their image.
        self.pki.issue("echo", "/CN=echo", "DNS:echo")
        images.write(d / "echo.tar", ECHO, {
            "/usr/local/bin/server": (BIN / "echo" / "server", 0o755), "/usr/local/bin/client": (BIN / "echo" / "client", 0o755),
            "/cert.crt": (self.pki.cert("echo"), 0o644), "/cert.key": (self.pki.key("echo"), 0o644),
        }, ["/usr/local/bin/server"], user="0:0")
        yield d / "echo.tar"

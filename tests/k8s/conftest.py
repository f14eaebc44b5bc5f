# SPDX-License-Identifier: Apache-2.0
"""One cluster for all tests of this folder; each test has a namespace of its own."""

import itertools
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import cluster as clusters  # noqa: E402
import weir as weirs  # noqa: E402

ECHO = """
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {account}, namespace: {namespace}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {annotations}
    spec:
      serviceAccountName: {account}
      containers:
      - name: echo
        image: {image}
        args: [--port=8080, --grpc=7070, --tcp=9090]
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{app: {name}}}
  ports:
  - {{name: http, port: 80, appProtocol: http, targetPort: 8080}}
  - {{name: tcp, port: 9090}}
  - {{name: grpc, port: 7070, appProtocol: kubernetes.io/h2c}}
"""


def pytest_collection_modifyitems():
    reason = weirs.why_not()
    if reason:
        pytest.exit(f"no cluster can run here: {reason}", returncode=1)


@pytest.fixture(scope="session")
def bare():
    """A cluster without weir in it."""
    with clusters.Cluster() as c:
        yield c


@pytest.fixture(scope="session")
def cluster(bare):
    """A cluster with weir in it."""
    weirs.install(bare, "sidecar")
    return bare


_numbers = itertools.count(1)


@pytest.fixture
def namespace(cluster, request):
    """namespace(MODE): a new namespace, meshed that way ("" = not at all); its name. Gone after the test."""
    made = []

    def make(mode=""):
        name = f"t{next(_numbers)}"
        labels = {"weir.dev/mode": mode} if mode else {}
        cluster.kubectl("create", "namespace", name)
        made.append(name)
        for key, value in labels.items():
            cluster.kubectl("label", "namespace", name, f"{key}={value}")
        return name

    yield make
    for name in made:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def echo(c, namespace, name, replicas=1, annotations="{}", account="echo"):
    """A Deployment of the echo application and its Service, ready."""
    c.apply(ECHO.format(namespace=namespace, name=name, replicas=replicas, annotations=annotations, account=account, image=clusters.ECHO))
    c.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, "--timeout=120s", timeout=150)


def call(c, namespace, who, url, *args, check=True):
    """What the echo client in a pod of Deployment `who` prints of calling `url`."""
    return c.kubectl("exec", "-n", namespace, f"deployment/{who}", "--", "client", url, *args, check=check)


class Load:
    """Calls at an even pace from a pod, in the background."""

    def __init__(self, c, namespace, who, url, count=300, qps=30):
        self.count, self.log = count, c.machine.logs / f"load-{namespace}-{next(_numbers)}"
        self.process = c.machine.spawn(self.log.name, [
            clusters.BIN / "kubectl", f"--kubeconfig={c.admin}", "exec", "-n", namespace, f"deployment/{who}", "--", "client", url,
            f"--count={count}", f"--qps={qps}", f"--timeout={count // qps + 60}s"], lasting=False)

    def done(self):
        """Waits for its end: how many calls got a 200, and what it printed of anything else."""
        self.process.wait(self.count + 120)
        text = self.log.read_text(encoding="utf-8", errors="replace")
        problems = [line for line in text.splitlines() if "StatusCode=" in line and "=200" not in line or "rror" in line]
        return text.count("StatusCode=200"), "\n".join(problems[:5])

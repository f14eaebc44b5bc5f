# SPDX-License-Identifier: Apache-2.0
"""weir signer against a real API server: who gets a certificate, who does not, and what two pods then say to each other on the wire."""

import base64
import contextlib
import itertools
import json
import re
import subprocess
import sys

import pytest

import cluster as clusters
import weir
from conftest import call, echo

sys.path.insert(0, str(clusters.ROOT / "demo"))
import capture  # noqa: E402

AGENT = "system:serviceaccount:weir-system:weir-agent"
SPIFFE = "spiffe://cluster.local/ns/"
# Istio's kind as far as weir reads it: its manifests are not among what go.mod pins.
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: peerauthentications.security.istio.io}
spec:
  group: security.istio.io
  scope: Namespaced
  names: {kind: PeerAuthentication, listKind: PeerAuthenticationList, plural: peerauthentications, singular: peerauthentication}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: strict, namespace: {namespace}}}
spec: {{mtls: {{mode: STRICT}}}}
"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def ca(cluster):
    """The mesh's CA, with which the weir of this cluster was upgraded to one with a signer; its directory."""
    where = weir.make_ca(cluster)
    weir.install(cluster, "sidecar", signer=True)
    # The kubelet brings the trust bundle to an agent that was there before it within a minute or two.
    cluster.until("the trust bundle at the agent", lambda: weir.status(cluster)["signer"]["bundle_generation"], timeout=180)
    return where


def requests(c):
    """The mesh's CertificateSigningRequests, newest last."""
    return sorted((r for r in c.get("certificatesigningrequests")["items"] if r["spec"]["signerName"] == "weir.dev/mesh"),
                  key=lambda r: r["metadata"]["creationTimestamp"])


def conditions(request):
    return {x["type"]: x["message"] for x in request.get("status", {}).get("conditions", [])}


def identities(c, ca):
    """{SPIFFE id: its request} of what was signed, each chain checked by openssl against the CA."""
    found = {}
    for r in requests(c):
        if "certificate" not in r.get("status", {}):
            continue
        pem = base64.b64decode(r["status"]["certificate"]).decode()
        (ca / "leaf.crt").write_text(pem, encoding="ascii")
        seen = subprocess.run(["openssl", "verify", "-CAfile", ca / "ca.crt", ca / "leaf.crt"], capture_output=True, text=True)
        assert seen.returncode == 0, seen.stderr
        name = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=pem, capture_output=True, text=True).stdout
        found[re.search(r"URI:(\S+)", name).group(1)] = r
    return found


def pod(c, ns, app):
    return c.get("pods", "-n", ns, "-l", f"app={app}")["items"][0]


@contextlib.contextmanager
def on_the_wire(c, address):
    """{(source, port, destination, port): bytes} of TCP at the node's end of the pod's cable meanwhile, filled in at the end."""
    found, n = {}, next(_numbers)
    device = json.loads(c.machine.run(["ip", "-j", "route", "get", address]).stdout)[0]["dev"]
    file = c.machine.directory / f"wire-{n}.pcap"
    dump = c.machine.spawn(f"tcpdump-{n}", ["tcpdump", "-i", device, "-w", file, "-U", "--immediate-mode", "-s", "0", "-Z", "root", "tcp"],
                           lasting=False)
    c.until("tcpdump", lambda: "listening on" in (c.machine.logs / f"tcpdump-{n}").read_text(encoding="utf-8"))
    yield found
    c.machine.stop(dump)
    found.update(capture.streams(str(file)))


def speak(c, ns):
    """Five calls of web's to store, begun before these two ever met; the last answer, what was on the wire, and both addresses."""
    for app in ("web", "store"):
        echo(c, ns, app, account=app)
    ends = {pod(c, ns, app)["status"]["podIP"] for app in ("web", "store")}
    with on_the_wire(c, pod(c, ns, "web")["status"]["podIP"]) as wire:
        for i in range(5):
            said = c.until("an answer", lambda: call(c, ns, "web", "http://store/plaintext", f"-H=x-secret:plaintext-{i}"))
            assert "StatusCode=200" in said and f"X-Secret:plaintext-{i}" in said, said
    return said, wire, ends


def test_what_is_outside_the_mesh_can_be_read_on_the_wire(cluster, namespace, ca):
    _, wire, _ = speak(cluster, namespace())
    assert [key for key, data in wire.items() if b"plaintext-4" in data], wire.keys()


@pytest.mark.parametrize("mode", ["node", "sidecar"])
def test_what_two_pods_say_is_tls_between_their_identities(cluster, namespace, ca, mode):
    ns = namespace(mode)
    said, wire, ends = speak(cluster, ns)
    shown = re.search(r"X-Forwarded-Client-Cert:(.*)", said).group(1)
    assert f"By={SPIFFE}{ns}/sa/store" in shown and f"URI={SPIFFE}{ns}/sa/web" in shown, said
    between = [data for (a, _, b, _), data in wire.items() if {a, b} == ends]
    assert any(data.startswith(b"\x16\x03") and b"weir-h2" in data for data in between), wire.keys()
    assert sum(map(len, between)) > 2000
    assert not [key for key, data in wire.items() if b"plaintext" in data]
    signed = identities(cluster, ca)
    for app in ("web", "store"):
        spec = signed[f"{SPIFFE}{ns}/sa/{app}"]["spec"]
        assert spec["username"] == AGENT and spec["extra"]["authentication.kubernetes.io/node-name"] == ["weir-node"], spec


def test_a_plain_caller_is_refused_where_the_mesh_is_strict(cluster, namespace, ca):
    cluster.apply(CRD)
    cluster.kubectl("wait", "--for=condition=established", "customresourcedefinition/peerauthentications.security.istio.io")
    ns, plain = namespace("node"), namespace()
    echo(cluster, plain, "web")
    for app in ("web", "store"):
        echo(cluster, ns, app)
    cluster.until("a plain call", lambda: "StatusCode=200" in call(cluster, plain, "web", f"http://store.{ns}/", "--timeout=3s", check=False))
    cluster.apply(STRICT.format(namespace=ns))
    cluster.until("the refusal", lambda: "StatusCode=200" not in call(cluster, plain, "web", f"http://store.{ns}/", "--timeout=3s", check=False))
    assert "StatusCode=200" in call(cluster, ns, "web", "http://store/")


def test_who_is_not_the_agent_gets_no_certificate(cluster, ca):
    """Not even who may do anything else: it names no node, and the agents' account alone may ask."""
    (ca / "asked.key").unlink(missing_ok=True)
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/", "-addext",
                    f"subjectAltName=critical,URI:{SPIFFE}default/sa/default", "-keyout", ca / "asked.key", "-out", ca / "asked.csr"],
                   check=True, capture_output=True)
    cluster.apply(json.dumps({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "stranger"},
        "spec": {"request": base64.b64encode((ca / "asked.csr").read_bytes()).decode(), "signerName": "weir.dev/mesh",
                 "expirationSeconds": 3600, "usages": ["digital signature", "server auth", "client auth"]}}))
    decided = cluster.until("a decision", lambda: [r for r in requests(cluster) if r["metadata"]["name"] == "stranger" and conditions(r)])[0]
    assert list(conditions(decided)) == ["Denied"] and "certificate" not in decided["status"], decided["status"]


def test_the_signer_may_do_no_more_than_sign(cluster, ca):
    for who, verb, kind in (
            ("weir-signer", "get", "secrets"), ("weir-signer", "create", "certificatesigningrequests"),
            ("weir-signer", "approve", "signers/kubernetes.io/kube-apiserver-client"), ("weir-signer", "create", "pods"),
            ("weir-agent", "get", "secrets"), ("weir-agent", "update", "certificatesigningrequests/approval"),
            ("weir-agent", "approve", "signers/weir.dev/mesh")):
        asked = cluster.kubectl("auth", "can-i", verb, kind, "-A", f"--as=system:serviceaccount:weir-system:{who}", check=False)
        assert asked.strip() == "no", (who, verb, kind, asked)

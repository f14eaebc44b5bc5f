# SPDX-License-Identifier: Apache-2.0
"""Certificates by way of an API server: the agent's requests, what weir signer signs, what it denies, and who of two works."""
import base64
import json
import os
import ssl
import subprocess
import urllib.request

import pytest

import nodemode
import pods
from fakekube import FakeKube

AGENT = "system:serviceaccount:weir-system:weir-agent"
WEIR = os.environ.get("WEIR_BIN", "")


def pod(name, node, account, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "serviceAccountName": account, **spec}, "status": {"phase": "Running"}}


class Signed:
    """A fake API server, a CA, and signers."""

    def __init__(self, directory):
        self.dir, self.processes = directory, []
        self.fake = FakeKube(directory)
        self.ca = os.path.join(directory, "mesh-ca")
        subprocess.run([WEIR, "ca", "init", "--dir", self.ca], check=True, capture_output=True)
        os.rename(os.path.join(self.ca, "ca.key"), os.path.join(self.ca, "tls.key"))
        with open(os.path.join(self.ca, "ca.crt"), encoding="utf-8") as f:
            self.ca_text = f.read()
        with open(os.path.join(self.ca, "tls.crt"), "w", encoding="utf-8") as f:
            f.write(self.ca_text)
        self.fake.tokens |= {"n1", "n2", "unbound", "somebody"}
        self.fake.users = {"n1": (AGENT, "n1"), "n2": (AGENT, "n2"), "unbound": (AGENT, ""),
                           "somebody": ("system:serviceaccount:default:web", "n1")}
        self.fake.unlisted = [pod("web-1", "n1", "web"), pod("api-1", "n2", "api"),
                              {**pod("old-1", "n1", "old"), "status": {"phase": "Succeeded"}}]

    def signer(self, name):
        log = open(os.path.join(self.dir, name + ".err"), "w", encoding="utf-8")
        p = subprocess.Popen([WEIR, "signer", "--ca", self.ca, "--kubeconfig", self.fake.kubeconfig()], stderr=log,
                             env={**os.environ, "POD_NAME": name})
        self.processes.append(p)
        return p

    def log(self, name):
        with open(os.path.join(self.dir, name + ".err"), encoding="utf-8") as f:
            return f.read()

    def ask(self, token, csr, **spec):
        """A CertificateSigningRequest of whoever holds the token; answers its name."""
        body = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"generateName": "weir-"},
                "spec": {"request": base64.b64encode(csr).decode(), "signerName": "weir.dev/mesh", "expirationSeconds": 3600,
                         "usages": ["digital signature", "server auth", "client auth"], **spec}}
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.fake.port}/apis/certificates.k8s.io/v1/certificatesigningrequests", json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        context = ssl.create_default_context(cafile=self.fake.ca)
        with urllib.request.urlopen(request, context=context) as answer:
            return json.load(answer)["metadata"]["name"]

    def outcome(self, name):
        """(condition, reason or certificate), or None yet."""
        status = self.fake.get("CertificateSigningRequest", "", name)["status"]
        for c in status.get("conditions", []):
            if c["type"] in ("Denied", "Failed"):
                return c["type"], c["message"]
        if "certificate" in status:
            return "Issued", base64.b64decode(status["certificate"]).decode()
        return None

    def wait(self, name):
        return pods.wait_for(lambda: self.outcome(name), timeout=20, what=f"{name} to be decided")

    def close(self):
        for p in self.processes:
            p.terminate()
            assert p.wait(timeout=10) == 0
        self.fake.stop()


@pytest.fixture
def signed(tmp_path):
    s = Signed(str(tmp_path))
    yield s
    s.close()


def csr(path, names, key="prime256v1"):
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{key}", "-nodes", "-subj", "/",
                    "-addext", f"subjectAltName=critical,{names}", "-keyout", f"{path}.key", "-out", f"{path}.csr"],
                   check=True, capture_output=True)
    with open(f"{path}.csr", "rb") as f:
        return f.read()


WEB = "URI:spiffe://cluster.local/ns/default/sa/web"


def test_a_pods_own_node_gets_its_certificate_and_nobody_else(signed, tmp_path):
    signed.signer("one")
    web = csr(tmp_path / "web", WEB)
    issued = signed.ask("n1", web)
    kind, certificate = signed.wait(issued)
    assert kind == "Issued"
    (tmp_path / "web.crt").write_text(certificate)
    seen = subprocess.run(["openssl", "verify", "-CAfile", os.path.join(signed.ca, "ca.crt"), str(tmp_path / "web.crt")],
                          capture_output=True, text=True)
    assert seen.returncode == 0, seen.stderr
    text = subprocess.run(["openssl", "x509", "-noout", "-text", "-in", str(tmp_path / "web.crt")], capture_output=True, text=True).stdout
    assert WEB in text and "CA:FALSE" in text
    conditions = signed.fake.get("CertificateSigningRequest", "", issued)["status"]["conditions"]
    assert [(c["type"], c["status"]) for c in conditions] == [("Approved", "True")]
    for token, request, spec, why in (
            ("n2", web, {}, "no Pod of that namespace and service account is bound to the node of who asks"),
            ("n1", csr(tmp_path / "api", WEB.replace("sa/web", "sa/api")), {}, "no Pod of that namespace"),
            ("n1", csr(tmp_path / "old", WEB.replace("sa/web", "sa/old")), {}, "no Pod of that namespace"),
            ("unbound", web, {}, "not bound to a node"), ("somebody", web, {}, "not the agents' service account"),
            ("n1", csr(tmp_path / "dns", WEB + ",DNS:api.example"), {}, "not one URI and nothing else"),
            ("n1", csr(tmp_path / "other", "URI:spiffe://other/ns/default/sa/web"), {}, "another trust domain"),
            ("n1", csr(tmp_path / "p521", WEB, "secp521r1"), {}, "not ECDSA on P-256 or P-384"),
            ("n1", web, {"usages": ["cert sign"]}, "usages"), ("n1", b"nonsense", {}, "not a PEM certificate request")):
        kind, said = signed.wait(signed.ask(token, request, **spec))
        assert kind == "Denied" and why in said, (token, said)
    assert signed.outcome(signed.ask("n1", web, signerName="example.com/other")) is None
    published = pods.wait_for(lambda: signed.fake.get("ConfigMap", "weir-system", "weir-trust-bundle"), what="the trust bundle")
    assert published["data"]["ca.crt"] == signed.ca_text


@pytest.mark.skipif(not os.environ.get("WEIR_LARGE"), reason="waits for a Lease to run out: make test-large")
def test_one_of_two_signs_and_the_other_takes_over(signed, tmp_path):
    first = signed.signer("one")
    web = csr(tmp_path / "web", WEB)
    assert signed.wait(signed.ask("n1", web))[0] == "Issued"
    signed.signer("two")
    first.kill()
    first.wait()
    signed.processes.remove(first)
    waiting = signed.ask("n1", web)
    assert pods.wait_for(lambda: signed.outcome(waiting), timeout=40, what="the second signer")[0] == "Issued"
    assert "svid_issued" in signed.log("two")


def test_a_server_that_breaks_watches_and_forgets_versions_loses_no_request(signed, tmp_path):
    signed.signer("one")
    web = csr(tmp_path / "web", WEB)
    assert signed.wait(signed.ask("n1", web))[0] == "Issued"
    for hurt in (signed.fake.break_watches, signed.fake.compact):
        hurt()
        assert signed.wait(signed.ask("n1", web))[0] == "Issued"


def test_workers_of_pods_get_theirs_through_the_api_server():
    with pods.Pods("signer") as the_pods:
        mesh = nodemode.NodeMesh(the_pods)
        signed = Signed(the_pods.run_dir)
        signed.fake.unlisted = [pod("web", "n1", "web"), pod("api", "n1", "api")]
        mesh.mesh_ca = lambda: ""
        mesh.agent_spec = {"signer": "weir.dev/mesh", "trustBundle": os.path.join(signed.ca, "ca.crt"), "node": "n1"}
        for name in ("web", "api"):
            mesh.pod(name, "node")
        plain = mesh.documents

        def documents():
            for d in plain():
                d["spec"].pop("meshCA", None)
                if d["kind"] == "Pod":
                    d["spec"]["nodeName"] = "n1"
                yield d
        mesh.documents = documents
        start = the_pods.spawn
        the_pods.spawn = lambda argv, **kw: start(
            [*argv, "--kubeconfig", signed.fake.kubeconfig(token="n1")] if argv[1] == "agent" else argv, **kw)
        try:
            mesh.helper_start()
            mesh.up()
            signed.signer("one")
            answer = pods.wait_for(lambda: a if isinstance(a := mesh.curl("web", "api"), dict) else None, timeout=40,
                                   what="mTLS: " + str(mesh.agent_log()[-500:]))
            assert "URI=spiffe://cluster.local/ns/default/sa/web" in answer["headers"]["x-forwarded-client-cert"]
            seen = mesh.agent_status()["signer"]
            assert seen["from"] == "weir.dev/mesh" and seen["issued"] >= 2, seen
            assert signed.fake.count("CertificateSigningRequest", "create") >= 2
        finally:
            signed.close()

# SPDX-License-Identifier: Apache-2.0
"""`weir install`: what it prints is what deploy/ holds, and grants no more than it says."""
import base64
import hashlib
import os
import subprocess

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.environ.get("WEIR_BIN") or os.path.join(ROOT, "build", "weir")


def install(*flags):
    done = subprocess.run([WEIR, "install", *flags], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def named(documents):
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def deployed():
    with open(os.path.join(ROOT, "deploy", "kustomization.yaml")) as f:
        files = yaml.safe_load(f)["resources"]
    for name in files:
        with open(os.path.join(ROOT, "deploy", name)) as f:
            yield from yaml.safe_load_all(f)


def test_it_prints_what_kustomize_would_apply():
    assert install("--mode", "kernel", "--image", "weir:latest") == list(deployed())
    assert install("--mode", "node", "--image", "weir:latest") == list(deployed())


def test_namespace_and_image_are_put_in_everywhere():
    documents = install("--namespace", "mesh", "--image", "reg.example/weir:1")
    assert "weir-system" not in str(documents) and "weir:latest" not in str(documents)
    assert {d["metadata"].get("namespace", "mesh") for d in documents} == {"mesh"}
    pods = [d["spec"]["template"]["spec"] for d in documents if d["kind"] in ("DaemonSet", "Deployment")]
    assert {c["image"] for p in pods for c in p["containers"]} == {"reg.example/weir:1"}


def test_each_container_has_exactly_its_capabilities():
    documents = named(install())
    containers = {c["name"]: c["securityContext"]["capabilities"] for d in documents.values() if d["kind"] in ("DaemonSet", "Deployment")
                  for c in d["spec"]["template"]["spec"]["containers"]}
    assert containers == {
        "agent": {"drop": ["ALL"], "add": ["BPF", "NET_ADMIN", "PERFMON"]},
        "helper": {"drop": ["ALL"], "add": ["SYS_ADMIN", "SYS_PTRACE", "SETUID", "SETGID", "KILL"]},
        "webhook": {"drop": ["ALL"]}}


def test_the_agent_may_list_and_watch_and_write_status_and_see_no_secret():
    documents = named(install())
    rules = documents["ClusterRole", "weir-agent"]["rules"]
    for rule in rules:
        status = all(r.endswith("/status") for r in rule["resources"])
        assert set(rule["verbs"]) <= ({"patch"} if status else {"list", "watch"}), rule
    assert [(r["resources"], r["verbs"]) for r in documents["Role", "weir-agent"]["rules"]] == [
        (["leases"], ["create"]), (["leases"], ["get", "update"])]
    for rule in rules:
        assert not {"secrets", "configmaps", "*"} & set(rule["resources"])


def test_the_webhook_has_a_certificate_for_its_service(tmp_path):
    documents = named(install("-n", "mesh"))
    (tmp_path / "ca").write_bytes(base64.b64decode(documents["MutatingWebhookConfiguration", "weir-webhook"]["webhooks"][0]["clientConfig"]["caBundle"]))
    data = documents["Secret", "weir-webhook"]["data"]
    (tmp_path / "crt").write_bytes(base64.b64decode(data["tls.crt"]))
    (tmp_path / "key").write_bytes(base64.b64decode(data["tls.key"]))
    done = subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-CAfile", "ca", "-verify_hostname", "weir-webhook.mesh.svc", "crt"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    keys = [subprocess.run(["openssl", *words], cwd=tmp_path, capture_output=True, check=True).stdout
            for words in (["x509", "-in", "crt", "-noout", "-pubkey"], ["pkey", "-in", "key", "-pubout"])]
    assert keys[0] == keys[1]
    assert data["tls.key"] != named(install("-n", "mesh"))["Secret", "weir-webhook"]["data"]["tls.key"]
    digest = hashlib.sha256((tmp_path / "crt").read_bytes()).hexdigest()  # another certificate is another Pod
    assert documents["Deployment", "weir-webhook"]["spec"]["template"]["metadata"]["annotations"]["weir.dev/certificate"] == digest


@pytest.mark.parametrize("flags", [["--mode", "all"], ["-n", "Not A Name"], ["--image", "x\ny: z"], ["--image", ""]])
def test_what_would_break_the_text_is_refused(flags):
    done = subprocess.run([WEIR, "install", *flags], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "" and flags[0].lstrip("-")[0] in done.stderr


def test_with_a_signer_the_agent_asks_it_and_neither_may_more_than_that():
    documents = named(install("--mode", "node", "--signer", "--namespace", "mesh"))
    agent = documents["DaemonSet", "weir-agent"]["spec"]["template"]["spec"]
    container = next(c for c in agent["containers"] if c["name"] == "agent")
    assert container["args"][-2:] == ["--signer=weir.dev/mesh", "--trust-bundle=/etc/weir/trust/ca.crt"]
    assert {"name": "trust", "mountPath": "/etc/weir/trust", "readOnly": True} in container["volumeMounts"]
    assert {"name": "trust", "configMap": {"name": "weir-trust-bundle", "optional": True}} in agent["volumes"]
    assert documents["ClusterRole", "weir-agent-identity"]["rules"] == [
        {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create", "get"]}]
    signer = documents["Deployment", "weir-signer"]["spec"]["template"]["spec"]
    assert "--requester=system:serviceaccount:mesh:weir-agent" in signer["containers"][0]["args"]
    assert signer["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]} and signer["securityContext"]["runAsNonRoot"]
    for kind in ("ClusterRole", "Role"):
        assert not [r for r in documents[kind, "weir-signer"]["rules"] if "secrets" in r["resources"] or "*" in r["verbs"]]
    assert ("Deployment", "weir-signer") not in named(install("--mode", "node"))

# SPDX-License-Identifier: Apache-2.0
"""weir inject and weir webhook: one decision, carried out on a file's text and answered as a JSON Patch."""

import base64
import copy
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pods
import proxies
import pytest
import yaml

PEERS = {
    "it has Istio's sidecar": {"spec": {"containers": [{"name": "istio-proxy"}]}},
    "it asks for Linkerd's sidecar": {"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}},
    "it is in Istio's ambient mesh": {"metadata": {"labels": {"istio.io/dataplane-mode": "ambient"}}},
    "it uses the host's network": {"spec": {"hostNetwork": True}},
    "its weir.dev/mode is off": {"metadata": {"annotations": {"weir.dev/mode": "off"}}},
    "its weir.dev/mode is node": {"metadata": {"labels": {"weir.dev/mode": "node"}}},
    "its container a has port 15006, which the sidecar needs":
        {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 15006}]}]}},
    "it is a Pod for Windows": {"spec": {"os": {"name": "windows"}}},
}

WORKLOADS = {
    "Deployment": ("apps/v1", ["spec", "template"]),
    "StatefulSet": ("apps/v1", ["spec", "template"]),
    "DaemonSet": ("apps/v1", ["spec", "template"]),
    "ReplicaSet": ("apps/v1", ["spec", "template"]),
    "ReplicationController": ("v1", ["spec", "template"]),
    "Job": ("batch/v1", ["spec", "template"]),
    "CronJob": ("batch/v1", ["spec", "jobTemplate", "spec", "template"]),
    "Pod": ("v1", []),
}


def inject(text, *args):
    return subprocess.run([proxies.WEIR, "inject", "-f", "-", *args], input=text, text=True,
                          capture_output=True, timeout=60)


def injected(text, *args):
    done = inject(text, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pod(**extra):
    p = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
         "spec": {"containers": [{"name": "a", "image": "b"}]}}
    for key, value in extra.items():
        p[key].update(value)
    return p


def template_of(obj):
    for key in WORKLOADS[obj["kind"]][1]:
        obj = obj[key]
    return obj


def workload(kind, template):
    version, path = WORKLOADS[kind]
    if not path:
        return {"apiVersion": version, "kind": kind, **template}
    obj = template
    for key in reversed(path):
        obj = {key: obj}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, **obj}


def check_sidecar(template):
    first = template["spec"]["initContainers"][0]
    assert first["name"] == "weir-proxy" and first["restartPolicy"] == "Always"
    security = first["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["runAsNonRoot"] is True and security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "volumeMounts" not in first and "volumes" not in template["spec"]
    assert first["startupProbe"] and first["readinessProbe"] and first["resources"]["requests"]
    assert template["metadata"]["annotations"]["weir.dev/mode"] == "sidecar"
    return first


@pytest.mark.parametrize("kind", WORKLOADS)
def test_every_kind_is_injected_and_restored(kind):
    template = {"metadata": {"name": "w"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    text = "# before\n" + yaml.safe_dump(workload(kind, template), sort_keys=False) + "# after\n"
    out = injected(text)
    check_sidecar(template_of(yaml.safe_load(out)))
    assert injected(out) == out
    assert injected(out, "--uninject") == text


def test_a_list_and_several_documents():
    template = {"spec": {"containers": [{"name": "a"}]}}
    objects = [workload(kind, copy.deepcopy(template)) for kind in WORKLOADS]
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": objects}, sort_keys=False)
    text += "---\n" + yaml.safe_dump(pod()) + "---\n---\nkind: Service\napiVersion: v1\nmetadata: {name: s}\n"
    out = injected(text)
    docs = [d for d in yaml.safe_load_all(out) if d]
    for obj in docs[0]["items"]:
        check_sidecar(template_of(obj))
    check_sidecar(docs[1])
    assert docs[2] == {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s"}}
    assert injected(out, "--uninject") == text


def test_what_makes_no_pods_passes_byte_for_byte():
    text = ("kind: ConfigMap\napiVersion: v1\ndata: &d\n  a: 010   # ten?\n  b: *d\n---\n"
            "kind: Deployment\napiVersion: other.io/v1\nspec: {template: {spec: {}}}\n")
    done = inject(text)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")


def test_json_stays_json():
    out = injected(json.dumps(pod()))
    check_sidecar(json.loads(out))
    assert injected(out, "--uninject") == json.dumps(pod())
    assert list(json.loads(out)) == ["apiVersion", "kind", "metadata", "spec"]


@pytest.mark.parametrize("why", PEERS)
def test_a_pod_that_cannot_be_meshed_is_said_so_and_left_alone(why):
    text = yaml.safe_dump(pod(**PEERS[why]))
    done = inject(text)
    assert (done.returncode, done.stdout) == (0, text)
    assert done.stderr == f"Pod p: left alone: {why}\n"


def test_annotations_shape_the_sidecar():
    wishes = {"weir.dev/proxy-image": "registry:5000/weir@sha256:12", "weir.dev/proxy-log-level": "debug",
              "weir.dev/proxy-cpu": "250m", "weir.dev/proxy-cpu-limit": "2", "weir.dev/proxy-memory": "48Mi",
              "weir.dev/proxy-memory-limit": "1Gi", "weir.dev/skip-inbound-ports": "22, 8000-8010"}
    first = check_sidecar(yaml.safe_load(injected(yaml.safe_dump(pod(metadata={"annotations": wishes})))))
    assert first["image"] == "registry:5000/weir@sha256:12"
    assert first["args"][-2:] == ["--log-level", "debug"]
    assert first["resources"] == {"limits": {"memory": "1Gi", "cpu": "2"},
                                  "requests": {"cpu": "250m", "memory": "48Mi"}}
    assert check_sidecar(yaml.safe_load(injected(yaml.safe_dump(pod()), "--image", "x:1")))["image"] == "x:1"


@pytest.mark.parametrize("key, value, what", [
    ("proxy-cpu", "fast", "is not a quantity"), ("proxy-cpu", "0", "is not a quantity"),
    ("proxy-memory", "64 Mi", "is not a quantity"), ("proxy-log-level", "loud", "is not debug"),
    ("proxy-image", "a b", "is not the name of an image"), ("opaque-ports", "80,", "is not ports"),
    ("skip-inbound-ports", "90-80", "is not ports"), ("skip-outbound-ports", "0", "is not ports"),
    ("skip-outbound-ports", "70000", "is not ports"), ("opaque-ports", ",".join(map(str, range(1, 30))), "is not ports"),
])
def test_a_bad_annotation_is_told_with_its_place_and_nothing_is_printed(key, value, what):
    text = f"kind: Pod\napiVersion: v1\nmetadata:\n  annotations:\n    weir.dev/{key}: \"{value}\"\nspec: {{}}\n"
    done = inject(yaml.safe_dump(pod()) + "---\n" + text)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(rf"^<stdin>:\d+:\d+: metadata.annotations.weir.dev/{key}: .*{what}", done.stderr, re.M) \
        or re.search(rf"^-:\d+:\d+: metadata.annotations.weir.dev/{key}: .*{what}", done.stderr, re.M), done.stderr


@pytest.mark.parametrize("text, what", [
    ("kind: Pod\napiVersion: v1\nmetadata: {name: p}\n", "spec: is missing"),
    ("kind: Pod\napiVersion: v1\nspec: []\n", "spec: must be an object"),
    ("kind: Pod\napiVersion: v1\nspec: {initContainers: {}}\n", "spec.initContainers: must be a list"),
    ("kind: Deployment\napiVersion: apps/v1\nspec: {}\n", "the Deployment has no Pod template"),
    ("kind: Pod\napiVersion: v1\nmetadata: &m {name: p}\nspec: {containers: [*m]}\n", "anchors or aliases"),
    ("kind: Pod\napiVersion: v1\nspec: {initContainers: [{name: weir-proxy}]}\n", "weir did not put there"),
    ("kind: Pod\napiVersion: v1\nmetadata: {annotations: {weir.dev/injected: 'x'}}\nspec: {a: 1}\n",
     "not what weir writes there"),
    ("kind: Pod\n  bad: [", "mapping values are not allowed"),
])
def test_what_cannot_be_understood_is_refused(text, what):
    done = inject(text)
    assert (done.returncode, done.stdout) == (1, "")
    assert what in done.stderr, done.stderr


def test_usage(tmp_path):
    assert subprocess.run([proxies.WEIR, "inject"], capture_output=True).returncode == 2
    missing = subprocess.run([proxies.WEIR, "inject", "-f", tmp_path / "none.yaml"], capture_output=True, text=True)
    assert missing.returncode == 1 and "No such file" in missing.stderr


class Manifests:
    """Random Pods and workloads, written in the ways people and programs write YAML."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def text(self):
        return self.r.choice(["x", "yes", "010", "1.10", "ü\U0001F600", "a: b", "# no", "line\nline\n", "", "-", "{", "null"])

    def maybe(self, obj, key, make):
        if self.r.random() < 0.5:
            obj[key] = make()

    def container(self):
        c = {"name": self.r.choice(["a", "b", "long-name"])}
        self.maybe(c, "command", lambda: [self.text() for _ in range(self.r.randrange(3))])
        self.maybe(c, "env", lambda: [{"name": "A", "value": self.text()}])
        return c

    def template(self, named):
        t = {}
        meta = {"name": "n"} if named else {}
        self.maybe(meta, "labels", lambda: {"app": self.text()})
        self.maybe(meta, "annotations", lambda: self.r.choice([{}, {"note": self.text(), "b": self.text()}]))
        if meta or self.r.random() < 0.5:
            t["metadata"] = meta
        spec = {"containers": [self.container() for _ in range(self.r.randrange(1, 3))]}
        self.maybe(spec, "initContainers", lambda: [self.container() for _ in range(self.r.randrange(3))])
        self.maybe(spec, "nodeSelector", lambda: {"a": "b"})
        keys = list(spec)
        self.r.shuffle(keys)
        t["spec"] = {k: spec[k] for k in keys}
        return t

    def comments(self, text):
        if self.r.random() < 0.5:
            return text
        out = []
        scalar = False  # within a block scalar a comment would be content
        for line in text.split("\n"):
            if re.match(r"\s*[\w-]+:( |$)|\s*- ", line) and not scalar and self.r.random() < 0.3:
                out.append(re.match(r"\s*", line).group() + "# a comment: [")
            scalar = scalar or bool(re.search(r"[|>][+-]?$", line))
            out.append(line)
        return "\n".join(out)

    def write(self, obj):
        style = self.r.choice([dict(default_flow_style=False), dict(default_flow_style=False, indent=4),
                               dict(default_flow_style=None), dict(default_flow_style=True), None])
        if style is None:
            return json.dumps(obj, indent=self.r.choice([None, 4]), ensure_ascii=False) + "\n"
        text = yaml.safe_dump(obj, sort_keys=False, allow_unicode=True, width=self.r.choice([40, 1000]), **style)
        if style == dict(default_flow_style=False):
            text = self.comments(text)
        return text

    def object(self):
        kind = self.r.choice(list(WORKLOADS))
        return workload(kind, self.template(kind == "Pod"))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_it_is_written_like_it_means_the_same_and_comes_back(seed):
    m = Manifests(seed)
    objects = [m.object() for _ in range(4)]
    text = "---\n".join(m.write(o) for o in objects)
    assert [o for o in yaml.safe_load_all(text)] == objects
    out = injected(text, "-q")
    after = list(yaml.safe_load_all(out))
    for before, now in zip(objects, after, strict=True):
        template, changed = template_of(before), template_of(copy.deepcopy(now))
        check_sidecar(changed)
        changed["spec"]["initContainers"].pop(0)
        if not changed["spec"]["initContainers"] and not template["spec"].get("initContainers"):
            changed["spec"].pop("initContainers")
            template["spec"].pop("initContainers", None)
        notes = changed["metadata"]["annotations"]
        notes.pop("weir.dev/mode"), notes.pop("weir.dev/injected")
        if not notes and "annotations" not in template.get("metadata", {}):
            changed["metadata"].pop("annotations")
        if not changed["metadata"] and "metadata" not in template:
            changed.pop("metadata")
        assert changed == template
        assert list(changed["spec"]) == list(template["spec"])
    assert injected(out, "-q") == out
    assert injected(out, "-q", "--uninject") == text


def test_what_kubectl_prints_can_be_uninjected():
    """Keys sorted, as an API server gives them back."""
    out = yaml.safe_load(injected(yaml.safe_dump(pod(metadata={"labels": {"a": "b"}}))))
    assert yaml.safe_load(injected(yaml.safe_dump(out, sort_keys=True), "--uninject")) \
        == pod(metadata={"labels": {"a": "b"}})


# ---- the webhook ----

class Webhook:
    def __init__(self, directory, certs, *args):
        self.log = directory / "webhook.err"
        self.cert, self.key = directory / "tls.crt", directory / "tls.key"
        shutil.copy(certs.server, self.cert)
        shutil.copy(certs.server_key, self.key)
        with open(self.log, "wb") as err:
            self.process = subprocess.Popen(
                [proxies.WEIR, "webhook", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0",
                 "--cert", self.cert, "--key", self.key, *args], stderr=err, start_new_session=True)
        pods.wait_for(lambda: "event=ready" in self.log.read_text() or self.process.poll() is not None, what="webhook")
        ports = re.findall(r"event=listen \S+ addr=\S+ port=(\d+)", self.log.read_text())
        self.port, self.health = map(int, ports)
        self.context = ssl.create_default_context(cafile=certs.ca)

    def post(self, body, path="/inject", method="POST", content_type="application/json", context=None):
        c = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context or self.context)
        c.request(method, path, body, {"content-type": content_type} if content_type else {})
        r = c.getresponse()
        answer = r.status, r.read()
        c.close()
        return answer

    def review(self, obj, **request):
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "request": {"uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"},
                            "operation": "CREATE", "object": obj, **request}}
        status, answer = self.post(json.dumps(body))
        assert status == 200, answer
        answer = json.loads(answer)
        assert (answer["kind"], answer["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
        assert answer["response"]["uid"] == "u-1"
        return answer["response"]

    def metric(self, name):
        c = http.client.HTTPConnection("127.0.0.1", self.health, timeout=20)
        c.request("GET", "/metrics")
        return int(re.search(rf"^{name} (\d+)", c.getresponse().read().decode(), re.M).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def webhook(tmp_path, certs):
    w = Webhook(tmp_path, certs)
    yield w
    assert w.stop() == 0


def patched(obj, response):
    """RFC 6902, as far as it is used."""
    obj = copy.deepcopy(obj)
    assert response["allowed"] is True and response["patchType"] == "JSONPatch"
    for op in json.loads(base64.b64decode(response["patch"])):
        *path, last = [p.replace("~1", "/").replace("~0", "~") for p in op["path"].split("/")[1:]]
        where = obj
        for key in path:
            where = where[key]
        assert op["op"] == "add"
        if isinstance(where, list):
            where.insert(int(last), op["value"])
        else:
            where[last] = op["value"]
    return obj


def test_the_webhook_answers_what_inject_writes(webhook):
    for seed in range(20):
        m = Manifests(seed)
        obj = workload("Pod", m.template(True))
        assert patched(obj, webhook.review(obj)) == yaml.safe_load(injected(json.dumps(obj, ensure_ascii=False)))
    done = yaml.safe_load(injected(json.dumps(pod())))
    assert webhook.review(done)["warnings"] == ["weir: not injected: it has the sidecar already"]
    for why, extra in PEERS.items():
        response = webhook.review(pod(**extra))
        assert response["allowed"] is True and "patch" not in response
        assert response["warnings"] == [f"weir: not injected: {why}"]


def test_the_webhook_lets_pass_what_is_not_its_affair(webhook):
    for request in ({"operation": "UPDATE"}, {"operation": "DELETE", "object": None},
                    {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}}):
        response = webhook.review(pod(), **request)
        assert response == {"uid": "u-1", "allowed": True}


def test_the_webhook_refuses_a_pod_that_only_says_it_has_the_sidecar(webhook):
    response = webhook.review(pod(metadata={"annotations": {"weir.dev/injected": "{}"}}))
    assert response["allowed"] is False and "there is no container weir-proxy" in response["status"]["message"]


def test_the_webhook_refuses_a_bad_annotation_with_a_message(webhook):
    response = webhook.review(pod(metadata={"annotations": {"weir.dev/proxy-cpu": "fast"}}))
    assert response["allowed"] is False and response["status"]["code"] == 400
    assert 'metadata.annotations.weir.dev/proxy-cpu: "fast" is not a quantity' in response["status"]["message"]


@pytest.mark.parametrize("body, what", [
    (b"", b"not one JSON text"), (b"kind: AdmissionReview", b"not one JSON text"), (b"{", b"not one JSON text"), (b"[]", b"not an AdmissionReview"),
    (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}', b"not an AdmissionReview"),
    (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}', b"request.uid"),
    (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","operation":"CREATE",'
     b'"kind":{"group":"","kind":"Pod"},"object":"x"}}', b"no request.object"),
    (b"\xff\xfe\x00", b"not one JSON text"), (b"[" * 100000, b"not one JSON text"),
])
def test_a_malformed_review_gets_a_clear_refusal(webhook, body, what):
    status, answer = webhook.post(body)
    assert status == 400 and what in answer, answer
    assert webhook.metric("weir_webhook_reviews_refused_total") == 1
    assert webhook.review(pod())["allowed"] is True


def test_other_requests_are_refused(webhook):
    assert webhook.post(None, method="GET")[0] == 405
    assert webhook.post(b"{}", path="/other")[0] == 404
    assert webhook.post(b"{}", content_type="text/plain")[0] == 415
    assert webhook.post(b"{}", content_type=None)[0] == 415
    assert webhook.post(b" " * (9 << 20))[0] == 413
    assert webhook.review(pod())["allowed"] is True


def test_a_crowd_of_slow_senders_does_not_lock_the_api_server_out(webhook):
    crowd = []
    for _ in range(80):
        s = socket.create_connection(("127.0.0.1", webhook.port))
        crowd.append(s)
    tls = webhook.context.wrap_socket(socket.create_connection(("127.0.0.1", webhook.port)), server_hostname="localhost")
    tls.sendall(b"POST /inject HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
    assert webhook.review(pod())["allowed"] is True
    for s in [*crowd, tls]:
        s.close()


def test_the_certificate_is_read_again(webhook, certs):
    def serial():
        with ssl.create_default_context(cafile=certs.ca).wrap_socket(
                socket.create_connection(("127.0.0.1", webhook.port)), server_hostname="localhost") as s:
            return s.getpeercert()["serialNumber"]

    first = serial()
    webhook.cert.write_text("-----BEGIN CERTIFICATE-----\nbroken\n")
    pods.wait_for(lambda: webhook.metric("weir_webhook_certificate_failures_total") > 0, what="a refused certificate")
    assert serial() == first
    for source, target in ((certs.server2_key, webhook.key), (certs.server2, webhook.cert)):
        shutil.copy(source, f"{target}.new")
        os.replace(f"{target}.new", target)
    pods.wait_for(lambda: serial() != first, what="the new certificate")
    assert webhook.review(pod())["allowed"] is True


def test_only_who_the_client_ca_knows_is_answered(tmp_path, certs):
    w = Webhook(tmp_path, certs, "--client-ca", certs.ca)
    known = ssl.create_default_context(cafile=certs.ca)
    known.load_cert_chain(certs.client, certs.client_key)
    stranger = ssl.create_default_context(cafile=certs.ca)
    stranger.load_cert_chain(certs.stranger, certs.stranger_key)
    assert w.post(b"{", context=known)[0] == 400
    for context in (stranger, w.context):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            w.post(b"{", context=context)
    assert w.stop() == 0


def test_it_does_not_start_without_a_usable_certificate(tmp_path, certs):
    for args, what in (([], "give --cert FILE and --key FILE"),
                       (["--cert", tmp_path / "none", "--key", certs.server_key], "No such file"),
                       (["--cert", certs.server, "--key", certs.client_key], "key")):
        done = subprocess.run([proxies.WEIR, "webhook", "--listen", "127.0.0.1:0", *map(str, args)],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode != 0 and what in done.stderr, done.stderr

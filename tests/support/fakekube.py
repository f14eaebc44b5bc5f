# SPDX-License-Identifier: Apache-2.0
"""An API server small enough to be made to misbehave: lists with pages, watches with bookmarks, versions that expire, tokens that do, over TLS,
HTTP/1.1 with chunks as the real one. What it does wrong is what a test tells it to (`faults`). It knows no schema, and is no proof that a
real one is understood: that is `make test-k8s`."""
import copy
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from urllib.parse import parse_qs, urlsplit

CORE = "/api/v1/"
GATEWAY = "/apis/gateway.networking.k8s.io/"
PATHS = {
    "Namespace": CORE + "namespaces", "Pod": CORE + "pods", "Service": CORE + "services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/networkpolicies",
    "HTTPRoute": GATEWAY + "v1/httproutes", "GRPCRoute": GATEWAY + "v1/grpcroutes", "TLSRoute": GATEWAY + "v1/tlsroutes",
    "Gateway": GATEWAY + "v1/gateways", "ReferenceGrant": GATEWAY + "v1beta1/referencegrants",
    "BackendTLSPolicy": GATEWAY + "v1/backendtlspolicies",
    "AuthorizationPolicy": "/apis/security.istio.io/v1/authorizationpolicies",
    "PeerAuthentication": "/apis/security.istio.io/v1/peerauthentications",
    "EgressPolicy": "/apis/weir.dev/v1alpha1/egresspolicies",
    "BackendPolicy": "/apis/weir.dev/v1alpha1/backendpolicies", "RoutePolicy": "/apis/weir.dev/v1alpha1/routepolicies",
    "Lease": "/apis/coordination.k8s.io/v1/leases",
    "CertificateSigningRequest": "/apis/certificates.k8s.io/v1/certificatesigningrequests", "ConfigMap": CORE + "configmaps",
}
BUILT_IN = {"Namespace", "Pod", "Service", "EndpointSlice", "NetworkPolicy", "Lease"}


class Answer(Exception):
    """An error answer instead of the usual one."""

    def __init__(self, code, reason="", headers=()):
        super().__init__(code)
        self.code, self.reason, self.headers = code, reason, dict(headers)


class FakeKube:
    def __init__(self, directory, absent=()):
        self.dir, self.absent = directory, set(absent)
        self.lock = threading.Condition()
        self.objects = {kind: {} for kind in PATHS}
        self.log = []           # (version, kind, type, object) since `compacted`
        self.version, self.compacted = 100, 0
        self.tokens = {"first"}
        self.unlisted = []      # objects that only a list of their namespace shows
        self.users = {}         # token -> (username, node name), as the real one writes them into a CertificateSigningRequest
        self.requests = []      # (kind, verb, query) of everything asked
        self.faults = []        # functions of (kind, verb, query): raise Answer, return a word for watch() or list(), or None
        self.bookmark_s = 0.5
        self.frozen = self.closing = False
        self.page_delay = 0
        self.reviews = lambda attributes: True  # SelfSubjectAccessReview
        self._certificate()
        self.port, self.listener, self.conns = 0, None, set()
        self.start()

    # --- life

    def _certificate(self):
        self.ca, self.key = os.path.join(self.dir, "api.crt"), os.path.join(self.dir, "api.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", self.key, "-out", self.ca],
                       check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.ca, self.key)

    def start(self):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", self.port))
        s.listen(64)
        self.port, self.listener, self.closing, self.frozen = s.getsockname()[1], s, False, False
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()

    def stop(self):
        """Connections break, and nobody listens."""
        self.closing = True
        self.listener.close()
        with self.lock:
            conns, self.conns = self.conns, set()
            self.lock.notify_all()
        for c in conns:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            c.close()
        # accept() does not notice close()
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            pass

    def kubeconfig(self, token="first", **user):
        path = os.path.join(self.dir, "kubeconfig")
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "test",
                  "contexts": [{"name": "test", "context": {"cluster": "fake", "user": "weir"}}],
                  "clusters": [{"name": "fake", "cluster": {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": "api.crt"}}],
                  "users": [{"name": "weir", "user": user or {"token": token}}]}
        with open(path, "w") as f:
            json.dump(config, f)
        return path

    # --- what it holds

    @staticmethod
    def _key(o):
        return o["metadata"].get("namespace", ""), o["metadata"]["name"]

    def _note(self, kind, type_, o):
        self.log.append((self.version, kind, type_, copy.deepcopy(o)))
        self.lock.notify_all()

    def preload(self, objects):
        """Many at once, before anybody watches; they are the fake's from now on."""
        with self.lock:
            for o in objects:
                self.version += 1
                o["metadata"].update(resourceVersion=str(self.version), uid=f"uid-{self.version}", generation=1,
                                     managedFields=[{"manager": "test", "fieldsV1": {"f:spec": {"f:" + "x" * 200: {}}}}])
                self.objects[o["kind"]][self._key(o)] = o

    def put(self, *objects):
        with self.lock:
            for o in objects:
                o = copy.deepcopy(o)
                kind, key = o["kind"], self._key(o)
                old = self.objects[kind].get(key)
                self.version += 1
                o["metadata"]["resourceVersion"] = str(self.version)
                o["metadata"].setdefault("managedFields", [{"manager": "test", "fieldsV1": {"f:spec": {"f:" + "x" * 200: {}}}}])
                o["metadata"].setdefault("uid", old["metadata"]["uid"] if old else f"uid-{self.version}")
                changed = not old or old.get("spec") != o.get("spec")
                o["metadata"]["generation"] = (old["metadata"]["generation"] if old else 0) + changed
                self.objects[kind][key] = o
                self._note(kind, "MODIFIED" if old else "ADDED", o)
            return o

    def delete(self, kind, namespace, name):
        with self.lock:
            o = self.objects[kind].pop((namespace, name))
            self.version += 1
            o["metadata"]["resourceVersion"] = str(self.version)
            self._note(kind, "DELETED", o)

    def get(self, kind, namespace, name):
        with self.lock:
            return copy.deepcopy(self.objects[kind].get((namespace, name)))

    def compact(self):
        """Versions up to now are forgotten: whoever asks for one of them gets 410."""
        with self.lock:
            self.version += 1
            self.compacted, self.log = self.version, []

    def break_watches(self):
        with self.lock:
            conns, self.conns = self.conns, set()
        for c in conns:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def count(self, kind, verb):
        return sum(1 for k, v, _ in self.requests if (k, v) == (kind, verb))

    # --- serving

    def _accept(self, listener):
        while not self.closing:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, raw):
        c = raw
        try:
            raw.settimeout(60)
            c = self.tls.wrap_socket(raw, server_side=True)
            with self.lock:
                self.conns.add(c)
            f = c.makefile("rb")
            while not self.closing and self._one(c, f):
                pass
        except (OSError, ssl.SSLError):
            pass
        finally:
            with self.lock:
                self.conns.discard(c)
            c.close()

    def _one(self, c, f):
        line = f.readline()
        if not line:
            return False
        method, target, _ = line.decode().split()
        headers = {}
        while (line := f.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        body = f.read(int(headers.get("content-length", 0)))
        try:
            return self._answer(c, method, target, headers, body)
        except Answer as a:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": a.code, "reason": a.reason,
                      "message": f"the fake says {a.code} {a.reason}"}
            self._send(c, a.code, status, a.headers)
            return True

    def _send(self, c, code, document, headers=()):
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        head = f"HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        head += "".join(f"{k}: {v}\r\n" for k, v in dict(headers).items())
        c.sendall(head.encode() + b"\r\n" + text)

    def _answer(self, c, method, target, headers, body):
        url = urlsplit(target)
        query = {k: v[-1] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            self.requests.append(("?", "401", query))
            raise Answer(401, "Unauthorized")
        if url.path == "/version":
            self._send(c, 200, {"major": "1", "minor": "36", "gitVersion": "v1.36.3"})
            return True
        if url.path.endswith("/selfsubjectaccessreviews"):
            asked = json.loads(body)
            asked["status"] = {"allowed": self.reviews(asked["spec"]["resourceAttributes"])}
            self._send(c, 201, asked)
            return True
        kind = next((k for k, p in PATHS.items() if p == url.path), None)
        if not kind:
            return self._object(c, method, url.path, query, body)
        if method == "POST" and kind == "CertificateSigningRequest":
            return self._csr(c, headers, body)
        verb = "watch" if query.get("watch") else "list"
        self.requests.append((kind, verb, query))
        word = None
        for fault in list(self.faults):
            word = word or fault(kind, verb, query)
        if kind in self.absent:
            raise Answer(404, "NotFound")
        return self._watch(c, kind, query, word) if verb == "watch" else self._list(c, kind, query, word)

    def _selected(self, kind, query, o):
        """fieldSelector on spec.nodeName, = and !=."""
        selector = query.get("fieldSelector", "")
        if not selector:
            return True
        if "spec.nodeName" not in selector or "," in selector:
            return all(o.get("spec", {}).get(k.removeprefix("spec."), "") == v
                       for k, _, v in (s.partition("=") for s in selector.split(",")))
        assert selector.startswith("spec.nodeName"), selector
        name = o.get("spec", {}).get("nodeName", "")
        rest = selector[len("spec.nodeName"):]
        return name != rest[2:] if rest.startswith("!=") else name == rest[1:]

    def _list(self, c, kind, query, word):
        with self.lock:
            version = self.version
            items = [o for _, o in sorted(self.objects[kind].items()) if self._selected(kind, query, o)]
        at = 0
        if query.get("continue"):
            token_version, _, at = query["continue"].partition(":")
            if int(token_version) < self.compacted or word == "expire":
                raise Answer(410, "Expired")
            version, at = int(token_version), int(at)
        limit = int(query.get("limit", 0)) or len(items) + 1
        page, meta = items[at:at + limit], {"resourceVersion": str(version)}
        if at + limit < len(items):
            meta["continue"] = f"{version}:{at + limit}"
            time.sleep(self.page_delay)
        # As the real one: no kind and apiVersion in an item.
        document = {"kind": kind + "List", "apiVersion": "v1", "metadata": meta,
                    "items": [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in page]}
        text = json.dumps(document).encode()
        if word == "truncate":
            # Whole for HTTP, and cut for JSON.
            self._send(c, 200, text[:len(text) * 2 // 3])
        elif word == "cut":
            c.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text[:len(text) // 2])
            return False
        elif word == "metadata last":
            last = dict(sorted(document.items(), key=lambda kv: kv[0] == "metadata"))
            self._send(c, 200, json.dumps(last, indent=1).encode())
        else:
            self._send(c, 200, text)
        return True

    @staticmethod
    def _chunk(c, text):
        c.sendall(b"%x\r\n" % len(text) + text + b"\r\n")

    def _event(self, c, type_, o):
        self._chunk(c, json.dumps({"type": type_, "object": o}).encode() + b"\n")

    def _gone(self, c):
        self._event(c, "ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})
        c.sendall(b"0\r\n\r\n")
        return True

    def _watch(self, c, kind, query, word):
        at = int(query["resourceVersion"])
        end = time.monotonic() + int(query["timeoutSeconds"])
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        if at < self.compacted or word == "expire":
            return self._gone(c)
        marked = time.monotonic()
        while not self.closing:
            with self.lock:
                if at < self.compacted:
                    return self._gone(c)
                news = [(v, t, o) for v, k, t, o in self.log if v > at and k == kind]
                at = max([at] + [n[0] for n in self.log])
                if not news:
                    self.lock.wait(0.05)
            if self.frozen:
                # Half-dead: the connection stands, and nothing comes any more, not even its end.
                time.sleep(0.05)
                if c not in self.conns:
                    return False
                continue
            for v, type_, o in news:
                # What left the selection is deleted for this watcher.
                here = self._selected(kind, query, o)
                if not here and type_ == "MODIFIED":
                    type_ = "DELETED"
                if here or type_ == "DELETED":
                    if word == "pieces":
                        text = json.dumps({"type": type_, "object": o}).encode() + b"\n"
                        for i in range(0, len(text), 7):
                            self._chunk(c, text[i:i + 7])
                    else:
                        self._event(c, type_, o)
                    if word == "break":
                        c.sendall(b"20\r\n{\"type\":\"MODI")
                        return False
            if query.get("allowWatchBookmarks") and time.monotonic() - marked >= self.bookmark_s:
                self._event(c, "BOOKMARK", {"kind": kind, "metadata": {"resourceVersion": str(at)}})
                marked = time.monotonic()
            if time.monotonic() >= end:
                c.sendall(b"0\r\n\r\n")
                return True
        return False

    # --- single objects: Leases, and the status of routes

    def _object(self, c, method, path, query, body):
        """.../namespaces/NS/PLURAL[/NAME[/status]]"""
        head, _, rest = path.partition("/namespaces/")
        parts = rest.split("/")
        kind = next((k for k, p in PATHS.items() if len(parts) > 1 and p == f"{head}/{parts[1]}"), None)
        csrs = PATHS["CertificateSigningRequest"] + "/"
        if path.startswith(csrs):
            kind, parts = "CertificateSigningRequest", ["", "", *path.removeprefix(csrs).split("/")]
        if not kind or kind in self.absent:
            raise Answer(404, "NotFound")
        namespace, name = parts[0], parts[2] if len(parts) > 2 else None
        if method == "GET" and not name:
            with self.lock:
                known = {**self.objects[kind], **{self._key(o): o for o in self.unlisted if o["kind"] == kind}}
                items = [o for (ns, _), o in known.items() if ns == namespace and self._selected(kind, query, o)]
            self.requests.append((kind, "list", query))
            self._send(c, 200, {"kind": kind + "List", "metadata": {}, "items": items})
            return True
        verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch"}[method] + ("/" + parts[3] if parts[3:] else "")
        self.requests.append((kind, verb, query))
        for fault in list(self.faults):
            fault(kind, verb, query)
        with self.lock:
            old = self.objects[kind].get((namespace, name))
            if method == "POST":
                new = json.loads(body)
                if (namespace, new["metadata"]["name"]) in self.objects[kind]:
                    raise Answer(409, "AlreadyExists")
            elif not old:
                raise Answer(404, "NotFound")
            elif method == "GET":
                new = None
            else:
                sent = json.loads(body)
                version = sent["metadata"].get("resourceVersion")
                if version and version != old["metadata"]["resourceVersion"]:
                    raise Answer(409, "Conflict")
                if parts[3:] == ["approval"]:
                    # Of the status, and nothing else, the conditions.
                    new = copy.deepcopy(old)
                    new.setdefault("status", {})["conditions"] = sent["status"]["conditions"]
                elif parts[3:] == ["status"]:
                    new = copy.deepcopy(old)
                    new["status"] = {**new.get("status", {}), **sent["status"]} if method == "PATCH" else sent["status"]
                else:
                    new = sent
            if new is not None:
                new.setdefault("kind", kind)
                if namespace:
                    new["metadata"]["namespace"] = namespace
                new["metadata"].pop("resourceVersion", None)
        self._send(c, 201 if method == "POST" else 200, self.put(new) if new is not None else old)
        return True

    def _csr(self, c, headers, body):
        """Created: with the name of who asks, which nobody can write himself."""
        new = json.loads(body)
        user, node = self.users.get(headers["authorization"].removeprefix("Bearer "), ("nobody", ""))
        with self.lock:
            new["metadata"]["name"] = new["metadata"].get("generateName", "") + f"{self.version + 1:05x}"
        new["spec"].update(username=user, extra={"authentication.kubernetes.io/node-name": [node]} if node else {})
        new["status"] = {}
        self.requests.append(("CertificateSigningRequest", "create", {}))
        self._send(c, 201, self.put(new))
        return True

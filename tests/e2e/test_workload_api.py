# SPDX-License-Identifier: Apache-2.0
"""A sidecar whose identity comes from a SPIFFE Workload API (docs/identity.md), served here by grpcio as SPIRE's agent serves it."""

import concurrent.futures
import http.server
import re
import socket as socket_module
import ssl
import subprocess
import threading

import grpc
import pytest

import pods
import proxies
from twosides import TwoSides


def field(number, content):
    n, length = len(content), b""
    while n > 127:
        length, n = length + bytes([n & 127 | 128]), n >> 7
    return bytes([number << 3 | 2]) + length + bytes([n]) + content


def response(directory, spiffe_id="spiffe://cluster.local/ns/default/sa/app"):
    def der(name):
        blocks = re.findall("-----BEGIN.*?-----END[^\n]*\n", (directory / name).read_text(), re.S)
        return b"".join(ssl.PEM_cert_to_DER_cert(block) for block in blocks)
    key = subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", directory / "tls.key", "-outform", "DER"],
                         check=True, capture_output=True).stdout
    svid = field(1, spiffe_id.encode()) + field(2, der("tls.crt")) + field(3, key) + field(4, der("ca.crt"))
    return field(1, svid) + field(1, field(1, b"spiffe://cluster.local/second")) + field(3, field(1, b"spiffe://other"))


class WorkloadApi:
    """FetchX509SVID: what `say` was told last, at once and whenever it changes; a grpc.StatusCode refuses."""

    def __init__(self, path, first):
        self.path, self.state, self.calls = path, first, 0
        self.changed = threading.Condition()
        self.start()

    def start(self):
        self.over = False
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("SpiffeWorkloadAPI", {
            "FetchX509SVID": grpc.unary_stream_rpc_method_handler(self.fetch)})])
        self.server.add_insecure_port(f"unix:{self.path}")
        self.server.start()

    def fetch(self, request, context):
        if ("workload.spiffe.io", "true") not in [tuple(pair) for pair in context.invocation_metadata()]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        assert request == b""
        self.calls += 1
        told = None
        while not self.over and context.is_active():
            with self.changed:
                if self.state is told:
                    self.changed.wait(0.2)
                    continue
                told = self.state
            if isinstance(told, grpc.StatusCode):
                context.abort(told, 'no "identity" issued')
            yield told

    def say(self, state):
        with self.changed:
            self.state = state
            self.changed.notify_all()

    def close(self):
        self.over = True
        self.server.stop(None).wait(5)
        self.path.unlink(missing_ok=True)


class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def two(tmp_path, proxy):
    """issue(name, account) -> a message; start(first) -> the Workload API that says it and two proxies."""
    made = []
    app = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Ok)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    done = proxies.weir("ca", "--dir", tmp_path / "ca", "init")
    assert done.returncode == 0, done.stderr

    def issue(name="first", account="default/app"):
        done = proxies.weir("ca", "--dir", tmp_path / "ca", "--out", tmp_path / name, "issue", account)
        assert done.returncode == 0, done.stderr
        return response(tmp_path / name)

    def start(first, meanwhile=None):
        socket = tmp_path / "api.sock"
        api = WorkloadApi(socket, first)
        made.append(api)
        if meanwhile:
            threading.Thread(target=meanwhile, args=(api,), daemon=True).start()
        return api, TwoSides(tmp_path, proxy, app.server_address[1], sidecar=("--workload-api", f"unix://{socket}"))
    yield issue, start
    for api in made:
        api.close()
    app.shutdown()
    app.server_close()


def shown(sides, directory):
    """Serial number of the certificate that the sidecar shows."""
    port = sides.sidecar.port_of("inbound")
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.3:{port}", "-alpn", "weir-h2", "-cert",
                           directory / "edge/tls.crt", "-key", directory / "edge/tls.key"],
                          input=b"", capture_output=True, timeout=20)
    return serial_of(done.stdout)


def serial_of(pem):
    return subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, check=True, capture_output=True).stdout


def text_of(*args):
    return proxies.curl("-s", *args).stdout.decode()


def get(sides):
    return text_of("-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{sides.port}/")


def test_first_rotation_restart(tmp_path, two):
    """The first SVID, a new one under traffic, a server that goes, refuses and comes again, and what is no SVID."""
    issue, start = two
    api, sides = start(issue())
    assert get(sides) == "200", sides.sidecar.err()
    assert shown(sides, tmp_path) == serial_of((tmp_path / "first/tls.crt").read_bytes())

    answers, over = [], threading.Event()

    def traffic():
        while not over.is_set():
            answers.append(get(sides))
    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        api.say(issue("second"))
        second = serial_of((tmp_path / "second/tls.crt").read_bytes())
        pods.wait_for(lambda: shown(sides, tmp_path) == second, what="the second certificate")
        api.say(b"garbage")
        sides.sidecar.wait_err(r"svid_not_received why=\"[^\"]*its message is not protobuf\"")
        api.say(bytes(4 * 1024 * 1024 + 1))
        sides.sidecar.wait_err(r"svid_not_received why=\"[^\"]*its message is larger than 4 MiB\"")
        api.say(issue("stranger", "default/stranger"))
        sides.sidecar.wait_err(r"svid_not_received why=\"[^\"]*it is for another identity\"")
        api.close()
        sides.sidecar.wait_err(r"svid_not_received why=\"[^\"]*(No such file or directory|Connection refused)\"")
        assert shown(sides, tmp_path) == second
        api.state = issue("third")
        api.start()
        third = serial_of((tmp_path / "third/tls.crt").read_bytes())
        pods.wait_for(lambda: shown(sides, tmp_path) == third, what="the third certificate", timeout=60)
    finally:
        over.set()
        thread.join()
    assert set(answers) == {"200"}, answers
    assert "BEGIN" not in sides.sidecar.err()


def test_refused_then_issued(two):
    """No identity yet is said, and asked for again until there is one."""
    issue, start = two
    first = issue()

    def relent(api):
        pods.wait_for(lambda: api.calls >= 2, what="a second call")
        api.say(first)
    _, sides = start(grpc.StatusCode.PERMISSION_DENIED, meanwhile=relent)
    assert get(sides) == "200", sides.sidecar.err()
    assert re.search(r'svid_not_received why="[^ ]*/api.sock: grpc-status 7 \(PERMISSION_DENIED\): no \\"identity\\" issued"',
                     sides.sidecar.err()), sides.sidecar.err()
    status = text_of(f"http://127.0.0.1:{sides.sidecar.port_of('admin')}/status")
    assert '"state":"held"' in status and '"identity":"spiffe://cluster.local/ns/default/sa/app"' in status


def test_one_source(tmp_path, proxy):
    """The environment's socket counts unless a directory is named; what is no unix socket is refused before anything starts."""
    def start(*args, socket):
        return proxy("--listen", "127.0.0.1:0", "--to", "http://127.0.0.1:9", *args, wait=False, env={"SPIFFE_ENDPOINT_SOCKET": socket})
    p = start(socket="tcp://127.0.0.1:8081")
    assert p.process.wait(10) == 2 and "SPIFFE_ENDPOINT_SOCKET tcp://127.0.0.1:8081: unix:///PATH" in p.err()
    p = start("--identity", tmp_path, "--workload-api", "unix:///a", socket="")
    assert p.process.wait(10) == 2 and "an identity has one source" in p.err()
    p = start(socket=f"unix://{tmp_path}/nobody.sock")
    p.wait_err(r"svid_not_received why=\"[^\"]*nobody.sock: No such file or directory\"")
    with socket_module.socket(socket_module.AF_UNIX) as s:  # not HTTP/2
        s.bind(str(tmp_path / "nobody.sock"))
        s.listen()
        s.settimeout(20)
        connection, _ = s.accept()
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4)
        p.wait_err(r"nobody.sock: its answer was cut short, or is not HTTP/2\"")
        connection.close()

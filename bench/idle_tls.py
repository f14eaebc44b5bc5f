#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an idle connection costs: opens N to `weir proxy`, has one request answered on each, and reads the proxy's resident memory before
and after. usage: bench/idle_tls.py [N]. Kinds: plain HTTP/1.1, TLS with HTTP/1.1, TLS with HTTP/2 (preface and SETTINGS), and TLS with a
client certificate, as between sidecars."""
import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEIR = os.environ.get("WEIR", os.path.join(ROOT, "build", "weir"))


def issue(directory):
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    openssl("req", *key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf")
    with open(os.path.join(directory, "ext"), "w", encoding="ascii") as f:
        f.write("subjectAltName=DNS:localhost,URI:spiffe://cluster.local/ns/default/sa/web\nkeyUsage=critical,digitalSignature\n"
                "extendedKeyUsage=serverAuth,clientAuth\n")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile",
            "ext", "-out", "leaf.pem")


def rss(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def connect(port, context, alpn):
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    if context:
        s = context.wrap_socket(s, server_hostname="localhost")
    if alpn == "h2":
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        got = b""
        while len(got) < 9:
            got += s.recv(4096)
    else:
        s.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 ")
    return s


def measure(n, directory, kind):
    args = [WEIR, "proxy", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", "--workers", "1"]
    if kind != "plain":
        args += ["--cert", "leaf.pem", "--key", "leaf.key"]
    if kind == "mutual":
        args += ["--client-ca", "ca.pem"]
    log = os.path.join(directory, "log")
    with open(log, "wb") as err:
        p = subprocess.Popen(args, cwd=directory, stderr=err, stdout=subprocess.DEVNULL)
    text = ""
    while "event=ready" not in text:
        assert p.poll() is None, text
        time.sleep(0.05)
        with open(log, encoding="utf-8") as f:
            text = f.read()
    port = int(re.search(r"direction=reverse \S+ port=(\d+)", text).group(1))
    context = None
    alpn = "h2" if kind in ("h2", "mutual") else "http/1.1"
    if kind != "plain":
        context = ssl.create_default_context(cafile=os.path.join(directory, "ca.pem"))
        context.set_alpn_protocols([alpn])
        if kind == "mutual":
            context.load_cert_chain(os.path.join(directory, "leaf.pem"), os.path.join(directory, "leaf.key"))
    warm = [connect(port, context, alpn) for _ in range(50)]
    before = rss(p.pid)
    held = [connect(port, context, alpn) for _ in range(n)]
    time.sleep(0.5)
    each = (rss(p.pid) - before) / n
    for s in warm + held:
        s.close()
    p.terminate()
    p.wait(40)
    return each


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * n + 1000), hard))
    with tempfile.TemporaryDirectory() as directory:
        issue(directory)
        for kind in ("plain", "h1", "h2", "mutual"):
            print(f"{kind:8} {measure(n, directory, kind) / 1024:7.2f} KiB per idle connection")


if __name__ == "__main__":
    main()

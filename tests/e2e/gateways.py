# SPDX-License-Identifier: Apache-2.0
"""Gateways with several listeners, and the servers behind them."""

import os
import socket
import ssl

import ports
import pods

from test_config import SERVICE


def gateway(listeners, name="edge", extra=""):
    """listeners: lines of YAML, each a flow mapping."""
    lines = "\n".join("    - " + line for line in listeners)
    return (f"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}{extra}}}\n"
            f"spec:\n  gatewayClassName: weir\n  listeners:\n{lines}\n---\n")


def proxy_doc(workers=2, more=""):
    return ("apiVersion: weir.dev/v1alpha1\nkind: Proxy\nmetadata: {name: edge}\n"
            f"spec: {{admin: \"127.0.0.1:0\", workers: {workers}, accessLog: json{more}}}\n---\n")


def service(name, port):
    return SERVICE.format(name=name, port=port) + "---\n"


def route(name, section, to, kind="HTTPRoute", hostnames=None, version="v1"):
    hosts = f"  hostnames: {hostnames}\n" if hostnames else ""
    at = f", sectionName: {section}" if section else ""
    return (f"apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"
            f"  parentRefs: [{{name: edge{at}}}]\n{hosts}"
            f"  rules: [{{backendRefs: [{{name: {to}, port: 80}}]}}]\n---\n")


def https(name, port, host, certs, leaf):
    hostname = f"hostname: \"{host}\", " if host else ""
    return (f"{{name: {name}, port: {port}, protocol: HTTPS, {hostname}tls: {{options: "
            f"{{weir.dev/cert-file: {getattr(certs, leaf)}, weir.dev/key-file: {getattr(certs, leaf + '_key')}}}}}}}")


def connect(port, ca, name, alpn=None):
    """A TLS connection to 127.0.0.1, SNI `name` (None: none sent); the certificate is verified but not its name."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(alpn)
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        return context.wrap_socket(s, server_hostname=name)
    except BaseException:
        s.close()
        raise


def subject(tls):
    return dict(x[0] for x in tls.getpeercert()["subject"])["commonName"]


def listening_sockets(port, pid):
    """How many listening sockets the process has on that port (IPv4 and IPv6 counted apart)."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    counts = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as f:
            rows = [line.split() for line in f.readlines()[1:]]
        counts.append(sum(r[3] == "0A" and int(r[1].rsplit(":", 1)[1], 16) == port and r[9] in inodes for r in rows))
    return counts


class World:
    """One directory of documents, exchanged whole."""

    def __init__(self, directory):
        directory.mkdir()
        self.dir = directory
        self.port = ports.free_port()

    def put(self, text, name="all.yaml"):
        new = self.dir / f".{name}"
        new.write_text(text)
        os.rename(new, self.dir / name)

    def reload(self, p, text):
        before = p.metric('weir_config_reloads_total{result="success"}')
        self.put(text)
        pods.wait_for(lambda: p.metric('weir_config_reloads_total{result="success"}') > before, what="the reload")

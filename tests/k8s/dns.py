# SPDX-License-Identifier: Apache-2.0
"""The cluster's resolver: dns.py ADDRESS KUBECONFIG. Answers A questions for NAME.NAMESPACE.svc.cluster.local from the API server: the
cluster address of a Service, or its ready endpoints when it has none. Anything else below cluster.local does not exist."""

import json
import socket
import ssl
import struct
import sys
import urllib.error
import urllib.request

NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
SUFFIX = ".svc.cluster.local"


class Api:
    def __init__(self, kubeconfig):
        with open(kubeconfig, encoding="utf-8") as f:
            config = json.load(f)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = cluster["server"]
        self.context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self.context.load_cert_chain(user["client-certificate"], user["client-key"])

    def get(self, path):
        with urllib.request.urlopen(self.server + path, context=self.context, timeout=5) as r:
            return json.load(r)


def addresses(api, name):
    """Addresses of a name, or None when there is no such name."""
    service, _, namespace = name.removesuffix(SUFFIX).partition(".")
    if not name.endswith(SUFFIX) or not namespace or "." in namespace:
        return None
    try:
        found = api.get(f"/api/v1/namespaces/{namespace}/services/{service}")
    except urllib.error.HTTPError as e:
        if e.code == 404:
            return None
        raise
    if found["spec"].get("clusterIP") != "None":
        return [found["spec"]["clusterIP"]]
    slices = api.get(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D{service}")
    return [a for s in slices["items"] for e in s.get("endpoints") or () if e["conditions"].get("ready") for a in e["addresses"]]


def answer(api, query):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[12:at + 5]
    kind = struct.unpack(">H", query[at + 1:at + 3])[0]
    try:
        found = addresses(api, ".".join(labels).lower())
        code = NXDOMAIN if found is None else NOERROR
    except OSError as e:
        print(e, flush=True)
        found, code = None, SERVFAIL
    records = [b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + socket.inet_aton(a) for a in found or () if kind == 1]
    return query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(records), 0, 0) + question + b"".join(records)


def main():
    api = Api(sys.argv[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((sys.argv[1], 53))
        while True:
            query, peer = s.recvfrom(4096)
            try:
                s.sendto(answer(api, query), peer)
            except (IndexError, UnicodeDecodeError, struct.error) as e:
                print(f"{peer}: {e}", flush=True)


main()

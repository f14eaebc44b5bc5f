# SPDX-License-Identifier: Apache-2.0
"""Keys, certificates and kubeconfigs of a cluster, in one directory, by openssl. They last two days and the directory is 0700."""

import json
import pathlib
import subprocess


def _openssl(*argv):
    done = subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {argv[0]}: {done.stderr.strip()}")


class Pki:
    def __init__(self, directory, server):
        """`server`: the URL that kubeconfigs name."""
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o700)
        self.server = server
        self._new("ca", "/CN=weir-k8s", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key("service-accounts"))
        _openssl("pkey", "-in", self.key("service-accounts"), "-pubout", "-out", self.directory / "service-accounts.pub")

    def cert(self, name):
        return self.directory / f"{name}.crt"

    def key(self, name):
        return self.directory / f"{name}.key"

    def _new(self, name, subject, *more):
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", subject,
                 "-keyout", self.key(name), "-out", self.cert(name), *more)

    def issue(self, name, subject, names=""):
        """`names`: subjectAltName of a server, as "DNS:a,IP:b"; a client has none."""
        usage = "serverAuth,clientAuth" if names else "clientAuth"
        self._new(name, subject, "-CA", self.cert("ca"), "-CAkey", self.key("ca"), "-addext", "basicConstraints=critical,CA:FALSE",
                  "-addext", f"extendedKeyUsage={usage}", *(["-addext", f"subjectAltName={names}"] if names else []))

    def kubeconfig(self, name, user, *groups):
        """The path of a kubeconfig of a new client certificate."""
        self.issue(name, "".join(f"/O={g}" for g in groups) + f"/CN={user}")
        path = self.directory / f"{name}.kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.server, "certificate-authority": str(self.cert("ca"))}}],
            "users": [{"name": "u", "user": {"client-certificate": str(self.cert(name)), "client-key": str(self.key(name))}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }), encoding="utf-8")
        return path

# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "support"), os.path.join(ROOT, "demo")]

import backends  # noqa: E402
import pods  # noqa: E402
import proxies  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "pods: needs namespaces, cgroups and bpf, hence root")


def why_no_pods():
    reason = pods.why_not()
    if reason is None and "half: built in" not in proxies.weir("version").stdout:
        reason = "weir was built without the kernel half"
    return reason


def pytest_collection_modifyitems(items):
    if not os.access(proxies.WEIR, os.X_OK):
        pytest.exit(f"{proxies.WEIR} is not built: make", returncode=3)
    wanting = [item for item in items if item.get_closest_marker("pods")]
    reason = why_no_pods() if wanting else None
    for item in wanting:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def site():
    s = backends.Site()
    yield s
    s.close()


@pytest.fixture
def recorder():
    r = backends.Recorder()
    yield r
    r.close()


@pytest.fixture
def proxy(tmp_path):
    """proxy(*args) starts `weir proxy` and waits until it is ready; all are ended with the test, and must have ended well."""
    started = []

    def start(*args, wait=True, **kwargs):
        p = proxies.Proxy(tmp_path, *args, **kwargs)
        started.append(p)
        return p.ready() if wait else p
    yield start
    crashed = [p for p in started if p.process.poll() not in (None, 0, 1, 2)]
    for p in started:
        p.stop()
    assert not crashed, crashed[0].err()
    for p in started:
        p.no_sanitizer_report()


@pytest.fixture
def reverse(proxy, site):
    """The reverse proxy one would start first, before `site`."""
    return proxy("--listen", "127.0.0.1:0", "--to", f"http://127.0.0.1:{site.port}",
                 "--admin", "127.0.0.1:0", "--access-log", "json")


class Certificates:
    """A CA, certificates from it, and another CA."""

    def __init__(self, directory):
        self.dir = directory
        for ca in ("ca", "otherca"):
            self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                          "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2",
                          "-subj", f"/CN={ca}")
        self.issue("server", san="DNS:localhost,DNS:weir.test,IP:127.0.0.1")
        self.issue("server2", san="DNS:localhost,IP:127.0.0.1")
        self.issue("client")
        self.issue("stranger", ca="otherca")

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.dir, check=True, capture_output=True)

    def issue(self, name, ca="ca", san="DNS:client.test"):
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (self.dir / f"{name}.ext").write_text(
            f"subjectAltName={san}\nkeyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:false\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey",
                      f"{ca}.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
                      "-out", f"{name}.pem")

    def __getattr__(self, name):
        """certs.server_key is the path of server.key; certs.server of server.pem."""
        if name.endswith("_key"):
            return str(self.dir / (name[:-4] + ".key"))
        return str(self.dir / (name + ".pem"))


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def up(tmp_path_factory):
    """The demo's pods, agent, sidecars and servers, without its demonstration: the world of the mesh tests."""
    pods.sweep()
    import demo
    import show
    with open(tmp_path_factory.mktemp("up") / "log", "w", encoding="utf-8") as log, \
            pods.Pods("e2e") as the_pods:
        d = demo.Demo(the_pods, show.Show(log))
        d.up()
        yield d
        problem = the_pods.close()
    assert problem is None



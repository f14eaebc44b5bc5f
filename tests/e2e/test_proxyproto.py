# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol with curl as the proxy before, TLS behind the header, and two weirs in a row."""

import pytest

from proxies import curl

CONFIG = """\
apiVersion: weir.dev/v1alpha1
kind: Proxy
metadata: {{name: p}}
spec: {{listen: "127.0.0.1:0", to: ["{to}"], admin: "127.0.0.1:0", accessLog: text, proxyProtocol: {{{what}}}{tls}}}
"""


@pytest.fixture
def with_config(tmp_path, proxy):
    def start(to, what, tls=""):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        file.write_text(CONFIG.format(to=to, what=what, tls=tls))
        return proxy("--config", file)
    return start


@pytest.mark.parametrize("flags", [["--http1.1"], ["--http2-prior-knowledge"]])
def test_curl_begins_with_a_header(with_config, site, flags):
    p = with_config(f"127.0.0.1:{site.port}", "from: [127.0.0.0/8]")
    assert curl("--haproxy-protocol", *flags, p.url()).stdout == b"ok\n"
    assert curl(*flags, p.url()).returncode != 0


def test_tls_behind_the_header(with_config, site, certs):
    p = with_config(f"127.0.0.1:{site.port}", "from: [127.0.0.0/8]",
                    f", cert: {certs.server}, key: {certs.server_key}")
    assert curl("--haproxy-protocol", "--cacert", certs.ca, p.url("/", "https")).stdout == b"ok\n"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_two_in_a_row(with_config, recorder, version):
    """The second one sees the port that the client has at the first one."""
    behind = with_config(f"127.0.0.1:{recorder.port}", "from: [127.0.0.1/32]")
    front = with_config(f"127.0.0.1:{behind.port}", f"send: {version}")
    done = curl("-w", "%{local_port}", front.url())
    assert done.stdout.startswith(b"ok\n")
    port = done.stdout[3:].decode()
    assert f"127.0.0.1:{port}" in behind.out()


def test_off_by_default(proxy, site):
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}")
    assert b"method_unknown" in curl("--haproxy-protocol", "-i", p.url()).stdout

# SPDX-License-Identifier: Apache-2.0
"""Content of every size both ways over every way through weir: byte-exact, and the proxy's memory does not grow with it. The largest is
32 MiB, or BODY_BYTES (`make test-large`: 1 GiB)."""

import os

import pytest

import bulk
import peers
import ways
from proxies import pods

LARGEST = int(os.environ.get("BODY_BYTES", 32 << 20))
SIZES = [0, 1, 16_383, 16_385, 65_535, 65_537, 1 << 20, LARGEST]
GROWTH = 24 << 20  # bytes a proxy may take for one transfer of any size: windows and buffers of both sides


@pytest.fixture(scope="module")
def files():
    f = bulk.Files(SIZES)
    yield f
    f.close()


@pytest.fixture(scope="module", params=ways.ALL)
def way(request, tmp_path_factory, certs, files):
    with ways.opened(request.param, tmp_path_factory.mktemp("way"), certs, bulk.server_of(files, certs)) as w:
        bulk.get(w, 1)
        yield w


def peak(p):
    with open(f"/proc/{p.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) << 10


class Flat:
    """The proxies' peak memory within stays near what they had before."""

    def __init__(self, way):
        self.proxies = way.proxies

    def __enter__(self):
        self.rss = []
        for p in self.proxies:
            with open(f"/proc/{p.pid}/clear_refs", "w", encoding="ascii") as f:
                f.write("5")  # VmHWM begins anew
            self.rss.append(p.rss())
        return self

    def __exit__(self, kind, *_):
        if kind:
            return
        sanitized = "san" in pods.WEIR  # keeps what is freed for a while
        for p, rss in zip(self.proxies, self.rss):
            assert peak(p) - rss < GROWTH * (20 if sanitized else 1), f"{(peak(p) - rss) >> 20} MiB more"


@pytest.mark.parametrize("n", SIZES)
def test_a_download_is_byte_exact(way, n):
    with Flat(way):
        assert bulk.get(way, n) == (n, bulk.digest(n))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("framing", ["length", "stream"])
def test_an_upload_is_byte_exact(way, files, framing, n):
    if n == 0 and framing == "stream" and way.client == "h1":
        with peers.connect("h1", way.port, way.ca).socket as s:  # curl 7.88 waits for ever
            s.sendall(b"PUT /put HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            answer = b"".join(iter(lambda: s.recv(65536), b""))
        assert b" 200 " in answer[:20]
        return
    with Flat(way):
        assert bulk.put(way, files, n, framing) == bulk.digest(n)

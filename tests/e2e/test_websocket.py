# SPDX-License-Identifier: Apache-2.0
"""WebSocket with a real client and a real server: straight, through two proxies with mTLS between them, and from HTTP/2."""

import asyncio
import contextlib
import os
import socket
import threading

import h2.config
import h2.connection
import h2.events
import pytest

from twosides import TwoSides

websockets = pytest.importorskip("websockets")


class Echo:
    """Sends everything back; "bye" closes."""

    def __init__(self, address="127.0.0.1"):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()

        async def serve(ws):
            async for message in ws:
                if message == "bye":
                    await ws.close(4001, "as asked")
                    return
                await ws.send(message)

        async def main():
            self.server = await websockets.serve(serve, address, 0, max_size=1 << 26,
                                                 subprotocols=["echo"])
            self.port = self.server.sockets[0].getsockname()[1]
            started.set()
            await self.server.wait_closed()

        def run():
            asyncio.set_event_loop(self.loop)
            with contextlib.suppress(asyncio.CancelledError, RuntimeError):
                self.loop.run_until_complete(main())

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        assert started.wait(10)

    def close(self):
        self.loop.call_soon_threadsafe(self.server.close)
        self.thread.join(10)


@pytest.fixture
def echo():
    made = []

    def make(address):
        made.append(Echo(address))
        return made[-1]
    yield make
    for e in made:
        e.close()


async def talk(port):
    async with websockets.connect(f"ws://127.0.0.1:{port}/chat?x=1", subprotocols=["echo"],
                                  max_size=1 << 26) as ws:
        assert ws.subprotocol == "echo"
        await ws.send("hello")
        assert await ws.recv() == "hello"
        big = os.urandom(3_000_000)
        await ws.send(big)
        assert await ws.recv() == big
        await asyncio.gather(*[ws.send(str(i)) for i in range(100)])
        assert sorted([int(await ws.recv()) for _ in range(100)]) == list(range(100))
        await ws.send("bye")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await ws.recv()
        assert closed.value.code == 4001 and closed.value.reason == "as asked"


def test_straight(proxy, echo):
    server = echo("127.0.0.1")
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{server.port}", "--access-log", "text")
    asyncio.run(talk(p.port))


def test_through_the_mesh(tmp_path, proxy, echo):
    two = TwoSides(tmp_path, proxy, echo("127.0.0.2").port)
    asyncio.run(talk(two.port))


def test_many_tunnels_share_the_mesh_with_requests(tmp_path, proxy, echo):
    two = TwoSides(tmp_path, proxy, echo("127.0.0.2").port)

    async def one(i):
        async with websockets.connect(f"ws://127.0.0.1:{two.port}/") as ws:
            for k in range(20):
                await ws.send(f"{i} {k}")
                assert await ws.recv() == f"{i} {k}"

    async def all_of_them():
        await asyncio.gather(*[one(i) for i in range(30)])

    asyncio.run(all_of_them())


class H2Client:
    """One extended CONNECT over HTTP/2 with prior knowledge."""

    def __init__(self, port, protocol=b"websocket"):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.c = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self.c.initiate_connection()
        self.events = []
        while not any(isinstance(e, h2.events.RemoteSettingsChanged) for e in self.events):
            self.turn()
        self.announced = self.c.remote_settings.enable_connect_protocol
        self.c.send_headers(1, [(b":method", b"CONNECT"), (b":protocol", protocol),
                                (b":scheme", b"http"), (b":path", b"/chat"),
                                (b":authority", b"weir.test"), (b"sec-websocket-version", b"13")])

    def turn(self):
        self.s.sendall(self.c.data_to_send())
        data = self.s.recv(65536)
        assert data, "closed"
        for e in self.c.receive_data(data):
            if isinstance(e, h2.events.DataReceived):
                self.c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            self.events.append(e)

    def response(self):
        while True:
            for e in self.events:
                if isinstance(e, h2.events.ResponseReceived):
                    return dict(e.headers)
            self.turn()

    def data(self):
        return b"".join(e.data for e in self.events if isinstance(e, h2.events.DataReceived))


def text_frame(text):
    """Masked with zeros, as short as they come."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


@pytest.mark.parametrize("mesh", [False, True], ids=["straight", "mesh"])
def test_from_http2(tmp_path, proxy, echo, mesh):
    if mesh:
        port = TwoSides(tmp_path, proxy, echo("127.0.0.2").port).port
    else:
        port = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{echo('127.0.0.1').port}").port
    c = H2Client(port)
    assert c.announced == 1
    head = c.response()
    assert head[b":status"] == b"200" and b"sec-websocket-accept" not in head
    c.c.send_data(1, text_frame(b"hello") + text_frame(b"bye"))
    while b"as asked" not in c.data():
        c.turn()
    assert c.data().startswith(b"\x81\x05hello")


def test_a_server_without_websocket(proxy, site):
    p = proxy("--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{site.port}")
    assert H2Client(p.port).response()[b":status"] == b"501"
    assert H2Client(p.port, b"h2c").response()[b":status"] == b"400"

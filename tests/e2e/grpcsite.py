# SPDX-License-Identifier: Apache-2.0
"""A gRPC server of grpcio's own, without generated code: messages are bytes. Its methods say what they do; it keeps what it saw."""

import concurrent.futures
import hashlib
import json
import threading
import time

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]


class GrpcSite:
    def __init__(self, address="127.0.0.1", options=(), name="a", tls=None):
        self.name = name
        self.seen = []  # (method, metadata) of each call
        self.cancelled = threading.Semaphore(0)  # one release for each call of Watch that ended early
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(64),
                                  options=[*OPTIONS, *options])
        kinds = {"Unary": grpc.unary_unary_rpc_method_handler, "Collect": grpc.stream_unary_rpc_method_handler,
                 "Stream": grpc.unary_stream_rpc_method_handler, "Chat": grpc.stream_stream_rpc_method_handler,
                 "Fail": grpc.unary_unary_rpc_method_handler, "FailLate": grpc.unary_stream_rpc_method_handler,
                 "Wait": grpc.unary_unary_rpc_method_handler, "Watch": grpc.unary_stream_rpc_method_handler,
                 "Meta": grpc.unary_unary_rpc_method_handler, "Deadline": grpc.unary_unary_rpc_method_handler}
        self.server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {k: make(self._noted(k)) for k, make in kinds.items()})
             for service in ("weir.Test", "weir.Other")])
        if tls:
            key, cert = (open(path, "rb").read() for path in tls)
            self.port = self.server.add_secure_port(f"{address}:0", grpc.ssl_server_credentials([(key, cert)]))
        else:
            self.port = self.server.add_insecure_port(f"{address}:0")
        self.server.start()

    def _noted(self, name):
        method = getattr(self, f"do_{name}")

        def call(request, context):
            self.seen.append((name, context.invocation_metadata()))
            context.set_trailing_metadata((("site", self.name),))
            return method(request, context)
        return call

    def close(self):
        self.server.stop(None).wait(5)

    # ---- methods ----

    def do_Unary(self, request, _context):
        return request

    def do_Collect(self, requests, _context):
        h, n = hashlib.sha256(), 0
        for message in requests:
            h.update(message)
            n += 1
        return f"{n} {h.hexdigest()}".encode()

    def do_Stream(self, request, _context):
        """`count size`: so many messages of that size, all different."""
        count, size = (int(word) for word in request.split())
        for i in range(count):
            yield i.to_bytes(4, "big") + bytes(max(0, size - 4))

    def do_Chat(self, requests, _context):
        yield from requests

    def do_Fail(self, request, context):
        """`code details`: nothing but trailers."""
        code, _, details = request.decode().partition(" ")
        context.abort(next(c for c in grpc.StatusCode if c.value[0] == int(code)), details)

    def do_FailLate(self, _request, context):
        yield b"one"
        context.set_trailing_metadata((("why-bin", b"\x00\xff\n"), ("site", self.name)))
        context.abort(grpc.StatusCode.DATA_LOSS, "half way: 50 %, ü")

    def do_Wait(self, request, context):
        end = time.monotonic() + int(request) / 1000
        while time.monotonic() < end:
            if not context.is_active():
                self.cancelled.release()
                return b"nobody listens"
            time.sleep(0.01)
        return b"waited"

    def do_Watch(self, _request, context):
        over = threading.Event()
        context.add_callback(over.set)
        yield b"watching"
        over.wait(60)
        self.cancelled.release()

    def do_Meta(self, _request, context):
        seen = [[k, v.hex() if isinstance(v, bytes) else v] for k, v in context.invocation_metadata()]
        context.send_initial_metadata((("first", "1"), ("first-bin", bytes(range(256)))))
        context.set_trailing_metadata((("last", "2"), ("last-bin", b"\xff\x00")))
        return json.dumps(seen).encode()

    def do_Deadline(self, _request, context):
        return json.dumps(context.time_remaining()).encode()


class Client:
    """A channel and its calls, all with a deadline so that nothing waits for ever."""

    def __init__(self, target, tls_ca=None, options=(), **kwargs):
        # A subchannel of its own: grpcio shares connections between channels of one process.
        options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1), *options]
        if tls_ca:
            with open(tls_ca, "rb") as f:
                credentials = grpc.ssl_channel_credentials(f.read())
            self.channel = grpc.secure_channel(target, credentials, options=options, **kwargs)
        else:
            self.channel = grpc.insecure_channel(target, options=options, **kwargs)

    def unary(self, method, request=b"", timeout=30, service="weir.Test", **kwargs):
        return self.channel.unary_unary(f"/{service}/{method}")(request, timeout=timeout, **kwargs)

    def with_call(self, method, request=b"", timeout=30, **kwargs):
        return self.channel.unary_unary(f"/weir.Test/{method}").with_call(request, timeout=timeout, **kwargs)

    def future(self, method, request=b"", timeout=30, **kwargs):
        return self.channel.unary_unary(f"/weir.Test/{method}").future(request, timeout=timeout, **kwargs)

    def collect(self, requests, timeout=60, **kwargs):
        return self.channel.stream_unary("/weir.Test/Collect")(requests, timeout=timeout, **kwargs)

    def stream(self, method, request=b"", timeout=60, **kwargs):
        return self.channel.unary_stream(f"/weir.Test/{method}")(request, timeout=timeout, **kwargs)

    def chat(self, requests, timeout=60, **kwargs):
        return self.channel.stream_stream("/weir.Test/Chat")(requests, timeout=timeout, **kwargs)

    def close(self):
        self.channel.close()

# SPDX-License-Identifier: Apache-2.0
"""Peers that say what no library would, and a server that believes nothing: it reads strictly, keeps every request byte for byte, and answers as a
row of the attack table tells it. One thread serves all connections, so `fence()` says when everything that was sent to it has been read."""

import re
import selectors
import socket
import threading

import hpack

TIMEOUT = 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8


class Wrong(Exception):
    """What arrived is not HTTP to a strict reader."""


class Message:
    def __init__(self, method, path, authority, fields):
        self.method, self.path, self.authority, self.fields = method, path, authority, fields
        self.body, self.trailers, self.whole = b"", [], False

    def values(self, name):
        return [v for n, v in self.fields if n.lower() == name]

    def __repr__(self):
        return f"{self.method} {self.path} at {self.authority} {self.fields} {self.body[:200]} {self.trailers} whole={self.whole}"


# ---- HTTP/1, strictly ----

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
LINE = re.compile(rb"(" + TOKEN + rb") ([!-\"$-~]+) HTTP/1\.1\r\n")
FIELD = re.compile(rb"(" + TOKEN + rb"): ([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")


def section(data, at):
    """Fields from there on and where they end; None = more is to come."""
    found = []
    while not data.startswith(b"\r\n", at):
        end = data.find(b"\n", at)
        if end < 0:
            return None, at
        m = FIELD.fullmatch(data, at, end + 1)
        if not m or m.group(2) != m.group(2).strip(b" \t"):
            raise Wrong(f"field line {data[at:end + 1]!r}")
        found.append((m.group(1), m.group(2)))
        at = end + 1
    return found, at + 2


def chunks(data, at, message):
    """Where the message ends; None = more is to come."""
    while True:
        end = data.find(b"\n", at)
        if end < 0:
            return None
        if not re.fullmatch(rb"(?:0|[1-9a-f][0-9a-f]{0,14})\r", data[at:end]):
            raise Wrong(f"chunk size {data[at:end + 1]!r}")
        size, at = int(data[at:end], 16), end + 1
        if size == 0:
            trailers, at = section(data, at)
            if trailers is None:
                return None
            message.trailers = trailers
            return at
        message.body += data[at:at + size]
        if len(data) < at + size + 2:
            return None
        if data[at + size:at + size + 2] != b"\r\n":
            raise Wrong("no CRLF behind a chunk")
        at += size + 2


def read_request(data):
    """(message or None, where it ends). A message that is not whole is as far as it has come."""
    end = data.find(b"\n")
    if end < 0:
        return None, 0
    line = LINE.fullmatch(data, 0, end + 1)
    if not line:
        raise Wrong(f"request line {data[:end + 1]!r}")
    fields, at = section(data, end + 1)
    if fields is None:
        return None, 0
    hosts = [v for n, v in fields if n.lower() == b"host"]
    if len(hosts) != 1:
        raise Wrong(f"{len(hosts)} Host fields")
    m = Message(line.group(1), line.group(2), hosts[0], [f for f in fields if f[0].lower() != b"host"])
    lengths, codings = m.values(b"content-length"), m.values(b"transfer-encoding")
    if len(lengths) + len(codings) > 1 or not all(re.fullmatch(rb"\d{1,19}", v) for v in lengths) or codings not in ([], [b"chunked"]):
        raise Wrong(f"framing {lengths} {codings}")
    if codings:
        end = chunks(data, at, m)
    else:
        n = int(lengths[0]) if lengths else 0
        m.body = data[at:at + n]
        end = at + n if len(data) >= at + n else None
    m.whole = end is not None
    return m, end or 0


class H1Side:
    """One connection of the server."""

    def __init__(self, server, sock):
        self.server, self.socket, self.buffer, self.message = server, sock, b"", None

    def take(self, data):
        self.buffer += data
        while self.buffer:
            before = self.message
            message, used = read_request(self.buffer)
            if message is None:
                return
            if before:
                self.server.messages.remove(before)
            self.server.messages.append(message)
            answer, early = self.server.answer_to(message)
            self.message = message
            if not message.whole:
                if early and not before:
                    self.say(answer)
                return
            self.buffer, self.message = self.buffer[used:], None
            if not (early and before):
                self.say(answer)

    def say(self, answer):
        """Bytes, or a list of them in which None closes the connection."""
        for part in answer if isinstance(answer, list) else [answer]:
            if part is None:
                raise ConnectionError("as told")
            self.server.send(self.socket, part)


# ---- HTTP/2 ----

def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def u32(n):
    return n.to_bytes(4, "big")


class Frames:
    """Bytes to frames."""

    def __init__(self, preface=b""):
        self.buffer, self.preface = b"", preface

    def feed(self, data):
        self.buffer += data
        if self.preface and len(self.buffer) >= len(self.preface):
            if not self.buffer.startswith(self.preface):
                raise Wrong(f"preface {self.buffer[:24]!r}")
            self.buffer, self.preface = self.buffer[len(self.preface):], b""
        while not self.preface and len(self.buffer) >= 9:
            n = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + n:
                return
            head, payload = self.buffer[:9], self.buffer[9:9 + n]
            self.buffer = self.buffer[9 + n:]
            yield head[3], head[4], int.from_bytes(head[5:9], "big"), payload


BANNED = {b"connection", b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection", b"http2-settings", b"host"}


class H2Side:
    """Speaks first, as a server may; `server.opening` is what it says."""

    def __init__(self, server, sock):
        self.server, self.socket = server, sock
        self.frames, self.block, self.open = Frames(PREFACE), b"", {}
        self.decoder, self.encoder = hpack.Decoder(), hpack.Encoder()
        self.decoder.max_header_list_size = 1 << 20
        server.send(sock, frame(SETTINGS, 0, 0, b"\0\4" + u32(1 << 24) + b"\0\x08" + u32(1)) + frame(WINDOW, 0, 0, u32(1 << 24)))

    def take(self, data):
        for kind, flags, stream, payload in self.frames.feed(data):
            if kind == SETTINGS and not flags & ACK:
                self.server.send(self.socket, frame(SETTINGS, ACK))
            elif kind == PING and not flags & ACK:
                self.server.send(self.socket, frame(PING, ACK, 0, payload))
            elif kind in (HEADERS, CONTINUATION):
                if flags & PADDED and kind == HEADERS:
                    raise Wrong("padding")
                self.block += payload
                self.ends = flags & END_STREAM if kind == HEADERS else self.ends
                if flags & END_HEADERS:
                    self.headers(stream)
            elif kind == DATA and stream in self.open:
                self.open[stream].body += payload
                if flags & END_STREAM:
                    self.finish(stream)
            elif kind == RST:
                self.open.pop(stream, None)

    def headers(self, stream):
        fields = [tuple(f) for f in self.decoder.decode(self.block, raw=True)]
        self.block = b""
        if stream in self.open:
            self.open[stream].trailers = fields
        else:
            self.begin(stream, fields)
        if self.ends:
            self.finish(stream)

    def begin(self, stream, fields):
        pseudo = {n: v for n, v in fields if n.startswith(b":")}
        plain = [(n, v) for n, v in fields if not n.startswith(b":")]
        names = [n for n, _ in fields]
        if names[:len(pseudo)] != list(pseudo) or len(set(names[:len(pseudo)])) != len(pseudo):
            raise Wrong(f"pseudo-header fields {names}")
        for n, v in plain:
            if not re.fullmatch(TOKEN, n) or n != n.lower() or n in BANNED or re.search(rb"[\x00\r\n]", v) or v != v.strip(b" \t"):
                raise Wrong(f"field {n!r}: {v!r}")
        if not re.fullmatch(rb"\*|[!-\"$-~]+", pseudo[b":path"]) or not re.fullmatch(TOKEN, pseudo[b":method"]):
            raise Wrong(f"pseudo-header fields {pseudo}")
        m = Message(pseudo[b":method"], pseudo[b":path"], pseudo.get(b":authority"), plain)
        self.open[stream] = m
        self.server.messages.append(m)
        answer, early = self.server.answer_to(m)
        if early:
            self.say(answer, stream)

    def finish(self, stream):
        m = self.open.pop(stream)
        lengths = m.values(b"content-length")
        if lengths and int(lengths[0]) != len(m.body):
            raise Wrong(f"content-length {lengths[0]} and {len(m.body)} bytes")
        m.whole = True
        answer, early = self.server.answer_to(m)
        if not early:
            self.say(answer, stream)

    def say(self, answer, stream):
        """A function of (encoder, stream) that gives bytes, or a list of them in which None closes; or HTTP/1's plain OK."""
        if answer is OK:
            answer = ok_frames
        parts = answer(self.encoder, stream)
        for part in parts if isinstance(parts, list) else [parts]:
            if part is None:
                raise ConnectionError("as told")
            self.server.send(self.socket, part)


def ok_frames(encoder, stream):
    return frame(HEADERS, END_HEADERS, stream, encoder.encode([(b":status", b"200"), (b"content-length", b"3")])) + \
        frame(DATA, END_STREAM, stream, b"ok\n")


class Server:
    """`answer` is what a request for any path but /probe gets; `early`: as soon as its head is there."""

    def __init__(self, version, address="127.0.0.1", tls=None):
        assert tls is None
        self.side = H2Side if version == "h2" else H1Side
        self.messages, self.wrong = [], []
        self.answer, self.early = OK, False
        self.listener = socket.create_server((address, 0), backlog=128)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.lock, self.selector = threading.RLock(), selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.closed = False
        threading.Thread(target=self._run, daemon=True).start()

    def reset(self, answer=OK, early=False):
        with self.lock:
            self.fence()
            self.messages, self.wrong = [], []
            self.answer, self.early = answer, early

    def answer_to(self, message):
        return (OK, False) if message.path == b"/probe" else (self.answer, self.early)

    @staticmethod
    def send(sock, data):
        sock.setblocking(True)
        sock.settimeout(TIMEOUT)
        try:
            sock.sendall(data)
        finally:
            sock.setblocking(False)

    def _run(self):
        while not self.closed:
            self.selector.select(0.5)
            with self.lock:
                self.fence()

    def fence(self):
        """Reads until there is nothing: what a peer on this machine sent before now has been taken."""
        with self.lock:
            while not self.closed and (ready := self.selector.select(0)):
                for key, _ in ready:
                    self._one(key)

    def _one(self, key):
        sock = key.fileobj
        if sock is self.listener:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(sock, selectors.EVENT_READ, None)
            try:
                self.selector.modify(sock, selectors.EVENT_READ, self.side(self, sock))
            except OSError:
                self._drop(sock)
            return
        try:
            sock.setblocking(False)
            data = sock.recv(1 << 18)
            if data:
                key.data.take(data)
                return
        except Wrong as e:
            self.wrong.append(str(e))
        except OSError:
            pass
        self._drop(sock)

    def _drop(self, sock):
        self.selector.unregister(sock)
        sock.close()

    def close(self):
        with self.lock:
            self.closed = True
            for key in list(self.selector.get_map().values()):
                self._drop(key.fileobj)


# ---- clients ----

class Answer:
    """What a client got: final responses (status, fields, body), and how it ended."""

    def __init__(self):
        self.finals, self.interims, self.cut, self.reset, self.goaway, self.closed = [], [], False, None, None, False

    @property
    def statuses(self):
        return [f[0] for f in self.finals]

    def __repr__(self):
        return f"{self.finals} cut={self.cut} reset={self.reset} goaway={self.goaway} closed={self.closed} interims={self.interims[:3]}"


def receive(sock):
    """All until the other side closes; a reset is a way of closing."""
    data = b""
    try:
        while piece := sock.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        pass
    return data


def h1_answer(data, methods):
    """Strictly: every byte belongs to a response to one of the requests, in order."""
    a, at = Answer(), 0
    methods = list(methods)
    while at < len(data):
        if b"\n" not in data[at:]:
            a.cut = True
            break
        m = re.compile(rb"HTTP/1\.1 (\d{3}) [^\x00-\x08\x0a-\x1f\x7f]*\r\n").match(data, at)
        if not m:
            raise Wrong(f"status line {data[at:at + 100]!r}")
        fields, end = section(data, m.end())
        if fields is None:
            a.cut = True
            break
        status, at = int(m.group(1)), end
        if 100 <= status < 200 and status != 101:
            a.interims.append(status)
            continue
        method = methods.pop(0) if methods else None
        known = {n.lower(): v for n, v in fields}
        message = Message(b"", b"", b"", [])
        if method == b"HEAD" or status in (204, 304):
            end = at
        elif known.get(b"transfer-encoding") == b"chunked":
            end = chunks(data, at, message)
        elif b"content-length" in known:
            n = int(known[b"content-length"])
            message.body = data[at:at + n]
            end = at + n if len(data) >= at + n else None
        else:
            raise Wrong(f"response without a length {fields}")
        a.finals.append((status, fields, message.body, message.trailers))
        if end is None:
            a.cut = True
            break
        at = end
    a.closed = True
    return a


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)


def say(sock, data):
    """The other side may have closed: what it said before is read."""
    try:
        sock.sendall(data)
    except OSError:
        pass


def h1_say(port, data, methods=(b"GET",), ends=False):
    """Sends it, and reads until weir closes. `ends`: nothing more comes from here (FIN), for requests that are answered."""
    with connect(port) as s:
        say(s, data)
        if ends:
            try:
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused and closed already
        return h1_answer(receive(s), methods)


class H2Client:
    def __init__(self, port):
        self.socket = connect(port)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.frames = Frames()
        self.send(PREFACE + frame(SETTINGS, 0, 0, b"\0\4" + u32(1 << 24)) + frame(WINDOW, 0, 0, u32(1 << 24)))

    def send(self, data):
        say(self.socket, data)

    def block(self, fields):
        return self.encoder.encode(fields, huffman=False)

    def headers(self, stream, fields, end):
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(fields)))

    def read(self, stream=1):
        """Until that stream or the connection has ended."""
        a, status, fields, body, block, trailers = Answer(), None, [], b"", b"", []
        try:
            while data := self.socket.recv(1 << 16):
                for kind, flags, on, payload in self.frames.feed(data):
                    if kind == SETTINGS and not flags & ACK:
                        self.send(frame(SETTINGS, ACK))
                    elif kind == GOAWAY:
                        a.goaway = int.from_bytes(payload[4:8], "big")
                    elif kind in (HEADERS, CONTINUATION):
                        block += payload
                        if flags & END_HEADERS:
                            got, block = [tuple(f) for f in self.decoder.decode(block, raw=True)], b""
                            if on != stream:
                                continue
                            if status:
                                trailers = got
                            elif int(dict(got)[b":status"]) < 200:
                                a.interims.append(int(dict(got)[b":status"]))
                            else:
                                status, fields = int(dict(got)[b":status"]), got
                    elif kind == DATA and on == stream:
                        body += payload
                    elif kind == RST and on == stream:
                        a.reset = int.from_bytes(payload, "big")
                        a.cut = status is not None
                        if status:
                            a.finals.append((status, fields, body, trailers))
                        return a
                    if on == stream and kind in (DATA, HEADERS) and flags & END_STREAM:
                        a.finals.append((status, fields, body, trailers))
                        return a
        except ConnectionResetError:
            pass
        a.closed, a.cut = True, status is not None
        if status:
            a.finals.append((status, fields, body, trailers))
        return a

    def close(self):
        self.socket.close()

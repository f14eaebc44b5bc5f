# SPDX-License-Identifier: Apache-2.0
"""The two ends of an exchange, an event at a time, in HTTP/1.1 over a bare socket and in HTTP/2 with python-h2, behind one interface:

    send:     head(start, fields, end), interim(status, fields), data(bytes), end(trailers), reset()
    receive:  next() gives ("interim", status, fields), ("head", start, fields), ("data", bytes), ("end", trailers) or ("reset", why)

`start` is a dict: method, target and authority of a request, status and reason of a response; fields are (name, value) pairs in order."""

import queue
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

TIMEOUT = 20
BODILESS = (204, 304)


def shut(s):
    """Ends a connection that another thread reads and is to close: a descriptor must not be used again under its hands."""
    try:
        socket.socket.shutdown(s, socket.SHUT_RDWR)
    except OSError:
        pass


# ---- HTTP/1.1 ----

class H1Exchange:
    """Sends one message and receives the other. The framing of what is sent: the content-length field if there is one, else chunks."""

    def __init__(self, connection, server):
        self.connection, self.server = connection, server
        self.socket, self.file = connection.socket, connection.file
        self.method = None  # of the request
        self.chunked_out = self.head_done = False
        self.left = None    # bytes of content to come; None: chunks, -1: until the end of the connection
        self.over = False

    def interim(self, status, fields=()):
        self.socket.sendall(self._bytes(f"HTTP/1.1 {status} Interim", fields))

    def head(self, start, fields=(), end=False):
        names = [name.lower() for name, _ in fields]
        fields = list(fields)
        if self.server:
            line = f"HTTP/1.1 {start['status']} {start.get('reason', 'Fine')}"
            bodiless = start["status"] in BODILESS or self.method == "HEAD"
        else:
            self.method = start["method"]
            line = f"{start['method']} {start['target']} HTTP/1.1"
            fields.insert(0, ("Host", start.get("authority", "weir.test")))
            bodiless = end
        if "content-length" not in names and not bodiless:
            if end:
                fields.append(("Content-Length", "0"))
            else:
                fields.append(("Transfer-Encoding", "chunked"))
                self.chunked_out = True
        self.socket.sendall(self._bytes(line, fields))

    @staticmethod
    def _bytes(line, fields):
        return "".join([line, "\r\n", *(f"{n}: {v}\r\n" for n, v in fields), "\r\n"]).encode("latin-1")

    def data(self, content):
        if content:
            self.socket.sendall(b"%x\r\n%b\r\n" % (len(content), content) if self.chunked_out else content)

    def end(self, trailers=()):
        if self.chunked_out:
            self.socket.sendall(b"0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in trailers).encode() + b"\r\n")

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.file.close()
        self.socket.close()

    def next(self):
        try:
            return self._next()
        except (OSError, ValueError, EOFError) as e:
            self.over = True
            return ("reset", repr(e))

    def _line(self):
        line = self.file.readline(200_000)
        if not line.endswith(b"\n"):
            raise EOFError("cut off")
        return line.rstrip(b"\r\n").decode("latin-1")

    def _fields(self):
        fields = []
        while line := self._line():
            name, _, value = line.partition(":")
            fields.append((name, value.strip()))
        return fields

    def _next(self):
        if not self.head_done:
            return self._head()
        if self.left is None:
            size = int(self._line().split(";")[0], 16)
            if size == 0:
                return self._ended(self._fields())
            content = self.file.read(size)
            if len(content) < size:
                raise EOFError("cut off")
            self._line()
            return ("data", content)
        if self.left == 0:
            return self._ended([])
        content = self.file.read1(65536 if self.left < 0 else min(self.left, 65536))
        if not content and self.left > 0:
            raise EOFError("cut off")
        if not content:
            return self._ended([])
        self.left -= len(content) if self.left > 0 else 0
        return ("data", content)

    def _ended(self, trailers):
        self.over = True
        return ("end", trailers)

    def _head(self):
        first = self._line().split(" ", 2)
        fields = self._fields()
        known = {name.lower(): value for name, value in fields}
        if self.server:
            start = {"method": first[0], "target": first[1], "authority": known.get("host")}
            self.method = first[0]
        else:
            start = {"status": int(first[1]), "reason": first[2]}
            if start["status"] < 200 and start["status"] != 101:
                return ("interim", start["status"], fields)
        self.head_done = True
        bodiless = not self.server and (start["status"] in BODILESS or self.method == "HEAD")
        if "chunked" in known.get("transfer-encoding", ""):
            self.left = None
        elif "content-length" in known:
            self.left = int(known["content-length"])
        else:
            self.left = 0 if self.server else -1
        if bodiless:
            self.left = 0
        return ("head", start, fields)


class H1Connection:
    def __init__(self, sock, server):
        self.socket, self.server = sock, server
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = sock.makefile("rb")

    def exchange(self):
        return H1Exchange(self, self.server)

    def serve(self, handler):
        """Requests one after the other until the client leaves."""
        try:
            while not self.file.closed and self.file.peek(1):
                ex = self.exchange()
                event = ex.next()
                if event[0] != "head" or handler(ex, event[1], event[2]) == "close":
                    return
                while not ex.over:
                    ex.next()
        except (OSError, ValueError):
            pass
        finally:
            self.close()

    def close(self):
        self.file.close()
        self.socket.close()


# ---- HTTP/2 ----

class H2Exchange:
    def __init__(self, connection, stream=None):
        self.connection, self.stream = connection, stream
        self.events = queue.Queue()
        self.over = False

    def interim(self, status, fields=()):
        fields = [(":status", str(status)), *((n.lower(), v) for n, v in fields)]
        self.connection.send(lambda h: h.send_headers(self.stream, fields))

    def head(self, start, fields=(), end=False):
        fields = [(n.lower(), v) for n, v in fields]
        if self.connection.server:
            pseudo = [(":status", str(start["status"]))]
        else:
            pseudo = [(":method", start["method"]), (":scheme", self.connection.scheme),
                      (":authority", start.get("authority", "weir.test")), (":path", start["target"])]

        def act(h):
            if self.stream is None:
                self.stream = h.get_next_available_stream_id()
                self.connection.exchanges[self.stream] = self
            h.send_headers(self.stream, pseudo + fields, end_stream=end)
        self.connection.send(act)

    def data(self, content):
        while content:
            n = self.connection.window(self.stream, len(content))
            piece, content = content[:n], content[n:]
            self.connection.send(lambda h, p=piece: h.send_data(self.stream, p))

    def end(self, trailers=()):
        if trailers:
            self.connection.send(lambda h: h.send_headers(self.stream, [(n.lower(), v) for n, v in trailers], end_stream=True))
        else:
            self.connection.send(lambda h: h.end_stream(self.stream))

    def reset(self):
        self.connection.send(lambda h: h.reset_stream(self.stream, h2.errors.ErrorCodes.CANCEL))

    def next(self):
        try:
            event = self.events.get(timeout=TIMEOUT)
        except queue.Empty:
            event = ("reset", "nothing came")
        self.over = event[0] in ("end", "reset")
        return event


class H2Connection:
    """Credit goes back at once, unless told otherwise."""

    def __init__(self, sock, server, scheme="http"):
        self.socket, self.server, self.scheme = sock, server, scheme
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=not server, header_encoding="latin-1", validate_outbound_headers=False,
            normalize_outbound_headers=False, validate_inbound_headers=False))
        self.h2.local_settings.update({h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 300_000})
        self.h2.decoder.max_header_list_size = 300_000
        self.exchanges, self.handler, self.gone = {}, None, False
        self.credit = True  # False: what is received from now on is never acknowledged
        self.moved = threading.Condition()
        self.send(lambda h: h.initiate_connection())

    def start(self):
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def exchange(self):
        return H2Exchange(self)

    def serve(self, handler):
        self.handler = handler
        self._read()

    def send(self, act):
        with self.moved:
            try:
                act(self.h2)
                self.socket.sendall(self.h2.data_to_send())
            except (OSError, KeyError, h2.exceptions.ProtocolError):
                pass  # the other end has left: the reader says so

    def window(self, stream, wanted):
        def room():
            try:
                return min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            except h2.exceptions.ProtocolError:
                return wanted
        with self.moved:
            if not self.moved.wait_for(lambda: self.gone or room() > 0, timeout=TIMEOUT) or self.gone:
                raise OSError("no room to send")
            return min(wanted, room())

    def _read(self):
        try:
            while data := self.socket.recv(1 << 18):
                with self.moved:
                    found = self.h2.receive_data(data)
                    for event in found:
                        self._take(event)
                    self.socket.sendall(self.h2.data_to_send())
                    self.moved.notify_all()
        except (OSError, h2.exceptions.ProtocolError):
            pass
        with self.moved:
            self.gone = True
            self.moved.notify_all()
            self.socket.close()
        for ex in list(self.exchanges.values()):
            ex.events.put(("reset", "the connection is gone"))

    def _take(self, event):
        kind, stream = type(event), getattr(event, "stream_id", None)
        if kind is h2.events.RequestReceived:
            ex = self.exchanges[stream] = H2Exchange(self, stream)
            start, fields = self._split(event.headers)
            threading.Thread(target=self.handler, args=(ex, start, fields), daemon=True).start()
        ex = self.exchanges.get(stream)
        if ex is None:
            return
        if kind is h2.events.InformationalResponseReceived:
            start, fields = self._split(event.headers)
            ex.events.put(("interim", start["status"], fields))
        elif kind is h2.events.ResponseReceived:
            ex.events.put(("head", *self._split(event.headers)))
        elif kind is h2.events.DataReceived:
            if event.data:
                ex.events.put(("data", event.data))
            if event.flow_controlled_length and self.credit:
                try:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                except h2.exceptions.ProtocolError:
                    pass
        elif kind is h2.events.TrailersReceived:
            ex.trailers = list(event.headers)
        elif kind is h2.events.StreamEnded:
            ex.events.put(("end", getattr(ex, "trailers", [])))
        elif kind is h2.events.StreamReset:
            ex.events.put(("reset", int(event.error_code)))

    @staticmethod
    def _split(headers):
        pseudo = {n[1:]: v for n, v in headers if n.startswith(":")}
        fields = [(n, v) for n, v in headers if not n.startswith(":")]
        if "status" in pseudo:
            return {"status": int(pseudo["status"])}, fields
        return {"method": pseudo.get("method"), "target": pseudo.get("path"), "authority": pseudo.get("authority"),
                "protocol": pseudo.get("protocol")}, fields

    def close(self):
        shut(self.socket)


# ---- both ----

def connect(version, port, tls=None):
    s = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    if tls:
        context = ssl.create_default_context(cafile=tls)
        context.set_alpn_protocols(["h2" if version == "h2" else "http/1.1"])
        s = context.wrap_socket(s, server_hostname="localhost")
    return H2Connection(s, False, "https" if tls else "http").start() if version == "h2" else H1Connection(s, False)


class Server:
    """Every request of every connection goes to `handler(exchange, start, fields)`, which may be exchanged between requests."""

    def __init__(self, version, address="127.0.0.1", tls=None):
        self.version, self.tls, self.handler = version, tls, None
        self.connections = []
        self.listener = socket.create_server((address, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            if self.tls:
                s = self.tls.wrap_socket(s, server_side=True)
        except OSError:
            return
        connection = H2Connection(s, True) if self.version == "h2" else H1Connection(s, True)
        self.connections.append(connection)
        connection.serve(self._handle)

    def _handle(self, ex, start, fields):
        return self.handler(ex, start, fields)

    def close(self):
        shut(self.listener)
        self.listener.close()
        for c in self.connections:
            shut(c.socket)

# SPDX-License-Identifier: Apache-2.0
"""The attack table: what a client says, or a server answers, and what must come of it. test_attacks.py sends each row over every way it applies
to. docs/attacks.md maps the attacks to these rows. A name is an attack and its variant."""

from hostile import END_HEADERS, END_STREAM, OK, PADDED, frame, u32
from hostile import CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY, PUSH, RST, SETTINGS, WINDOW

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


class Refused:
    """One answer with one of these statuses and the end of the connection (HTTP/2: that, a reset, or GOAWAY); the server hears nothing.
    `begun`: it may have seen the head, but never a whole message."""

    def __init__(self, *statuses, begun=False):
        self.statuses, self.begun = statuses or (400,), begun


class Passed:
    """Answered with 200; the server got exactly this message, once. None = not looked at."""

    def __init__(self, method=b"GET", path=b"/", authority=b"a", body=b"", has=(), lacks=(), trailers=None, times=1):
        self.method, self.path, self.authority, self.body, self.times = method, path, authority, body, times
        self.has, self.lacks, self.trailers = dict(has), lacks, trailers


def request(*lines, body=b"", start=b"POST / HTTP/1.1", host=b"Host: a"):
    return b"\r\n".join([start, *([host] if host else []), *lines]) + b"\r\n\r\n" + body


def get(*lines, **kwargs):
    return request(*lines, **{"start": b"GET / HTTP/1.1", **kwargs})


CL, TE = b"Content-Length: ", b"Transfer-Encoding: "
END = b"0\r\n\r\n"


def chunked(body, *lines, **kwargs):
    return request(TE + b"chunked", *lines, body=body, **kwargs)


CUT = Refused(400, begun=True)
POST = dict(method=b"POST")

# ---- HTTP/1 requests: name -> (bytes, outcome) ----

H1 = {
    # framing
    "CL.TE": (request(CL + b"6", TE + b"chunked", body=END + b"G"), Refused()),
    "TE.CL": (request(TE + b"chunked", CL + b"4", body=b"5c\r\n" + SMUGGLED), Refused()),
    "TE.TE vertical tab": (request(TE + b"\x0bchunked", body=END), Refused(400, 501)),
    "TE.TE quoted": (request(TE + b'"chunked"', body=END), Refused(400, 501)),
    "TE.TE comma first": (request(TE + b",chunked", body=END), Refused(400, 501)),
    "TE.TE comma last": (request(TE + b"chunked,", body=END), Refused(400, 501)),
    "TE.TE gzip": (request(TE + b"gzip, chunked", body=END), Refused(400, 501)),
    "TE.TE identity": (request(TE + b"identity"), Refused(400, 501)),
    "TE.TE identity, chunked": (request(TE + b"identity, chunked", body=END), Refused(400, 501)),
    "TE.TE two fields": (request(TE + b"chunked", TE + b"chunked", body=END), Refused(400, 501)),
    "TE.TE two fields, identity": (request(TE + b"chunked", TE + b"identity", body=END), Refused(400, 501)),
    "TE.TE chunked twice": (request(TE + b"chunked, chunked", body=END), Refused(400, 501)),
    "TE.TE parameter": (request(TE + b"chunked;x=y", body=END), Refused(400, 501)),
    "TE.TE xchunked": (request(TE + b"xchunked", body=END), Refused(400, 501)),
    "TE.TE empty": (request(b"Transfer-Encoding:", body=END), Refused(400, 501)),
    "TE.TE obs-text": (request(TE + b"chunked\xff", body=END), Refused(400, 501)),
    "TE.TE NUL": (request(TE + b"chunked\0", body=END), Refused(400, 501)),
    "TE.TE folded": (request(b"Transfer-Encoding:\r\n chunked", body=END), Refused(400, 501)),
    "TE.TE space before colon": (request(b"Transfer-Encoding : chunked", body=END), Refused()),
    "TE.TE tab before colon": (request(b"Transfer-Encoding\t: chunked", body=END), Refused()),
    "TE.TE underscore": (request(b"Transfer_Encoding: chunked", body=END), Refused()),
    "TE.TE any case": (request(TE + b"cHuNkEd\t ", body=b"3\r\nabc\r\n" + END), Passed(**POST, body=b"abc")),
    "TE in HTTP/1.0": (request(TE + b"chunked", start=b"POST / HTTP/1.0", body=END), Refused()),
    "CL.0 GET with a body": (get(CL + str(len(SMUGGLED)).encode(), body=SMUGGLED), Passed(body=SMUGGLED)),
    "CL.0 HEAD with a body": (request(CL + str(len(SMUGGLED)).encode(), start=b"HEAD / HTTP/1.1", body=SMUGGLED),
                              Passed(method=b"HEAD", body=SMUGGLED)),
    "Expect junk": (request(b"Expect: 100-continue, x", CL + b"1", body=b"x"), Refused(417)),
    "Expect other": (request(b"Expect: y 100-continue", CL + b"1", body=b"x"), Refused(417)),
    "Expect twice": (request(b"Expect: 100-continue", b"Expect: 100-continue", CL + b"1", body=b"x"), Refused(417)),
    "Expect with a body": (request(b"Expect: 100-Continue", CL + str(len(SMUGGLED)).encode(), body=SMUGGLED), Passed(**POST, body=SMUGGLED)),
    "Expect without a body": (get(b"Expect: 100-continue"), Passed(lacks=[b"expect"])),
    "CL twice": (request(CL + b"5", CL + b"6", body=b"hello"), Refused()),
    "CL twice the same": (request(CL + b"5", CL + b"5", body=b"hello"), Refused()),
    "CL list": (request(CL + b"5, 5", body=b"hello"), Refused()),
    "CL plus": (request(CL + b"+5", body=b"hello"), Refused()),
    "CL minus": (request(CL + b"-5", body=b"hello"), Refused()),
    "CL hex": (request(CL + b"0x5", body=b"hello"), Refused()),
    "CL underscore": (request(CL + b"1_0", body=b"0123456789"), Refused()),
    "CL 2^64": (request(CL + b"18446744073709551616"), Refused()),
    "CL 2^64+5": (request(CL + b"18446744073709551621", body=b"hello"), Refused()),
    "CL empty": (request(b"Content-Length:"), Refused()),
    "CL words": (request(CL + b"five", body=b"hello"), Refused()),
    "CL blank inside": (request(CL + b"5 5", body=b"hello"), Refused()),
    "CL underscore name": (request(b"Content_Length: 5", body=b"hello"), Refused()),
    "CL leading zeros": (request(CL + b"0005", body=b"hello"), Passed(**POST, body=b"hello")),
    # syntax
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", Refused()),
    "bare LF in a field": (b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", Refused()),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Refused()),
    "bare CR in a value": (get(b"X: 1\rY: 2"), Refused()),
    "bare CR in the line": (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Refused()),
    "NUL in a value": (get(b"X: a\0b"), Refused()),
    "NUL in a name": (get(b"X\0: a"), Refused()),
    "NUL in the target": (get(start=b"GET /a\0b HTTP/1.1"), Refused()),
    "control in a value": (get(b"X: a\x01b"), Refused()),
    "DEL in a value": (get(b"X: a\x7fb"), Refused()),
    "obs-fold": (get(b"X: a\r\n b"), Refused()),
    "space before colon": (get(b"X : a"), Refused()),
    "no colon": (get(b"X"), Refused()),
    "empty name": (get(b": a"), Refused()),
    "blank before the first field": (b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n", Refused()),
    "bad name parenthesis": (get(b"X(: a"), Refused()),
    "bad name obs-text": (get(b"X\xe9: a"), Refused()),
    "obs-text in a value": (get(b"X: caf\xe9"), Passed(has={b"x": b"caf\xe9"})),
    # chunks
    "chunk 0x": (chunked(b"0x3\r\nabc\r\n" + END), CUT),
    "chunk plus": (chunked(b"+3\r\nabc\r\n" + END), CUT),
    "chunk minus": (chunked(b"-3\r\nabc\r\n" + END), CUT),
    "chunk blank before": (chunked(b" 3\r\nabc\r\n" + END), CUT),
    "chunk no size": (chunked(b"\r\nabc\r\n" + END), CUT),
    "chunk 64-bit wrap": (chunked(b"10000000000000003\r\nabc\r\n" + END), CUT),
    "chunk bare LF": (chunked(b"3\nabc\r\n" + END), CUT),
    "chunk bare CR": (chunked(b"3\rabc\r\n" + END), CUT),
    "chunk TERM.EXT": (chunked(b"3;a\nb\r\nabc\r\n" + END), CUT),
    "chunk EXT.TERM": (chunked(b"3;a\rb\r\nabc\r\n" + END), CUT),
    "chunk ext NUL": (chunked(b"3;a\0b\r\nabc\r\n" + END), CUT),
    "chunk too long": (chunked(b"3\r\nabcd\r\n" + END), CUT),
    "chunk ended by LF": (chunked(b"3\r\nabc\n" + END), CUT),
    "chunk long ext": (chunked(b"3;" + b"x" * 20000 + b"\r\nabc\r\n" + END), CUT),
    "chunk many exts": (chunked(b"1;a=b\r\nx\r\n" * 6000 + END), CUT),
    "chunk ext dropped": (chunked(b'3;ext="1"\r\nabc\r\n' + END), Passed(**POST, body=b"abc")),
    "chunk leading zeros": (chunked(b"0003\r\nabc\r\n000\r\n\r\n"), Passed(**POST, body=b"abc")),
    "chunk tiny": (chunked(b"1\r\nx\r\n" * 2000 + END), Passed(**POST, body=b"x" * 2000)),
    # trailers
    "trailer framing and routing": (chunked(b"3\r\nabc\r\n0\r\nContent-Length: 5\r\nHost: evil\r\nX-T: 1\r\n\r\n", b"TE: trailers"),
                                    Passed(**POST, body=b"abc", lacks=[b"x-t"], trailers=[(b"x-t", b"1")])),
    "trailer credentials": (chunked(b"0\r\nAuthorization: evil\r\nCookie: evil\r\nSet-Cookie: evil\r\nX-Forwarded-For: evil\r\n"
                                    b"x_forwarded_client_cert: evil\r\nForwarded: evil\r\nX-Envoy-Peer: evil\r\nL5d-Client-Id: evil\r\n"
                                    b"X-Weir-H1: 1tn\r\nX-T: 1\r\n\r\n", b"TE: trailers"),
                            Passed(**POST, trailers=[(b"x-t", b"1")])),
    "trailer coding": (chunked(b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", b"TE: trailers"), Passed(**POST, body=b"abc", trailers=[])),
    "trailer length and coding": (chunked(b"3\r\nabc\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), CUT),
    "trailer bare LF": (chunked(b"0\r\nX: 1\n\r\n"), CUT),
    "trailer folded": (chunked(b"0\r\nX: 1\r\n 2\r\n\r\n"), CUT),
    "trailer NUL": (chunked(b"0\r\nX: 1\0\r\n\r\n"), CUT),
    "trailer size": (chunked(b"0\r\nX: " + b"y" * 20000 + b"\r\n\r\n"), Refused(400, 431, begun=True)),
    "trailer count": (chunked(b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n"), Refused(400, 431, begun=True)),
    # Host and target
    "Host none": (get(host=None), Refused()),
    "Host two": (get(b"Host: b"), Refused()),
    "Host two the same": (get(b"Host: a"), Refused()),
    "Host empty": (get(host=b"Host:"), Refused()),
    "Host list": (get(host=b"Host: a, b"), Refused()),
    "Host userinfo": (get(host=b"Host: u@a"), Refused()),
    "Host path": (get(host=b"Host: a/b"), Refused()),
    "Host query": (get(host=b"Host: a?b"), Refused()),
    "Host port words": (get(host=b"Host: a:b"), Refused()),
    "Host port range": (get(host=b"Host: a:65536"), Refused()),
    "Host port empty": (get(host=b"Host: a:"), Refused()),
    "Host blank": (get(host=b"Host: a b"), Refused()),
    "Host tab": (get(host=b"Host: a\tb"), Refused()),
    "Host escape": (get(host=b"Host: a%2eb"), Refused()),
    "Host backslash": (get(host=b"Host: a\\b"), Refused()),
    "Host bracket": (get(host=b"Host: [::1"), Refused()),
    "Host with a port": (get(host=b"Host: a:81"), Passed(authority=b"a:81")),
    "absolute-form replaces Host": (get(start=b"GET http://inside/x HTTP/1.1"), Passed(path=b"/x", authority=b"inside")),
    "absolute-form userinfo": (get(start=b"GET http://u@inside/ HTTP/1.1"), Refused()),
    "absolute-form no authority": (get(start=b"GET http:///x HTTP/1.1"), Refused()),
    "absolute-form other scheme": (get(start=b"GET ftp://inside/ HTTP/1.1"), Refused()),
    "absolute-form one slash": (get(start=b"GET http:/inside HTTP/1.1"), Refused()),
    "absolute-form two Hosts": (get(b"Host: b", start=b"GET http://inside/ HTTP/1.1"), Refused()),
    "target asterisk": (get(start=b"GET * HTTP/1.1"), Refused()),
    "target OPTIONS asterisk": (get(start=b"OPTIONS * HTTP/1.1"), Passed(method=b"OPTIONS", path=b"*")),
    "target CONNECT": (get(start=b"CONNECT a:1 HTTP/1.1"), Refused(405)),
    "target CONNECT with a body": (request(CL + b"5", start=b"CONNECT a:1 HTTP/1.1", body=b"hello"), Refused(400, 405)),
    "target CONNECT path": (get(start=b"CONNECT / HTTP/1.1"), Refused()),
    "target no slash": (get(start=b"GET a HTTP/1.1"), Refused()),
    "target fragment": (get(start=b"GET /a#b HTTP/1.1"), Refused()),
    "target blank": (get(start=b"GET /a b HTTP/1.1"), Refused()),
    "target tab": (get(start=b"GET /a\tb HTTP/1.1"), Refused()),
    "target obs-text": (get(start=b"GET /\xe9 HTTP/1.1"), Refused()),
    "target backslash": (get(start=b"GET /a\\b HTTP/1.1"), Refused()),
    # sizes
    "size target": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", Refused(414)),
    "size field count": (get(*[b"X-%d: 1" % n for n in range(150)]), Refused(431)),
    "size field": (get(b"X: " + b"a" * 70000), Refused(431)),
    "size Connection options": (get(b"Connection: " + b",".join([b"x"] * 200)), Refused()),
    # versions and methods
    "version HTTP/0.9": (b"GET /\r\n\r\n", Refused()),
    "version HTTP/2.0": (get(start=b"GET / HTTP/2.0"), Refused(400, 505)),
    "version HTTP/3.7": (get(start=b"GET / HTTP/3.7"), Refused(400, 505)),
    "version HTTP/1.1x": (get(start=b"GET / HTTP/1.1x"), Refused()),
    "version lower case": (get(start=b"GET / http/1.1"), Refused()),
    "version two blanks": (get(start=b"GET /  HTTP/1.1"), Refused()),
    "method unknown": (get(start=b"GERT / HTTP/1.1"), Refused(501)),
    "method lower case": (get(start=b"get / HTTP/1.1"), Refused(400, 501)),
    # pipelining
    "pipeline in order": (get() * 5, Passed(times=5)),
    "pipeline then junk": (get() + b"\0\0\0\0", Passed()),
    "pipeline empty line": (b"\r\n" + get(), Passed()),
    # hop by hop
    "h2c upgrade": (get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
                    Passed(lacks=[b"upgrade", b"http2-settings", b"connection"])),
    "h2c upgrade in a list": (get(b"Connection: Upgrade", b"Upgrade: websocket, h2c"), Passed(lacks=[b"upgrade", b"connection"])),
    "h2c upgrade with a body": (request(b"Connection: Upgrade", b"Upgrade: h2c", CL + b"3", body=b"abc"), Passed(**POST, body=b"abc", lacks=[b"upgrade"])),
    "HTTP2-Settings alone": (get(b"HTTP2-Settings: AAMAAABkAAQAAP__"), Passed(lacks=[b"http2-settings"])),
    "upgrade with a body": (request(b"Connection: Upgrade", b"Upgrade: websocket", CL + str(len(SMUGGLED)).encode(), body=SMUGGLED),
                            Passed(**POST, body=SMUGGLED, lacks=[b"upgrade"])),
    "Connection nominates Host": (get(b"Connection: Host"), Passed()),
    "Connection nominates Content-Length": (request(b"Connection: Content-Length", CL + b"5", body=b"hello"), Passed(**POST, body=b"hello")),
    "Connection nominates Transfer-Encoding": (chunked(b"3\r\nabc\r\n" + END, b"Connection: transfer-encoding"), Passed(**POST, body=b"abc")),
    "Connection nominates identity": (get(b"Connection: X-Forwarded-For, x-forwarded-proto, x-request-id", b"X-Forwarded-For: 9.9.9.9"),
                                      Passed(has={b"x-forwarded-for": b"127.0.0.1", b"x-forwarded-proto": b"http"})),
    "Connection nominates a field": (get(b"Connection: X-Secret", b"X-Secret: 1", b"X-Other: 2"), Passed(has={b"x-other": b"2"}, lacks=[b"x-secret", b"connection"])),
    "Connection nominates across fields": (get(b"Connection: X-A", b"Connection: keep-alive, X-B", b"X-A: 1", b"X-B: 2"), Passed(lacks=[b"x-a", b"x-b"])),
    "Keep-Alive and Proxy-Connection": (get(b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive"), Passed(lacks=[b"keep-alive", b"proxy-connection"])),
    # identity
    "identity headers": (get(b"X-Forwarded-Client-Cert: By=evil", b"X-Forwarded-For: 9.9.9.9", b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: evil",
                             b"Forwarded: for=evil", b"X-Envoy-External-Address: evil", b"L5d-Client-Id: evil", b"X-Weir-H1: 1tn"),
                         Passed(has={b"x-forwarded-for": b"127.0.0.1"}, lacks=[b"forwarded", b"x-forwarded-host", b"x-envoy-external-address",
                                                                               b"l5d-client-id", b"x-weir-h1"])),
    "identity headers spelt otherwise": (get(b"X_Forwarded_Client_Cert: evil", b"x-forwarded_for: evil", b"X_ENVOY_PEER: evil", b"l5d_client_id: evil",
                                             b"X.Forwarded.For: evil"),
                                         Passed(has={b"x-forwarded-for": b"127.0.0.1"}, lacks=[b"x_forwarded_client_cert", b"x-forwarded_for",
                                                                                               b"x_envoy_peer", b"l5d_client_id", b"x.forwarded.for"])),
}

# Where a route looks at the path: what is decided on is what is forwarded.
PATHS = {
    "%2f": (b"/a%2fb", None), "%2F": (b"/a%2Fb", None), "%5c": (b"/a%5cb", None), "%00": (b"/a%00", None), "above the root": (b"/../a", None),
    "encoded above the root": (b"/%2e%2E/a", None), "..;": (b"/a/..;/b", None), "..%3b": (b"/a/..%3bx/b", None), "cut escape": (b"/a%2", None),
    "not an escape": (b"/a%zz", None), "..": (b"/a/../b", b"/b"), "encoded ..": (b"/a/%2e%2e/b", b"/b"), ".": (b"/a/./b", b"/a/b"),
    "//": (b"//a//b", b"/a/b"), "unreserved escapes": (b"/%61%7Eb", b"/a~b"), "case of escapes": (b"/a%c3%a9", b"/a%C3%A9"),
    "double encoding": (b"/%252e%252e/a", b"/%252e%252e/a"), "dots in the query": (b"/a?b=/../c%2f", b"/a?b=/../c%2f"),
    "parameter": (b"/a;x=1/b", b"/a;x=1/b"),
}

# ---- HTTP/2 requests: name -> (header list, content or None, trailers or None, outcome) ----

HEAD = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]


def but(**pseudo):
    return [(n, pseudo.get(n[1:].decode(), v)) for n, v in HEAD if pseudo.get(n[1:].decode(), v) is not None]


POST2 = but(method=b"POST")
NO = Refused(400)


def field(name, value, base=None):
    return ((base or HEAD) + [(name, value)], None, None, NO)


H2 = {
    "CR in a value": field(b"x", b"a\rb"), "LF in a value": field(b"x", b"a\nb"), "CRLF in a value": field(b"x", b"a\r\nHost: b"),
    "request in a value": field(b"x", b"a\r\n\r\n" + SMUGGLED), "NUL in a value": field(b"x", b"a\0b"), "blank before a value": field(b"x", b" a"),
    "blank behind a value": field(b"x", b"a "), "CRLF in a name": field(b"x: y\r\nz", b"a"), "NUL in a name": field(b"x\0", b"a"), "LF in a name": field(b"x\ny", b"a"),
    "upper case name": field(b"X-Upper", b"a"), "colon in a name": field(b"x:y", b"a"), "blank in a name": field(b"x y", b"a"), "empty name": field(b"", b"a"),
    "obs-text in a name": field(b"x\xe9", b"a"),
    "path with a blank": (but(path=b"/a b"), None, None, NO), "path with CRLF": (but(path=b"/a HTTP/1.1\r\nX: y"), None, None, NO),
    "path without a slash": (but(path=b"a"), None, None, NO), "path absolute": (but(path=b"http://b/"), None, None, NO),
    "path empty": (but(path=b""), None, None, NO), "path asterisk": (but(path=b"*"), None, None, NO), "path fragment": (but(path=b"/a#b"), None, None, NO),
    "path tab": (but(path=b"/a\tb"), None, None, NO), "path obs-text": (but(path=b"/\xe9"), None, None, NO), "path backslash": (but(path=b"/a\\b"), None, None, NO),
    "path request": (but(path=b"/ HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED), None, None, NO),
    "method with a blank": (but(method=b"GET /smuggled HTTP/1.1"), None, None, NO), "method with CRLF": (but(method=b"GET\r\n"), None, None, NO),
    "method empty": (but(method=b""), None, None, NO), "method unknown": (but(method=b"GERT"), None, None, Refused(501)),
    "authority userinfo": (but(authority=b"u@a"), None, None, NO), "authority path": (but(authority=b"a/b"), None, None, NO),
    "authority list": (but(authority=b"a, b"), None, None, NO), "authority CRLF": (but(authority=b"a\r\nX: y"), None, None, NO),
    "authority port": (but(authority=b"a:99999"), None, None, NO), "authority empty": (but(authority=b""), None, None, NO),
    "scheme junk": (but(scheme=b"http://b/?"), None, None, NO),
    "pseudo twice": (HEAD + [(b":path", b"/x")], None, None, NO), "pseudo unknown": ([(b":foo", b"1")] + HEAD, None, None, NO),
    "pseudo late": (HEAD[:3] + [(b"x", b"1"), HEAD[3]], None, None, NO), "pseudo status": ([(b":status", b"200")] + HEAD, None, None, NO),
    "pseudo in trailers": (POST2, b"x", [(b":path", b"/x")], Refused(400, begun=True)),
    "no method": (but(method=None), None, None, NO), "no scheme": (but(scheme=None), None, None, NO), "no path": (but(path=None), None, None, NO),
    "no authority": (but(authority=None), None, None, NO),
    "transfer-encoding": field(b"transfer-encoding", b"chunked"), "connection": field(b"connection", b"close"), "upgrade": field(b"upgrade", b"h2c"),
    "keep-alive": field(b"keep-alive", b"1"), "proxy-connection": field(b"proxy-connection", b"close"), "te gzip": field(b"te", b"gzip"),
    "te list": field(b"te", b"trailers, gzip"), "transfer_encoding": field(b"transfer_encoding", b"chunked"), "content_length": field(b"content_length", b"5"),
    "te trailers": (HEAD + [(b"te", b"trailers")], None, None, Passed()),
    "http2-settings": (HEAD + [(b"http2-settings", b"AAA")], None, None, Passed(lacks=[b"http2-settings"])),
    "length and no content": (POST2 + [(b"content-length", b"5")], None, None, NO),
    "length too long": (POST2 + [(b"content-length", b"9")], b"hello", None, Refused(400, begun=True)),
    "length too short": (POST2 + [(b"content-length", b"4")], b"hello", None, Refused(400, begun=True)),
    "length too long with trailers": (POST2 + [(b"content-length", b"9")], b"hello", [(b"x-t", b"1")], Refused(400, begun=True)),
    "length plus": (POST2 + [(b"content-length", b"+5")], b"hello", None, NO), "length list": (POST2 + [(b"content-length", b"5, 5")], b"hello", None, NO),
    "length twice": (POST2 + [(b"content-length", b"5")] * 2, b"hello", None, NO), "length empty": (POST2 + [(b"content-length", b"")], b"hello", None, NO),
    "length 2^64": (POST2 + [(b"content-length", b"18446744073709551621")], b"hello", None, NO),
    "length right": (POST2 + [(b"content-length", b"5")], b"hello", None, Passed(**POST, body=b"hello")),
    "GET with a request in its body": (HEAD, SMUGGLED, None, Passed(body=SMUGGLED)),
    "chunks in a body": (POST2, END + SMUGGLED, None, Passed(**POST, body=END + SMUGGLED)),
    "host differs": field(b"host", b"b"), "two hosts": (but(authority=None) + [(b"host", b"a"), (b"host", b"a")], None, None, NO),
    "host same": (HEAD + [(b"host", b"A")], None, None, Passed()), "host alone": (but(authority=None) + [(b"host", b"a")], None, None, Passed()),
    "host junk": (but(authority=None) + [(b"host", b"a b")], None, None, NO),
    "CONNECT": ([(b":method", b"CONNECT"), (b":authority", b"a:1")], b"hello", None, Refused(405)),
    "CONNECT with a path": (but(method=b"CONNECT"), None, None, NO),
    "protocol without CONNECT": ([(b":protocol", b"websocket")] + HEAD, None, None, NO),
    "protocol h2c": ([(b":protocol", b"h2c")] + but(method=b"CONNECT"), None, None, NO),
    "protocol list": ([(b":protocol", b"a, b")] + but(method=b"CONNECT"), None, None, NO),
    "protocol CRLF": ([(b":protocol", b"x\r\nHost: b")] + but(method=b"CONNECT"), None, None, NO),
    "expect junk": (POST2 + [(b"expect", b"y")], b"x", None, Refused(417)),
    "cookie crumbs": (HEAD + [(b"cookie", b"a=b"), (b"cookie", b"c=d")], None, None, Passed(has={b"cookie": b"a=b; c=d"})),
    "cookie empty crumb": (HEAD + [(b"cookie", b"a=b"), (b"cookie", b"")], None, None, Passed(has={b"cookie": b"a=b"})),
    "cookie crumbs many": (HEAD + [(b"cookie", b"a=b")] * 3000, None, None, Refused(431)),
    "identity headers": (HEAD + [(n, b"evil") for n in (b"x-forwarded-client-cert", b"x-forwarded-for", b"x-forwarded-host", b"forwarded", b"x-envoy-peer",
                                                        b"l5d-client-id", b"x-weir-h1", b"x_forwarded_for", b"x.forwarded.for")], None, None,
                         Passed(has={b"x-forwarded-for": b"127.0.0.1"}, lacks=[b"x_forwarded_for", b"x.forwarded.for", b"forwarded", b"l5d-client-id", b"x-weir-h1"])),
    "trailer framing and credentials": (POST2, b"x", [(b"content-length", b"1")] + [(n, b"evil") for n in (
        b"host", b"authorization", b"cookie", b"x-forwarded-for", b"x_forwarded_for", b"x-envoy-peer", b"l5d-client-id", b"x-weir-h1",
        b"forwarded", b"trailer", b"content-encoding", b"set-cookie")] + [(b"x-t", b"1")], Passed(**POST, body=b"x", trailers=[(b"x-t", b"1")])),
    "trailer length differs": (POST2, b"x", [(b"content-length", b"2")], Refused(400, begun=True)),
    "trailer transfer-encoding": (POST2, b"x", [(b"transfer-encoding", b"chunked")], Refused(400, begun=True)),
    "trailer CRLF": (POST2, b"x", [(b"x", b"a\r\nb: c")], Refused(400, begun=True)),
    "trailer size": (POST2, b"x", [(b"x", b"y" * 40000)], Refused(400, 431, begun=True)),
    "size target": (but(path=b"/" + b"a" * 20000), None, None, Refused(414)),
    "size field count": (HEAD + [(b"x-%d" % n, b"1") for n in range(150)], None, None, Refused(431)),
    "size list": (HEAD + [(b"x", b"a" * 70000)], None, None, Refused(431)),
    "expansion to HTTP/1": (HEAD + [(b"x-%d" % n, b"a" * 700) for n in range(90)], None, None, Refused(431)),
}

# ---- HTTP/2 frames on one connection: name -> function of the client. The connection must end, or the stream be refused. ----


def opened(c, end=True, stream=1, path=b"/"):
    c.headers(stream, but(path=path), end)


def rapid_reset(c):
    for n in range(2000):
        opened(c, stream=2 * n + 1)
        c.send(frame(RST, 0, 2 * n + 1, u32(8)))


def made_to_reset(act):
    def say(c):
        for n in range(600):
            c.headers(2 * n + 1, POST2, False)
            act(c, 2 * n + 1)
    return say


def repeat(count, *parts):
    return lambda c: c.send(b"".join(parts) * count)


def on_stream(count, *parts):
    def say(c):
        c.headers(1, POST2, False)
        c.send(b"".join(parts) * count)
    return say


def continuations(c):
    c.send(frame(HEADERS, END_STREAM, 1, c.block(HEAD)))
    for _ in range(3000):
        c.send(frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y"))


def hpack_bomb(c):
    block = c.block(HEAD) + c.encoder.encode([(b"bomb", b"x" * 3900)]) + b"\xbe" * 16000
    c.send(frame(HEADERS, END_STREAM, 1, block[:16000]) + frame(CONTINUATION, END_HEADERS, 1, block[16000:]))


def empty_names(c):
    for n in range(400):
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, c.block(HEAD) + b"\x00\x00\x00" * 50))


def table_churn(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, (b"\x20\x3f\xe1\x1f" * 4000)[:16000] + c.block(HEAD)))


def thirds(data):
    n = len(data) // 3
    return data[:n], data[n:2 * n], data[2 * n:]


EMPTY = frame(DATA, 0, 1)
FLOODS = {
    "rapid reset": rapid_reset,
    "made-you-reset window": made_to_reset(lambda c, s: c.send(frame(WINDOW, 0, s, u32(0x7fffffff)))),
    "made-you-reset zero increment": made_to_reset(lambda c, s: c.send(frame(WINDOW, 0, s, u32(0)))),
    "made-you-reset length": made_to_reset(lambda c, s: c.headers(s, [(b"x", b"no end")], False)),
    "streams beyond the limit": lambda c: [opened(c, False, 2 * n + 1) for n in range(5000)],
    "continuation flood": continuations,
    "PING flood": repeat(20000, frame(PING, 0, 0, b"12345678")),
    "SETTINGS flood": repeat(20000, frame(SETTINGS, 0, 0, b"\0\3" + u32(100))),
    "empty SETTINGS flood": repeat(20000, frame(SETTINGS)),
    "empty DATA flood": on_stream(20000, EMPTY),
    "padding flood": on_stream(20000, frame(DATA, PADDED, 1, b"\x07" + b"\0" * 7)),
    "empty name flood": empty_names,
    "PRIORITY flood": repeat(20000, frame(PRIORITY, 0, 1, u32(0) + b"\x10")),
    "WINDOW_UPDATE flood": repeat(20000, frame(WINDOW, 0, 0, u32(1))),
    "unknown frame flood": repeat(20000, frame(200, 0, 0, b"x")),
    "RST of old streams flood": lambda c: (opened(c), c.send(frame(RST, 0, 1, u32(8)) * 20000)),
    "PRIORITY of itself": lambda c: (c.send(frame(PRIORITY, 0, 1, u32(1) + b"\0")), opened(c)),
    "HPACK bomb": hpack_bomb,
    "HPACK junk": lambda c: c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff\xff")),
    "DATA on stream 0": repeat(1, frame(DATA, 0, 0, b"x")),
    "DATA on an idle stream": repeat(1, frame(DATA, 0, 5, b"x")),
    "HEADERS on stream 0": lambda c: c.send(frame(HEADERS, END_HEADERS, 0, c.block(HEAD))),
    "HEADERS on an even stream": lambda c: c.send(frame(HEADERS, END_HEADERS, 2, c.block(HEAD))),
    "lone CONTINUATION": repeat(1, frame(CONTINUATION, END_HEADERS, 1, b"")),
    "frames inside a header block": lambda c: c.send(frame(HEADERS, 0, 1, c.block(HEAD)) + frame(PING, 0, 0, b"12345678")),
    "PUSH_PROMISE": lambda c: (opened(c), c.send(frame(PUSH, END_HEADERS, 1, u32(2) + c.block(HEAD)))),
    "window overflow": repeat(3, frame(WINDOW, 0, 0, u32(0x7fffffff))),
    "initial window too large": repeat(1, frame(SETTINGS, 0, 0, b"\0\4" + u32(0x80000000))),
    "frame too large": repeat(1, frame(200, 0, 0, b"x" * 20000)),
    "padding too long": on_stream(1, frame(DATA, PADDED, 1, b"\x09x")),
    "short PING": repeat(1, frame(PING, 0, 0, b"1")),
    "not HTTP/2 behind the preface": repeat(1, SMUGGLED),
}

# Odd, and of no use to an attacker: answered.
ODDITIES = {
    "HPACK table churn": table_churn,
    "unknown frames": lambda c: (c.send(frame(200, 0xff, 1, b"x") * 10), opened(c)),
    "unknown settings": lambda c: (c.send(frame(SETTINGS, 0, 0, b"\xff\xff" + u32(1))), opened(c)),
    "padded": lambda c: c.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x05" + c.block(HEAD) + b"\0" * 5)),
    "priority in HEADERS": lambda c: c.send(frame(HEADERS, END_HEADERS | END_STREAM | 0x20, 1, u32(0) + b"\xff" + c.block(HEAD))),
    "split over CONTINUATION": lambda c: c.send(frame(HEADERS, END_STREAM, 1, b"") + b"".join(
        frame(CONTINUATION, END_HEADERS if n == 3 else 0, 1, part) for n, part in enumerate((b"", *thirds(c.block(HEAD)))))),
}

# ---- HTTP/1 answers: name -> (bytes or list, outcome). 502: refused. "broken": begun, and seen to break. ----


def answer(*lines, body=b"", start=b"HTTP/1.1 200 OK"):
    return b"\r\n".join([start, *lines]) + b"\r\n\r\n" + body


CL3 = CL + b"3"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nPOISONED\n"
BROKEN = "broken"
# A body this long: what comes before the fault has been passed on.
RCHUNK = TE + b"chunked"

H1_ANSWERS = {
    "two lengths": (answer(CL3, CL + b"5", body=b"ok\n"), 502),
    "two lengths the same": (answer(CL3, CL3, body=b"ok\n"), 502),
    "length and chunked": (answer(CL3, RCHUNK, body=END), 502),
    "length list": (answer(CL + b"3, 3", body=b"ok\n"), 502), "length plus": (answer(CL + b"+3", body=b"ok\n"), 502),
    "length empty": (answer(b"Content-Length:", body=b"ok\n"), 502), "length 2^64": (answer(CL + b"18446744073709551619", body=b"ok\n"), 502),
    "length hex": (answer(CL + b"0x3", body=b"ok\n"), 502), "length imitated": (answer(b"Content_Length: 1", CL3, body=b"ok\n"), 502),
    "coding unknown": (answer(TE + b"gzip", body=b"ok\n"), 502), "coding identity": (answer(TE + b"identity", body=b"ok\n"), 502),
    "coding twice": (answer(RCHUNK, RCHUNK, body=END), 502), "coding list": (answer(TE + b"gzip, chunked", body=END), 502),
    "coding in HTTP/1.0": (answer(RCHUNK, start=b"HTTP/1.0 200 OK", body=END), 502),
    "coding with 204": (answer(RCHUNK, start=b"HTTP/1.1 204 No", body=END), 502),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nok\n", 502), "bare LF in a field": (b"HTTP/1.1 200 OK\r\nX: 1\nContent-Length: 3\r\n\r\nok\n", 502),
    "bare CR": (answer(b"X: a\rb", CL3, body=b"ok\n"), 502), "NUL in a value": (answer(b"X: a\0b", CL3, body=b"ok\n"), 502),
    "NUL in the reason": (answer(CL3, start=b"HTTP/1.1 200 O\0K", body=b"ok\n"), 502), "control in a value": (answer(b"X: a\x01b", CL3, body=b"ok\n"), 502),
    "obs-fold": (answer(b"X: a\r\n b", CL3, body=b"ok\n"), 502), "space before colon": (answer(b"X : a", CL3, body=b"ok\n"), 502),
    "no colon": (answer(b"X", CL3, body=b"ok\n"), 502), "empty name": (answer(b": a", CL3, body=b"ok\n"), 502),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 502), "HTTP/2.0": (answer(CL3, start=b"HTTP/2.0 200 OK", body=b"ok\n"), 502),
    "status 099": (answer(CL3, start=b"HTTP/1.1 099 Low", body=b"ok\n"), 502), "status four digits": (answer(CL3, start=b"HTTP/1.1 2000 High", body=b"ok\n"), 502),
    "status words": (answer(CL3, start=b"HTTP/1.1 abc OK", body=b"ok\n"), 502),
    "unasked 101": (answer(b"Upgrade: x", b"Connection: upgrade", start=b"HTTP/1.1 101 Switching Protocols"), 502),
    "1xx flood": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + OK, 502),
    "1xx few": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + OK, 200), "100 unasked": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200),
    "header bomb": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"Content-Length: 3\r\n\r\nok\n", 502),
    "header size": (answer(b"X: " + b"y" * 70000, CL3, body=b"ok\n"), 502),
    "closed at once": ([None], 502), "closed in the head": ([b"HTTP/1.1 200 OK\r\nX: ", None], 502),
    "closed in the body": ([answer(CL + b"10", body=b"ok\n"), None], BROKEN),
    "closed in a chunk": ([answer(RCHUNK, body=b"a\r\nok"), None], BROKEN), "closed before the last chunk": ([answer(RCHUNK, body=b"3\r\nok\n\r\n"), None], BROKEN),
    "chunk 0x": (answer(RCHUNK, body=b"0x3\r\nok\n\r\n" + END), BROKEN), "chunk plus": (answer(RCHUNK, body=b"+3\r\nok\n\r\n" + END), BROKEN),
    "chunk wrap": (answer(RCHUNK, body=b"10000000000000003\r\nok\n\r\n" + END), BROKEN), "chunk bare LF": (answer(RCHUNK, body=b"3\nok\n\r\n" + END), BROKEN),
    "chunk TERM.EXT": (answer(RCHUNK, body=b"3;a\nb\r\nok\n\r\n" + END), BROKEN), "chunk too long": (answer(RCHUNK, body=b"3\r\nok\nX\r\n" + END), BROKEN),
    "chunk long ext": (answer(RCHUNK, body=b"3;" + b"x" * 20000 + b"\r\nok\n\r\n" + END), BROKEN),
    "trailer NUL": (answer(RCHUNK, body=b"3\r\nok\n\r\n0\r\nX: \0\r\n\r\n"), BROKEN), "trailer size": (answer(RCHUNK, body=b"3\r\nok\n\r\n0\r\nX: " + b"y" * 20000 + b"\r\n\r\n"), BROKEN),
    "trailer framing": (answer(RCHUNK, body=b"3\r\nok\n\r\n0\r\nContent-Length: 9\r\nSet-Cookie: evil\r\n\r\n"), 200),
    "chunk ext dropped": (answer(RCHUNK, body=b"3;x=y\r\nok\n\r\n" + END), 200),
    "bytes behind the answer": (OK + POISON, 200), "bytes behind the last chunk": (answer(RCHUNK, body=b"3\r\nok\n\r\n" + END + POISON), 200),
    "junk behind the answer": (OK + b"\r\n\r\n", 200),
    "204 with content": (answer(CL3, start=b"HTTP/1.1 204 No", body=b"ok\n" + POISON), 204),
    "304 with content": (answer(CL3, start=b"HTTP/1.1 304 Not", body=b"ok\n" + POISON), 304),
    "nominated fields": (answer(b"Connection: X-Secret", b"X-Secret: evil", b"Keep-Alive: evil", CL3, body=b"ok\n"), 200),
    "until close": ([answer(b"X: y", body=b"ok\n"), None], 200),
    "mesh field": (answer(b"X-Weir-H1: 1t;evil", CL3, body=b"ok\n"), 200),
}

# ---- HTTP/2 answers: name -> (function of (encoder, stream), outcome) ----


def said(fields, content=b"ok\n", trailers=None, end=True):
    def say(encoder, stream):
        out = frame(HEADERS, END_HEADERS | (END_STREAM if end and content is None and trailers is None else 0), stream, encoder.encode(fields, huffman=False))
        if content is not None:
            out += frame(DATA, END_STREAM if end and trailers is None else 0, stream, content)
        if trailers is not None:
            out += frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, encoder.encode(trailers, huffman=False))
        return out
    return say


def then(*parts):
    """A head, then raw frames made by functions of the stream."""
    def say(encoder, stream):
        head = frame(HEADERS, END_HEADERS, stream, encoder.encode([(b":status", b"200")]))
        return head + b"".join(p(stream) if callable(p) else p for p in parts)
    return say


def bare(*parts):
    return lambda encoder, stream: b"".join(p(stream) if callable(p) else p for p in parts)


def interim(count):
    def say(encoder, stream):
        some = [frame(HEADERS, END_HEADERS, stream, encoder.encode([(b":status", b"103"), (b"x", b"y")])) for _ in range(count)]
        return b"".join(some) + said([(b":status", b"200")])(encoder, stream)
    return say


S200 = (b":status", b"200")


def bad(*fields):
    return (said([S200, *fields]), 502)


H2_ANSWERS = {
    "CR in a value": bad((b"x", b"a\rb")), "LF in a value": bad((b"x", b"a\nb")), "split": bad((b"x", b"a\r\n\r\n" + POISON)), "NUL in a value": bad((b"x", b"a\0b")),
    "upper case name": bad((b"X", b"y")), "colon in a name": bad((b"x:y", b"z")), "CRLF in a name": bad((b"x\r\ny", b"z")), "empty name": bad((b"", b"z")),
    "connection": bad((b"connection", b"close")), "transfer-encoding": bad((b"transfer-encoding", b"chunked")), "upgrade": bad((b"upgrade", b"x")),
    "transfer_encoding": bad((b"transfer_encoding", b"chunked")), "content_length": bad((b"content_length", b"1")),
    "no status": (said([(b"x", b"y")]), 502), "status twice": bad(S200), "status late": (said([(b"x", b"y"), S200]), 502),
    "status words": (said([(b":status", b"abc")]), 502), "status four digits": (said([(b":status", b"2000")]), 502), "status 099": (said([(b":status", b"099")]), 502),
    "status 101": (said([(b":status", b"101")], None, end=False), 502), "request pseudo": bad((b":path", b"/")), "pseudo unknown": bad((b":x", b"/")),
    "length too long": (said([S200, (b"content-length", b"9")]), BROKEN), "length too short": (said([S200, (b"content-length", b"2")]), BROKEN),
    "length plus": bad((b"content-length", b"+3")), "length twice": bad((b"content-length", b"3"), (b"content-length", b"3")),
    "length and no content": (said([S200, (b"content-length", b"3")], None), 502),
    "204 with content": (said([(b":status", b"204")]), (204, BROKEN)), "304 with content": (said([(b":status", b"304")]), (304, BROKEN)),
    "trailers without an end": (said([S200], b"ok\n", [(b"x", b"y")], end=False), BROKEN), "pseudo in trailers": (said([S200], b"ok\n", [S200]), BROKEN),
    "trailer CRLF": (said([S200], b"ok\n", [(b"x", b"a\r\nb: c")]), BROKEN), "trailer framing": (said([S200], b"ok\n", [(b"content-length", b"9")]), BROKEN),
    "trailer credentials": (said([S200], b"ok\n", [(b"set-cookie", b"evil"), (b"x-envoy-peer", b"evil")]), 200),
    "1xx flood": (interim(100), 502), "1xx few": (interim(3), 200), "1xx with an end": (said([(b":status", b"103")], None), 502),
    "header list": (said([S200, *((b"x-%d" % n, b"y") for n in range(150))]), 502), "DATA before the head": (bare(lambda s: frame(DATA, 0, s, b"x")), 502),
    "reset": (bare(lambda s: frame(RST, 0, s, u32(2))), 502), "reset in the body": (then(lambda s: frame(DATA, 0, s, b"ok"), lambda s: frame(RST, 0, s, u32(2))), BROKEN),
    "end by reset NO_ERROR": (then(lambda s: frame(DATA, 0, s, b"ok"), lambda s: frame(RST, 0, s, u32(0))), BROKEN),
    "GOAWAY in the body": (lambda e, s: [then(lambda s: frame(DATA, 0, s, b"ok"), frame(GOAWAY, 0, 0, u32(0) + u32(2)))(e, s), None], (503, BROKEN)),
    "PUSH_PROMISE": (then(lambda s: frame(PUSH, END_HEADERS, s, u32(2) + b"\x82\x86\x84")), BROKEN),
    "HPACK junk": (bare(lambda s: frame(HEADERS, END_HEADERS, s, b"\xff\xff\xff\xff\xff\xff\xff")), 502),
    "HPACK bomb": (lambda e, s: frame(HEADERS, 0, s, (e.encode([S200, (b"bomb", b"x" * 3900)]) + b"\xbe" * 12000)) + frame(CONTINUATION, END_HEADERS, s, b"\xbe" * 16000), 502),
    "continuation flood": (lambda e, s: frame(HEADERS, 0, s, e.encode([S200])) + frame(CONTINUATION, 0, s, b"\0\1x\1y") * 3000, 502),
    "PING flood": (then(frame(PING, 0, 0, b"12345678") * 20000), BROKEN), "SETTINGS flood": (then(frame(SETTINGS) * 20000), BROKEN),
    "empty DATA flood": (then(lambda s: frame(DATA, 0, s) * 80000), BROKEN), "unknown frame flood": (then(frame(200, 0, 0, b"x") * 80000), BROKEN),
    "DATA on an idle stream": (then(frame(DATA, 0, 99, b"x")), BROKEN), "frame too large": (then(frame(200, 0, 0, b"x" * 20000)), BROKEN),
    "window overflow": (then(frame(WINDOW, 0, 0, u32(0x7fffffff)) * 3), BROKEN), "HTTP/1 instead": (bare(OK), 502),
    "mesh field": (said([S200, (b"x-weir-h1", b"1t;evil")]), 200),
}

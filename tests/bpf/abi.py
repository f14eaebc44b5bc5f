# SPDX-License-Identifier: Apache-2.0
"""include/weir/abi in Python: packing of map entries, unpacking of events and facts. The driver checks every size."""
import ipaddress
import struct

APP, PROXY, OUTSIDE, REFUSED = 1, 2, 3, 4
MESHED, FAIL_OPEN, JOIN, JOIN_READER = 1, 2, 4, 8
ISOLATED, AUDIT_SLOT = 1, 2
ANY, IDENTITY, CIDR, NOT_IDENTITY, NAME = 0, 1, 2, 4, 8
NAMES = 16
DENY, AUDIT, PROXY_ONLY, NOTE = 1, 2, 4, 8
OUT, IN = 1, 2
STEER, PLAIN = 1, 2
L7 = 1
RANDOM, LEAST, LATENCY = 0, 1, 2
HOLD, JOIN_ALONE, JOIN_WRITERS, JOIN_READERS = 1, 2, 4, 8
JOIN_ON = JOIN_ALONE | JOIN_READERS
TCP, UDP = 6, 17
INGRESS, EGRESS = 0, 1
SOL, SO_FACTS, SO_SPOKE = 0x5745, 1, 16
NOBODY, SERVER, BYTES, HTTP1, HTTP2, TLS, BEYOND = range(7)
SERVER_FIRST, CLIENT_FIRST = 1, 2
FIRST_SECONDS = 3600
OPEN, CLOSE, DENIED, LISTEN, HELD = 1, 2, 3, 4, 7
BLOCK_RULES = 32


def addr(text):
    ip = ipaddress.ip_address(text)
    if ip.version == 4:
        return b"\0" * 10 + b"\xff\xff" + ip.packed
    return ip.packed


def show(raw):
    ip = ipaddress.ip_address(raw)
    return str(ip.ipv4_mapped or ip)


def slot(block=0, policy=0, flags=0):
    return struct.pack("=IIII", block, policy, flags, 0)


def pod(ident, identity, netns, flags, ingress, egress, v4, v6, generation=1, authz=slot()):
    return (struct.pack("=IIQII", ident, identity, netns, flags, generation) + ingress + egress + authz +
            (addr(v4) if v4 else bytes(16)) + (addr(v6) if v6 else bytes(16)))


def rule(policy, peer=ANY, set=0, ports=(0, 65535), proto=0, flags=0):
    """set: of identities and of addresses, whichever the rule looks at."""
    return struct.pack("=IIIHHBBBB", set, set, policy, ports[0], ports[1], proto, peer, flags, 0)


def member(policy=0):
    return struct.pack("=I", policy)


def cidr_value(verdict, policy=0):
    return struct.pack("=IB3x", policy, verdict)


def block(ident, rules, next=0):
    assert len(rules) <= BLOCK_RULES
    return struct.pack("=IIII", ident, next, len(rules), 0) + b"".join(rules).ljust(20 * BLOCK_RULES, b"\0")


def svc_key(ip, port, proto=TCP):
    return addr(ip) + struct.pack("=HBB", port, proto, 0)


def svc(service, set, count, weight=0, flags=0, near=0, near_weight=0, affinity=0, balance=RANDOM):
    return struct.pack("=IIIIIIIII", service, set, count, weight, flags, near, near_weight, affinity, balance)


MAGLEV_SLOTS = 2039


def maglev(indices):
    """A table that repeats these."""
    slots = [indices[i % len(indices)] for i in range(MAGLEV_SLOTS)]
    return struct.pack("=%dHH" % MAGLEV_SLOTS, *slots, 0)


def ep(ip, port, upto=0, pod=0):
    return addr(ip) + struct.pack("=IIHHHH", upto, pod, port, 0, 0, 0)


def cidr_key(set, text):
    net = ipaddress.ip_network(text)
    prefix = net.prefixlen + (96 if net.version == 4 else 0)
    return struct.pack("=II", 32 + prefix, set) + addr(net.network_address)


NAME_BYTES, NAME_SLOTS, NAME_MEMBER = 252, 16, 0x80000000


def pattern_key(pod, name):
    """Of "api.example.com" or "*.example.com"."""
    turned = name[1:][::-1] if name.startswith("*") else name[::-1] + "\0"
    return struct.pack("=II", 32 + 8 * len(turned), pod) + turned.encode().ljust(NAME_BYTES, b"\0")


def name_member(set, pattern):
    return struct.pack("=II", set, pattern | NAME_MEMBER)


def server_key(pod, ip, port=53):
    return addr(ip) + struct.pack("=IHH", pod, port, 0)


def dns_setting(pods, least=60, most=86400, grace=30, addresses=1000):
    return struct.pack("=IIIII", pods, least, most, grace, addresses)


def bound_key(pod, ip):
    return addr(ip) + struct.pack("=I", pod)


class Bound:
    def __init__(self, raw):
        self.kept_ns, *slots = struct.unpack_from("=Q%dI" % (2 * NAME_SLOTS), raw)
        self.until = {p: u for p, u in zip(slots[::2], slots[1::2]) if p}
        self.asked = raw[8 + 8 * NAME_SLOTS:].split(b"\0")[0].decode()


def first_key(port, ip=None, identity=0):
    """Of calls to an address, or of arrivals at pods of an identity."""
    return (addr(ip) if ip else bytes(16)) + struct.pack("=IHH", identity, port, 0)


def first(server_ns=0, client_ns=0, pod=0):
    return struct.pack("=QQIIIIIB3x", server_ns, client_ns, 1, 1, pod, pod, 0, 0)


EVENT = struct.Struct("=QQQQQ16s16s16sHHHBBIIIIIIIIBBB5x")
EVENT_FIELDS = ("at_ns cookie bytes_in bytes_out duration_ns local remote original local_port remote_port "
                "original_port kind direction pod identity peer_identity policy service srtt_us retransmits "
                "flags reason proto role").split()
FACTS = struct.Struct("=II16s16sHHBBBBIIIIIIQQQ")
FACTS_FIELDS = ("size flags original peer original_port peer_port direction reason join first pod identity "
                "peer_identity service policy pad2 epoch cookie at_ns").split()


class Record:
    def __init__(self, layout, fields, raw):
        for name, value in zip(fields, layout.unpack(raw)):
            setattr(self, name, show(value) if isinstance(value, bytes) else value)

    def __repr__(self):
        return str(self.__dict__)


def event(raw):
    return Record(EVENT, EVENT_FIELDS, raw)


def facts(raw):
    return Record(FACTS, FACTS_FIELDS, raw)


SVC_HTTP, POD_HTTP = 2, 32
HTTP_CUT, HTTP_QUERY, HTTP_TLS = 1, 2, 4
HTTP = struct.Struct("=Q16s16s16sHHHBxIIIIQQHBBBB2x16s128s")
HTTP_FIELDS = ("cookie local remote original local_port remote_port original_port direction pod identity peer_identity "
               "service began_ns answered_ns status version flags n_method n_path method path").split()


class Exchange:
    """One record of weir_http_events."""

    def __init__(self, raw):
        for name, value in zip(HTTP_FIELDS, HTTP.unpack(raw)):
            setattr(self, name, value)
        self.method, self.path = self.method[:self.n_method].decode(), self.path[:self.n_path].decode()
        self.local, self.remote, self.original = show(self.local), show(self.remote), show(self.original)

    def line(self):
        return self.method, self.path, self.status

    def __repr__(self):
        return str(self.__dict__)

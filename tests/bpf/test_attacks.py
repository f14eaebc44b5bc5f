# SPDX-License-Identifier: Apache-2.0
"""Ways around policy that are none: other system calls, passed and disconnected sockets, processes that move, other spellings of an address."""
import ctypes
import errno
import mmap
import os
import socket
import struct

import pytest

import abi
import actor
from test_policy import isolate, refusal, served

AF_UNSPEC = struct.pack("H", 0) + bytes(14)


def uring_connect(ip, port):
    """connect() by io_uring: its result, 0 or a negative errno. None: this kernel has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    params = bytearray(120)
    ring = libc.syscall(425, 2, (ctypes.c_char * 120).from_buffer(params))
    if ring < 0:
        return None
    sq_entries, cq_entries = struct.unpack_from("II", params, 0)
    sq = struct.unpack_from("10I", params, 40)  # head tail mask entries flags dropped array
    cq = struct.unpack_from("10I", params, 80)  # head tail mask entries overflow cqes
    rings = mmap.mmap(ring, max(sq[6] + 4 * sq_entries, cq[5] + 16 * cq_entries), mmap.MAP_SHARED, offset=0)
    sqes = mmap.mmap(ring, 64 * sq_entries, mmap.MAP_SHARED, offset=0x10000000)
    s = socket.socket()
    address = ctypes.create_string_buffer(struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(ip)))
    sqes[0:64] = struct.pack("=BBHiQQII", 16, 0, 0, s.fileno(), 16, ctypes.addressof(address), 0, 0).ljust(64, b"\0")
    rings[sq[6]:sq[6] + 4] = struct.pack("I", 0)
    rings[sq[1]:sq[1] + 4] = struct.pack("I", 1)
    assert libc.syscall(426, ring, 1, 1, 1, None, 0) == 1
    result = struct.unpack_from("=i", rings, cq[5] + 8)[0]
    s.close()
    os.close(ring)
    return result


def test_io_uring_connects_like_connect(world, web, store, counted):
    served(store, 8080)
    client = web.app()
    if client.call(uring_connect, store.v4, 8080) is None:
        pytest.skip("this kernel has no io_uring, or forbids it: nothing to get around with")
    assert client.call(uring_connect, store.v4, 8080) == 0
    isolate(world, web, abi.EGRESS)
    assert client.call(uring_connect, store.v4, 8080) == -errno.EPERM
    assert counted("deny_egress") == 1


def connect_passed(ip, port, fd):
    actor.SOCKS[fd].settimeout(actor.WAIT)  # the flag came along, the timeout did not
    return actor.connect(ip, port, fd=fd)


def test_a_passed_socket_keeps_the_policy_of_its_maker(world, web, api, store):
    served(store, 8080)
    isolate(world, web, abi.EGRESS)
    mine, other = web.app(), api.app()
    theirs = other.call(actor.hand_over, other.call(actor.new))
    made = mine.call(actor.hand_over, mine.call(actor.new))
    with pytest.raises(PermissionError):
        other.give(made, connect_passed, store.v4, 8080)
    mine.give(theirs, connect_passed, store.v4, 8080)


def move(path):
    with open(os.path.join(path, "cgroup.procs"), "w") as f:
        f.write("0")


def test_a_socket_stays_where_it_was_made_when_its_process_moves(world, web, api, store):
    served(store, 8080)
    isolate(world, web, abi.EGRESS)
    client = web.app()
    fd = client.call(actor.new)
    client.call(move, os.path.join(api.cgroup, "app"))
    with pytest.raises(PermissionError):
        client.call(actor.connect, store.v4, 8080, fd=fd)


def reconnect(first, second):
    """Connects, dissolves the association, connects elsewhere."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(first)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.connect(s.fileno(), AF_UNSPEC, 16) == 0
    s.connect(second)
    return s.getpeername()


def send_elsewhere(first, second):
    """A datagram with an address on a connected socket."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(first)
    return s.sendto(b"x", second)


@pytest.mark.parametrize("way", [reconnect, send_elsewhere])
def test_each_destination_of_a_udp_socket_is_asked(world, web, api, store, way):
    world.driver.put("weir_cidr", abi.cidr_key(90, f"{api.v4}/32"), abi.cidr_value(abi.IN))
    world.rules(90, abi.rule(90, abi.CIDR, 90))
    isolate(world, web, abi.EGRESS, 90)
    client = web.app()
    client.call(way, (api.v4, 53), (api.v4, 54))
    with pytest.raises(PermissionError):
        client.call(way, (api.v4, 53), (store.v4, 53))


def test_addresses_of_nobody_lead_to_the_pod_itself_only(world, web, store):
    served(store, 8080)
    isolate(world, web, abi.EGRESS)
    client = web.app()
    for ip in ("0.0.0.0", "::", "::ffff:0.0.0.0", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        assert refusal(client, ip, 8080) == errno.ECONNREFUSED  # nobody listens in the pod itself
    own = web.app()
    own.call(actor.listen, "0.0.0.0", 8080)
    assert refusal(client, "0.0.0.0", 8080) is None
    assert refusal(client, "127.8.8.8", 8080) is None


def mapped(ip, port):
    """From a socket bound to a v4-mapped address, to another spelling of the same destination."""
    s = socket.socket(socket.AF_INET6)
    s.bind(("::ffff:0.0.0.0", 0))
    s.connect(("::ffff:%x:%x" % struct.unpack("!HH", socket.inet_aton(ip)), port))
    return s.getpeername()[0]


def test_a_bound_v4_mapped_socket_is_an_ipv4_one(world, web, store, counted):
    served(store, 8080)
    client = web.app()
    assert client.call(mapped, store.v4, 8080) == "::ffff:" + store.v4
    isolate(world, web, abi.EGRESS)
    with pytest.raises(PermissionError):
        client.call(mapped, store.v4, 8080)
    isolate(world, web, abi.EGRESS, flags=0)
    isolate(world, store, abi.INGRESS)
    with pytest.raises(PermissionError):
        client.call(mapped, store.v4, 8080)

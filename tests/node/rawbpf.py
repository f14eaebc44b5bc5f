# SPDX-License-Identifier: Apache-2.0
"""Programs of somebody else: two instructions that allow everything, by system call."""
import ctypes
import errno
import os
import platform
import struct

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
MAP_GET_NEXT_KEY, PROG_LOAD, OBJ_PIN, OBJ_GET, LINK_CREATE = 4, 5, 6, 7, 28
CGROUP_SOCK_ADDR, CONNECT4 = 18, 10
ALLOW = struct.pack("<BBhi", 0xb7, 0, 0, 1) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = 1; exit

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attr):
    room = ctypes.create_string_buffer(attr, 128)
    got = libc.syscall(SYS_BPF, command, room, 128)
    if got < 0:
        raise OSError(ctypes.get_errno(), f"bpf {command}")
    return got


def program(name, kind=CGROUP_SOCK_ADDR, attach=CONNECT4):
    code = ctypes.create_string_buffer(ALLOW, len(ALLOW))
    words = ctypes.create_string_buffer(b"GPL")
    return bpf(PROG_LOAD, struct.pack("=IIQQIIQII16sII", kind, 2, ctypes.addressof(code), ctypes.addressof(words), 0, 0, 0,
                                      0, 0, name.encode(), 0, attach))


def link(prog, cgroup, attach=CONNECT4):
    fd = os.open(cgroup, os.O_RDONLY)
    try:
        return bpf(LINK_CREATE, struct.pack("=IIII", prog, fd, attach, 0))
    finally:
        os.close(fd)


def entries(path):
    """How many a pinned map has; None for what is no map with keys."""
    name = ctypes.create_string_buffer(path.encode())
    if not os.path.isfile(path):
        return None
    fd = bpf(OBJ_GET, struct.pack("=QII", ctypes.addressof(name), 0, 0))
    keys = [ctypes.create_string_buffer(512), ctypes.create_string_buffer(512)]
    n, last = 0, 0
    try:
        while True:
            following = keys[n % 2]
            bpf(MAP_GET_NEXT_KEY, struct.pack("=IIQQ", fd, 0, last, ctypes.addressof(following)))
            n, last = n + 1, ctypes.addressof(following)
    except OSError as e:
        return n if e.errno == errno.ENOENT else None
    finally:
        os.close(fd)


def pin(fd, path):
    name = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("=QII", ctypes.addressof(name), fd, 0))

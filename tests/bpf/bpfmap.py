# SPDX-License-Identifier: Apache-2.0
"""A pinned map filled to its last entry by system call, and emptied of that again."""
import ctypes
import errno
import os
import platform
import struct

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
UPDATE, DELETE, OBJ_GET, INFO, UPDATE_BATCH, DELETE_BATCH = 2, 3, 7, 15, 26, 27
LRU_HASH, LPM_TRIE = 9, 11
MARK = 0xee  # in keys that nobody else makes

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attr):
    """(result or negative errno, the attributes as the kernel left them)"""
    room = ctypes.create_string_buffer(attr, 128)
    got = libc.syscall(SYS_BPF, command, room, 128)
    return (got if got >= 0 else -ctypes.get_errno()), room.raw


class Map:
    def __init__(self, path):
        name = ctypes.create_string_buffer(path.encode())
        self.fd, _ = bpf(OBJ_GET, struct.pack("=QII", ctypes.addressof(name), 0, 0))
        assert self.fd >= 0, (path, os.strerror(-self.fd))
        info = ctypes.create_string_buffer(256)
        got, _ = bpf(INFO, struct.pack("=IIQ", self.fd, 256, ctypes.addressof(info)))
        assert got == 0
        self.type, _, self.key_size, self.value_size, self.entries = struct.unpack_from("=5I", info.raw)
        self.filled, self.keys = 0, b""

    def _keys(self, n):
        if self.type == LPM_TRIE:
            head = struct.pack("=I", 8 * (self.key_size - 4)) + bytes([MARK] * (self.key_size - 8))
            return b"".join(head + struct.pack(">I", i) for i in range(n))
        head = bytes([MARK] * (self.key_size - 4))
        return b"".join(head + struct.pack("=I", MARK << 24 | i) for i in range(n))

    def _batch(self, command, values, n):
        keys = ctypes.create_string_buffer(self.keys, len(self.keys))
        room = ctypes.create_string_buffer(values, max(1, len(values)))
        got, attr = bpf(command, struct.pack("=QQQQIIQQ", 0, 0, ctypes.addressof(keys), ctypes.addressof(room), n, self.fd, 0, 0))
        return got, struct.unpack_from("=I", attr, 32)[0]

    def fill(self):
        """As many entries as it takes and one more. An LRU map takes any number, and twice its own leave no other."""
        n = 2 * self.entries if self.type == LRU_HASH else self.entries + 1
        self.keys = self._keys(n)
        got, self.filled = self._batch(UPDATE_BATCH, bytes(self.value_size * n), n)
        return got, self.filled

    def fill_with_socket(self, fd):
        """A sockhash: one socket under many keys."""
        value = ctypes.create_string_buffer(struct.pack("=Q", fd), 8)
        for i in range(self.entries + 1):
            key = ctypes.create_string_buffer(bytes([MARK] * (self.key_size - 4)) + struct.pack("=I", i), self.key_size)
            got, _ = bpf(UPDATE, struct.pack("=IIQQQ", self.fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0))
            if got < 0:
                return got, i
        return 0, i

    def drain(self):
        got, _ = self._batch(DELETE_BATCH, b"", self.filled)
        self.filled = 0
        assert got == 0, os.strerror(-got)

    def forget(self, key):
        room = ctypes.create_string_buffer(key, len(key))
        got, _ = bpf(DELETE, struct.pack("=IIQ", self.fd, 0, ctypes.addressof(room)))
        assert got in (0, -errno.ENOENT)

    def close(self):
        os.close(self.fd)

# SPDX-License-Identifier: Apache-2.0
"""Ports for servers that must be told one beforehand. A port the kernel picked and that was let go again may be picked a second time, for
another listener on port 0 or for the near end of a connection, before the server binds it. So these come from below the kernel's own range
(net.ipv4.ip_local_port_range) and are never given twice by one process."""

import os
import socket

_LOW = 10240
_taken = set()


def _kernels_first():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        return int(f.read().split()[0])


def free_port(address="127.0.0.1"):
    """A TCP and UDP port free on that IPv4 address now."""
    high = _kernels_first()
    if high - _LOW < 1000:
        raise RuntimeError(f"net.ipv4.ip_local_port_range begins at {high}: no room below it for test servers")
    at = _LOW + os.getpid() * 37 % (high - _LOW)
    for step in range(high - _LOW):
        port = _LOW + (at - _LOW + step) % (high - _LOW)
        if port in _taken:
            continue
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((address, port))
                udp.bind((address, port))
            except OSError:
                continue
        _taken.add(port)
        return port
    raise RuntimeError("no free port")

# SPDX-License-Identifier: Apache-2.0
"""Replacing the program of a running proxy (SIGUSR2), and being a service of systemd: sockets and readiness handed over by its protocols."""

import http.client
import os
import re
import select
import signal
import socket
import subprocess
import time

import ports
import pytest

import proxies
from clients import Clients
from proxies import curl, pods, steady


class Process:
    """A process that is nobody's child here, ended with the test."""

    def __init__(self, pid):
        self.pid, self.fd = pid, os.pidfd_open(pid)

    def ended(self, timeout):
        return bool(select.select([self.fd], [], [], timeout)[0])

    def end(self):
        if not self.ended(0):
            signal.pidfd_send_signal(self.fd, signal.SIGTERM)
            if not self.ended(10):
                signal.pidfd_send_signal(self.fd, signal.SIGKILL)
        os.close(self.fd)


@pytest.fixture
def succeed():
    """succeed(proxy) has it replaced and gives the successor, when it serves."""
    there = []

    def replace(old, pid=None):
        told = len(re.findall("result=ready", old.err()))
        os.kill(pid or old.pid, signal.SIGUSR2)
        pods.wait_for(lambda: len(re.findall("result=ready", old.err())) > told, timeout=20, what="a successor")
        there.append(Process(int(re.findall(r"event=successor pid=(\d+) result=ready", old.err())[-1])))
        return there[-1]
    yield replace
    for p in there:
        p.end()


def fixed(site, port, *more):
    return ("--listen", f":{port}", "--to", f"127.0.0.1:{site.port}", "--workers", "2", *more)


def test_a_successor_takes_over_under_load(proxy, site, succeed):
    """Twice. Nobody is refused, and no request fails, on old connections neither."""
    port, admin = ports.free_port(), ports.free_port()
    old = proxy(*fixed(site, port, "--admin", f"127.0.0.1:{admin}"))
    clients = Clients(port, strict=True)
    fresh = Clients(port, n=2, strict=True, fresh=True)
    pods.wait_for(lambda: clients.done > 100, what="load")
    first = succeed(old)
    assert old.wait() == 0
    second = succeed(old, first.pid)
    assert first.ended(20)
    for c in (clients, fresh):
        at = c.done
        pods.wait_for(lambda c=c, at=at: c.done > at + 100, what="load on the successor")
        done, failed = c.finish()
        assert not failed, (done, failed[:5])
    status = curl(f"http://127.0.0.1:{admin}/status").stdout.decode()
    assert f'"pid":{second.pid},' in status


def test_an_idle_connection_gets_one_more_answer(proxy, site, succeed):
    port = ports.free_port()
    old = proxy(*fixed(site, port))
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    idle.request("GET", "/")
    idle.getresponse().read()
    succeed(old)
    old.wait_err("event=drain")
    time.sleep(0.2)  # nothing may happen to it meanwhile
    idle.request("GET", "/")
    answer = idle.getresponse()
    assert answer.status == 200 and answer.will_close
    assert old.wait() == 0


def test_a_successor_that_cannot_start_changes_nothing(proxy, site, tmp_path):
    port = ports.free_port()
    config = tmp_path / "p.yaml"
    good = f'apiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec: {{listen: "127.0.0.1:{port}", to: ["http://127.0.0.1:{site.port}"]}}\n'
    config.write_text(good)
    old = proxy("--config", config)
    old.process.send_signal(signal.SIGSTOP)  # it is to read the signal before it sees the change
    config.write_text("kind: [")
    old.signal(signal.SIGUSR2)
    old.process.send_signal(signal.SIGCONT)
    old.wait_err(r'event=successor pid=\d+ error="it ended before it served')
    assert old.alive() and curl(f"http://127.0.0.1:{port}/").returncode == 0
    assert steady(old.fds) == old.fds()


def test_standard_input_cannot_be_read_twice(proxy, site):
    text = f'apiVersion: weir.dev/v1alpha1\nkind: Proxy\nspec: {{listen: "127.0.0.1:{ports.free_port()}", to: ["http://127.0.0.1:{site.port}"]}}\n'
    r, w = os.pipe()
    os.write(w, text.encode())
    os.close(w)
    old = proxy("--config", "-", stdin=r)
    os.close(r)
    old.signal(signal.SIGUSR2)
    old.wait_err("event=successor error=.*standard input")
    assert old.alive()


def activated(tmp_path, sockets, *args):
    """As systemd starts a service: its sockets at 3, 4, ..."""
    fds = [s.fileno() for s in sockets]
    high = [os.dup(fd) for fd in fds]

    def place():
        for i, fd in enumerate(high):
            os.dup2(fd, 100 + i)
        for i in range(len(high)):
            os.dup2(100 + i, 3 + i)
    with open(tmp_path / "activated.err", "wb") as err:
        p = subprocess.Popen(["sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS={len(fds)} exec "$0" "$@"', proxies.WEIR, "proxy", *map(str, args)],
                             stderr=err, preexec_fn=place, close_fds=False)
    for fd in high:
        os.close(fd)
    return p


@pytest.mark.parametrize("family", ["v4", "dual"])
def test_sockets_of_systemd_are_used(site, tmp_path, family):
    """One socket, more workers than that; what is no listening TCP socket or is not wanted is said and closed."""
    held = socket.socket(socket.AF_INET if family == "v4" else socket.AF_INET6)
    if family == "dual":
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    held.bind(("127.0.0.1" if family == "v4" else "::", 0))
    held.listen(100)
    port = held.getsockname()[1]
    unwanted, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    listen = f"127.0.0.1:{port}" if family == "v4" else f":{port}"
    early = socket.create_connection(("127.0.0.1", port))  # waits in the backlog
    p = activated(tmp_path, [unix, held, unwanted], "--listen", listen, "--to", f"127.0.0.1:{site.port}", "--workers", "3")
    try:
        early.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        early.settimeout(20)
        assert early.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
        assert curl(f"http://127.0.0.1:{port}/").returncode == 0
        if family == "dual":
            assert curl(f"http://[::1]:{port}/").returncode == 0
        err = (tmp_path / "activated.err").read_text()
        assert "fd=3 error=" in err and "not a listening TCP socket" in err
        assert f":{unwanted.getsockname()[1]} error=" in err and "does not listen there" in err
        environment = open(f"/proc/{p.pid}/environ", encoding="ascii").read()
        assert "LISTEN_FDS=3" in environment  # so the program was told as systemd tells
    finally:
        p.terminate()
        assert p.wait(20) == 0
        for s in (held, unwanted, unix):
            s.close()


def test_the_service_manager_is_told(proxy, site, succeed, tmp_path):
    """sd_notify(3): READY=1 once, which process is the main one, and that it stops."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(20)
    old = proxy(*fixed(site, ports.free_port()), env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert manager.recv(512) == b"READY=1"
    new = succeed(old)
    assert manager.recv(512) == f"MAINPID={new.pid}".encode()
    assert old.wait() == 0
    signal.pidfd_send_signal(new.fd, signal.SIGTERM)
    assert manager.recv(512) == b"STOPPING=1"
    assert new.ended(20)
    manager.close()

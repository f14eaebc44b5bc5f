# SPDX-License-Identifier: Apache-2.0
"""The privileged helper: what it does for an agent, what it refuses to an agent in bad hands, and what an agent does without it."""
import errno
import mmap
import os
import signal
import socket
import struct
import sys
import threading

import pytest

import actor
import helper as h
from agent import PATIENCE, SERVICE_IP, eventually
from helper import Helper, Wire
from test_agent import refusal

ALL = ("CapEff", "CapPrm", "CapBnd")


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def caps(*numbers):
    return sum(1 << n for n in numbers)


AGENT = caps(12, 38, 39)  # NET_ADMIN PERFMON BPF
HELPER = caps(5, 6, 7, 19, 21)  # KILL SETGID SETUID SYS_PTRACE SYS_ADMIN


def kernel_destroys():
    return os.system("grep -q ' bpf_sock_destroy$' /proc/kallsyms") == 0


def privileges(pid, mask):
    status = status_of(pid)
    assert {name: int(status[name], 16) for name in ALL} == dict.fromkeys(ALL, mask)
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]) == ("1", "2", "1")


@pytest.fixture
def listening(agent):
    """A helper with a socket of its own."""
    helper = Helper(os.path.join(agent.dir, "helper.sock"), agent.parent, os.path.join(agent.dir, "helper.log"))
    helper.start()
    try:
        yield helper
    finally:
        helper.close()


@pytest.fixture
def wire(listening):
    w = Wire(listening.path)
    yield w
    w.close()


@pytest.fixture
def apart(agent, listening):
    """The agent and its helper as two processes that end one by one."""
    agent.write("pods.yaml", *[agent.pod_document(p) for p in agent.world.pods])
    agent.write("mesh.yaml", agent.service("store", 70, 7000, agent.world.pods[2]),
                agent.policy("store-allow-web", "store", "web"))
    agent.more = ["--helper", listening.path]
    agent.start()
    store = agent.world.pods[2].app()
    agent.store = store, store.call(actor.listen, agent.world.pods[2].v4, 7000)
    return agent


# --- privileges

def test_agent_and_helper_keep_what_each_needs_and_can_gain_none(running):
    privileges(running.p.pid, AGENT)
    pid = running.status()["helper"]["pid"]
    privileges(pid, HELPER if kernel_destroys() else HELPER | caps(12))
    assert status_of(pid)["PPid"].strip() == str(running.p.pid) and status_of(pid)["Name"] == "weir-helper"
    assert int(status_of(pid)["VmRSS"].split()[0]) < 32 * 1024
    assert not refusal(running.world.pods[0].app()) and refusal(running.world.pods[1].app()) == errno.EPERM


def test_the_helper_ends_with_the_agent_that_started_it(running):
    pid = running.status()["helper"]["pid"]
    running.end(signal.SIGKILL)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    running.start()
    assert running.ask("verify")[0]["pods_verified"] == 3


def test_an_agent_whose_own_helper_died_says_what_to_do(running):
    os.kill(running.status()["helper"]["pid"], signal.SIGKILL)
    s = eventually(lambda: (s := running.status())["helper"]["state"] == "away" and s)
    assert "start the agent again" in s["helper"]["why"] and s["state"] == "degraded"
    assert running.ask("ready")[0]["why"] == "the helper is away"
    assert not refusal(running.world.pods[0].app()) and refusal(running.world.pods[1].app()) == errno.EPERM


# --- away and back

def test_without_the_helper_what_needs_it_waits_and_the_rest_goes_on(apart, listening):
    web, intruder, store = apart.world.pods
    assert apart.status()["helper"] == {"state": "there", "pid": listening.p.pid, "spawned": False,
                                        "requests": apart.status()["helper"]["requests"], "refused": 0, "losses": 0}
    client = web.app()
    fd = client.call(actor.connect, SERVICE_IP, 70)
    listening.end()
    eventually(lambda: apart.status()["helper"]["state"] == "away")
    assert apart.ask("ready")[0] == {"ready": False, "why": "the helper is away", "pods_enrolled": 3,
                                     "pods_verified": 3}
    late = apart.world.pod("late")
    apart.write("pods.yaml", *[apart.pod_document(p) for p in apart.world.pods])
    apart.write("mesh.yaml", apart.service("store", 70, 7000, store), apart.policy("store-nobody", "store", "nobody"))
    eventually(lambda: apart.pod_state("late") == "pending")
    # New connections obey the changed policy at once; the one that exists waits for the helper.
    assert eventually(lambda: refusal(client)) == errno.EPERM
    assert client.call(actor.option, fd, socket.SOL_TCP, socket.TCP_INFO, 1) == b"\1", "established"
    listening.start()
    eventually(lambda: apart.pod_state("late") == "enrolled" and apart.ask("ready")[0]["ready"])
    eventually(lambda: client.call(actor.option, fd, socket.SOL_TCP, socket.TCP_INFO, 1) != b"\1")
    s = apart.status()
    assert s["helper"]["losses"] == 1 and s["helper"]["pid"] == listening.p.pid and s["connections_revoked"] >= 1
    assert late.netns and s["pods_verified"] == 4


def test_an_agent_starts_without_its_helper_and_waits_for_it(agent, listening):
    listening.end()
    agent.write("pods.yaml", *[agent.pod_document(p) for p in agent.world.pods])
    agent.more = ["--helper", listening.path]
    agent.start()
    assert agent.pod_state("web") == "pending"
    assert "nobody answers at its socket" in agent.status()["helper"]["why"]
    listening.start()
    eventually(lambda: agent.pod_state("web") == "enrolled" and agent.ask("ready")[0]["ready"])


def test_a_helper_of_another_parent_is_not_used(agent, listening):
    listening.end()
    os.mkdir(os.path.join(agent.world.cgroup, "web", "elsewhere"))
    other = Helper(listening.path, agent.parent + "/web", listening.log)
    other.start()
    try:
        agent.more = ["--helper", listening.path]
        agent.start()
        assert "another parent" in agent.status()["helper"]["why"]
    finally:
        other.close()


def test_a_frozen_pod_does_not_hold_the_agent_up(running):
    web = running.world.pods[0]
    freeze = os.path.join(web.cgroup, "cgroup.freeze")
    with open(freeze, "w") as f:
        f.write("1")
    try:
        answer = running.ask("verify")[0]
        assert answer["pods_verified"] == 2 and answer["pods_enrolled"] == 3
        assert running.status()["helper"]["state"] == "there"
        procs = [p for base, _, _ in os.walk(web.cgroup) for p in open(os.path.join(base, "cgroup.procs")).read().split()]
        assert procs == [], "its child is gone"
    finally:
        with open(freeze, "w") as f:
            f.write("0")
    assert running.ask("verify")[0]["pods_verified"] == 3


# --- what it does

def test_a_socket_made_in_a_pod_is_the_pods_whoever_holds_it(apart, listening):
    """It learns a flow's original destination, and obeys the pod's policy, in a process of no pod (a passed descriptor)."""
    web, intruder, store = apart.world.pods
    document = apart.pod_document(web)
    document["metadata"]["annotations"]["weir.dev/mode"] = "sidecar"
    apart.write("pods.yaml", document, *[apart.pod_document(p) for p in (intruder, store)])
    service = apart.service("store", 80, 7000, store).replace('"name": "tcp"', '"name": "http"')
    apart.write("mesh.yaml", service, apart.policy("store-allow-web", "store", "web"))
    eventually(lambda: [p for p in apart.status()["pods"] if p["name"] == "default/web" and p["meshed"]])
    w = Wire(listening.path)
    netns, cookie = w.netns(web.netns)

    def made(cgroup, netns):
        error, refused, _, fd = w.ask(h.SOCKET, cgroup.encode(), [netns], family=socket.AF_INET, type=socket.SOCK_STREAM)
        assert (error, refused) == (0, 0)
        s = socket.socket(fileno=fd)
        s.settimeout(PATIENCE)
        assert struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, 71, 8))[0] == cookie
        return s

    listener = made("web/weir", netns)
    listener.bind(("127.0.0.1", 15001))
    listener.listen()
    client = web.app()
    eventually(lambda: not refusal(client, SERVICE_IP, 80))
    s, _ = listener.accept()
    raw = s.getsockopt(socket.SOL_IP, 80, 16)
    assert (socket.inet_ntoa(raw[4:8]), struct.unpack("!H", raw[2:4])[0]) == (SERVICE_IP, 80)
    caller = made("intruder/app", w.netns(web.netns)[0])
    with pytest.raises(PermissionError):
        caller.connect((store.v4, 7000))
    made("web/app", netns).connect((store.v4, 7000))
    w.close()


def test_a_processs_code_is_opened_for_reading_and_nothing_else(wire, agent):
    pod = agent.world.pods[0].app()
    error, refused, _, fd = wire.ask(h.CODE, pid=pod.pid)
    assert (error, refused) == (0, 0)
    assert os.path.samestat(os.fstat(fd), os.stat(os.path.realpath(sys.executable)))
    with pytest.raises(OSError):
        os.write(fd, b"x")
    library = next(line.split()[-1] for line in open("/proc/self/maps") if "/libc.so" in line)
    error, refused, _, fd = wire.ask(h.CODE, b"libc.so", pid=pod.pid)
    assert (error, refused) == (0, 0) and os.path.samestat(os.fstat(fd), os.stat(library))
    assert wire.ask(h.CODE, b"libnothing", pid=pod.pid)[:2] == (-errno.ENOENT, 0)
    assert mmap.mmap(fd, 4, prot=mmap.PROT_READ)[:4] == b"\x7fELF"


# --- what it refuses

def refused(wire, *args, **kwargs):
    error, is_refused, _, fd = wire.ask(*args, **kwargs)
    return error == -errno.EACCES and is_refused == 1 and fd is None


def test_what_is_not_on_the_list_is_refused_and_counted(wire, listening, agent):
    web = agent.world.pods[0]
    netns, _ = wire.netns(web.netns)
    null = os.open("/dev/null", os.O_RDONLY)
    mine = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    inet = dict(family=socket.AF_INET, type=socket.SOCK_STREAM)
    bad = [
        dict(verb=0), dict(verb=h.SUCCEED + 1), dict(verb=2**32 - 1), dict(verb=h.HELLO, version=1), dict(verb=h.HELLO, version=3), dict(verb=h.HELLO, port=1), dict(verb=h.HELLO, count=1), dict(verb=h.HELLO, name=b"x"),
        dict(verb=h.HELLO, fds=[null]), dict(verb=h.HELLO, pid=1), dict(verb=h.HELLO, family=2),
        dict(verb=h.NETNS, name=b""), dict(verb=h.NETNS, name=b"run/netns/x"), dict(verb=h.NETNS, name=b"/etc/shadow"),
        dict(verb=h.NETNS, name=b"/dev/null"), dict(verb=h.NETNS, name=b"/proc/self/ns/mnt"),
        dict(verb=h.NETNS, name=b"/proc/self/ns/net"),
        dict(verb=h.NETNS, name=web.netns.encode() + b"\0x"), dict(verb=h.NETNS, name=b"/" * 1000),
        dict(verb=h.WALK), dict(verb=h.WALK, fds=[netns]), dict(verb=h.WALK, fds=[netns, null]),
        dict(verb=h.WALK, fds=[null, netns]), dict(verb=h.DIAG, fds=[mine]),
        dict(verb=h.SOCKET, name=b"web/app", fds=[netns], family=socket.AF_PACKET, type=socket.SOCK_STREAM),
        dict(verb=h.SOCKET, name=b"web/app", fds=[netns], family=socket.AF_INET, type=socket.SOCK_RAW),
        dict(verb=h.SOCKET, name=b"web/app", fds=[netns], family=socket.AF_INET, type=socket.SOCK_STREAM | 0o4000),
        dict(verb=h.SOCKET, name=b"web/app", fds=[mine], **inet), dict(verb=h.SOCKET, name=b"web/app", **inet),
        dict(verb=h.SOCKET, name=b".", fds=[netns], **inet), dict(verb=h.SOCKET, name=b"web/..", fds=[netns], **inet),
        dict(verb=h.SOCKET, name=b"..", fds=[netns], **inet), dict(verb=h.SOCKET, name=b"/web/app", fds=[netns], **inet),
        dict(verb=h.CANARY, name=b"../..", fds=[netns]), dict(verb=h.CANARY, name=b"web/app", fds=[null]),
        dict(verb=h.CODE, pid=1), dict(verb=h.CODE, pid=0), dict(verb=h.CODE, pid=-1), dict(verb=h.CODE, pid=os.getpid()),
        dict(verb=h.CODE, name=b"../x", pid=os.getpid()),
        dict(verb=h.PROBE, name=b"libssl.so", pid=os.getpid(), port=4096, count=1), dict(verb=h.PROBE, name=b"libc.so", pid=web.holder.pid, count=1),
        dict(verb=h.PROBE, name=b"", pid=web.holder.pid, count=1), dict(verb=h.PROBE, name=b"libssl.so", pid=web.holder.pid, count=3),
        dict(verb=h.SOCKET, name=b"web/app", fds=[netns], count=0, **inet),
        dict(verb=h.SOCKET, name=b"web/app", fds=[netns], count=33, **inet),
        dict(verb=h.SOCKET, name=b"web/app", fds=[netns], port=15001, **inet),
        *[dict(verb=h.LISTEN, name=b"web/app", fds=[netns], port=p) for p in (0, 22, 80, 8080, 15000, 15008, 65536 + 15001)],
        dict(verb=h.LISTEN, name=b"..", fds=[netns], port=15001), dict(verb=h.LISTEN, name=b".", fds=[netns], port=15001),
        dict(verb=h.LISTEN, name=b"web/app", fds=[null], port=15001), dict(verb=h.LISTEN, name=b"web/app", port=15001),
        *[dict(verb=h.TENANT, name=n) for n in (b"", b"a", b"/a", b"a/", b"../x", b"a/b/c", b"a/B", b"a/b c", b"a/" + b"x" * 400)],
        *[dict(verb=h.PLACE, name=n) for n in (b"", b"0/x", b"2000000000/p1", b"2000000000/../p1", b"/p1")],
        dict(verb=h.RELEASE, name=b".."), dict(verb=h.RELEASE, name=b"/etc"), dict(verb=h.RELEASE, name=b"."),
        dict(verb=h.SPAWN, name=b"default/nobody"), dict(verb=h.SPAWN, name=b"/bin/sh"), dict(verb=h.SPAWN, fds=[null]),
        dict(verb=h.SUCCEED), dict(verb=h.HANDOVER, fds=[null]), dict(verb=h.HANDOVER, count=1),
    ]
    for request in bad:
        assert refused(wire, **request), request
    _, _, values, _ = wire.ask(h.HELLO)
    assert values[3] == len(bad) and listening.text().count("event=helper_refused") >= 10
    # It still does its work.
    assert wire.netns(web.netns)[1]
    os.close(null)
    os.close(mine)


def test_what_is_no_request_ends_the_connection_and_not_the_helper(wire, listening):
    for packet, fds in ((b"x", []), (bytes(4096), []), (bytes(h.REQUEST.size), [0, 0, 0])):
        w = Wire(listening.path)
        assert w.raw(packet.ljust(12, b"\0"), fds) is None
        w.close()
    assert wire.ask(h.HELLO)[0] == 0


def test_a_dead_or_missing_place_is_an_error_and_no_refusal(wire):
    assert wire.ask(h.NETNS, b"/run/netns/weir-is-not-there")[:2] == (-errno.ENOENT, 0)
    assert wire.ask(h.CODE, pid=2**22 - 1)[:2] == (-errno.ESRCH, 0)


def test_nobody_else_may_ask(listening):
    assert os.stat(listening.path).st_mode & 0o777 == 0o600
    os.chmod(listening.path, 0o666)
    os.chmod(os.path.dirname(listening.path), 0o755)
    pid = os.fork()
    if pid == 0:
        code = 9
        try:
            os.setresuid(65534, 65534, 65534)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(PATIENCE)
            s.connect(listening.path)
            code = 0 if s.recv(1) == b"" else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert 'why="another user' in listening.text()


def test_it_leaves_no_descriptor_open(wire, listening, agent):
    def open_now():
        return len(os.listdir(f"/proc/{listening.p.pid}/fd"))

    netns, _ = wire.netns(agent.world.pods[0].netns)
    before = open_now()
    for _ in range(20):
        os.close(wire.netns(agent.world.pods[1].netns)[0])
        wire.ask(h.CANARY, b"web/app", [netns])
        assert refused(wire, h.WALK, fds=[netns, netns])
        error, _, _, fd = wire.ask(h.SOCKET, b"web/app", [netns], family=socket.AF_INET6, type=socket.SOCK_DGRAM)
        assert error == 0
        os.close(fd)
    wire.ask(h.HELLO)  # what came before is over
    assert open_now() == before


# --- tenants

def listeners(wire, cgroup, netns, port):
    error, is_refused, _, _ = wire.ask(h.LISTEN, cgroup.encode(), [netns], port=port)
    assert (error, is_refused) == (0, 0)
    return [socket.socket(fileno=fd) for fd in wire.got]


def test_a_tenants_listeners_are_made_in_the_pod_and_kept_for_the_next_agent(wire, listening, agent):
    web = agent.world.pods[0]
    netns, cookie = wire.netns(web.netns)
    assert wire.ask(h.TENANT, b"default/web")[:3] == (0, 0, [2000000000, 0, 0, 0])
    assert wire.ask(h.TENANT, b"other/web")[2][0] == 2000000001
    assert wire.ask(h.PLACE, b"2000000000/p7")[:2] == (0, 0)
    place = "weir-tenants/2000000000/p7"
    made = {port: listeners(wire, place, netns, port) for port in (15001, 15006, 15012)}
    assert [[s.getsockname()[:2] for s in made[p]] for p in made] == [
        [("127.0.0.1", 15001), ("::1", 15001)], [("0.0.0.0", 15006), ("::", 15006)], [("127.0.0.1", 15012), ("::1", 15012)]]
    assert all(struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, 71, 8))[0] == cookie for l in made.values() for s in l)
    # An agent that comes later gets the same, with what waits in them.
    client = web.app()
    client.call(actor.connect, "127.0.0.1", 15001)
    for s in made[15001]:
        s.close()
    later = Wire(listening.path)
    again = listeners(later, place, netns, 15001)
    assert eventually(lambda: again[0].accept())
    error, is_refused, _, _ = wire.ask(h.LISTEN, b"web/app", [netns], port=15001)
    assert (error, is_refused) == (-errno.EADDRINUSE, 0)
    later.close()
    for s in again + made[15006] + made[15012]:
        s.close()
    assert wire.ask(h.TENANT, b"default/web", count=0)[:2] == (-errno.EBUSY, 0)
    assert wire.ask(h.RELEASE, place.encode())[:2] == (0, 0)
    for name in (b"default/web", b"other/web"):
        assert wire.ask(h.TENANT, name, count=0)[:2] == (0, 0)
    assert not os.path.exists(os.path.join(agent.world.cgroup, "weir-tenants"))
    web.app().call(actor.listen, "127.0.0.1", 15001)


def test_sockets_come_in_batches_of_the_pod(wire, agent):
    netns, cookie = wire.netns(agent.world.pods[0].netns)
    error, _, _, _ = wire.ask(h.SOCKET, b"web/app", [netns], family=socket.AF_INET, type=socket.SOCK_STREAM, count=32)
    made = [socket.socket(fileno=fd) for fd in wire.got]
    assert error == 0 and len(made) == 32
    assert {struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, 71, 8))[0] for s in made} == {cookie}
    for s in made:
        s.close()


def before(ours, number, records):
    """The helper that hands over, as an agent in bad hands would make one: answers HELLO and HANDOVER, then the records."""
    for values in ([number, 0, 0, 0], [len(records), 0, 0, 0]):
        _, _, n, *_ = h.REQUEST.unpack(ours.recv(4096))
        ours.send(h.REPLY.pack(h.VERSION, n, 0, 0, *values))
    for fields, fds in records:
        f = {"pid": 0, "port": 0, "count": 0, "name": b"", **fields}
        packet = h.REQUEST.pack(f.get("version", h.VERSION), f["verb"], 0, f["pid"], 0, 0, f["port"], f["count"], f["name"])
        socket.send_fds(ours, [packet], fds)


def test_a_successor_takes_only_what_could_be_a_tenants(wire, listening, agent):
    parent = os.stat(agent.world.cgroup).st_ino
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    null = os.open("/dev/null", os.O_RDWR)
    victim = agent.world.pods[0].holder.pid
    records = [
        ({"verb": h.TENANT, "name": b"default/web", "count": 2000000007}, []),
        ({"verb": h.TENANT, "name": b"default/root", "count": 0}, []), ({"verb": h.TENANT, "name": b"../x", "count": 2000000008}, []),
        ({"verb": h.TENANT, "name": b"default/twice", "count": 2000000007}, []), ({"verb": h.TENANT, "name": b"x" * 992}, []),
        ({"verb": h.SPAWN, "name": b"default/web", "pid": victim}, [null]), ({"verb": h.SPAWN, "name": b"default/web", "pid": 1}, [null]),
        ({"verb": h.SPAWN, "name": b"default/web", "pid": -1}, [null]), ({"verb": h.SPAWN, "name": b"default/nobody", "pid": victim}, [null]),
        ({"verb": h.SPAWN, "name": b"default/web", "pid": victim}, []), ({"verb": h.LISTEN, "name": b"x", "port": 15001}, [null]),
        ({"verb": h.LISTEN, "name": b"7", "port": 15001}, []), ({"verb": h.CANARY}, [null]), ({"verb": h.TENANT, "version": 9}, []),
    ]
    assert wire.ask(h.HELLO)[0] == 0  # it has accepted us
    open_before = len(os.listdir(f"/proc/{listening.p.pid}/fd"))
    thread = threading.Thread(target=before, args=(ours, parent, records))
    thread.start()
    error, refused_, values, _ = wire.ask(h.SUCCEED, fds=[theirs.fileno()])
    thread.join()
    assert (error, refused_, values[0]) == (0, 0, len(records))
    assert listening.text().count("event=helper_not_taken") == len(records) - 1
    assert wire.ask(h.TENANT, b"default/web")[2][0] == 2000000007
    for pid in (victim, 1, os.getpid()):
        assert wire.ask(h.STOP, pid=pid)[0] == -errno.ESRCH
    assert os.path.exists(f"/proc/{victim}")
    assert len(os.listdir(f"/proc/{listening.p.pid}/fd")) == open_before + 2  # the tenants' directory and this one's
    assert wire.ask(h.SUCCEED, fds=[theirs.fileno()])[:2] == (-errno.EACCES, 1)
    assert wire.ask(h.TENANT, b"default/web", count=0)[0] == 0
    os.close(null)


def test_one_that_has_handed_over_does_nothing_more(wire, agent):
    assert wire.ask(h.HANDOVER)[:2] == (0, 0)
    assert wire.ask(h.NETNS, agent.world.pods[0].netns.encode())[:2] == (-errno.EACCES, 1)
    assert wire.ask(h.HELLO)[0] == 0

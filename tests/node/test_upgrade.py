# SPDX-License-Identifier: Apache-2.0
"""Another weir takes over what the one before it pinned: in place, under load, and from pins that know less or more."""
import errno
import glob
import json
import os
import shutil
import signal
import subprocess
import threading

import actor
from agent import SERVICE_IP, WEIR, eventually
from test_agent import refusal


def bpftool(*words):
    found = [shutil.which("bpftool", path="/usr/sbin:/usr/bin"), *glob.glob("/usr/lib/linux-tools/*/bpftool")]
    return json.loads(subprocess.run([[f for f in found if f][-1], "-j", *words], check=True, capture_output=True,
                                     text=True).stdout or "null")


def links(agent):
    """{pin: (link id, program id)} of every hook and pod."""
    return {path: (info["id"], info["prog_id"])
            for sub in ("links", "pods") for path in glob.glob(os.path.join(agent.pins, sub, "*"))
            for info in [bpftool("link", "show", "pinned", path)]}


class Load:
    """web's calls, which all must succeed, and the intruder's, which none must, until it ends."""

    def __init__(self, running):
        self.seen, self.over = [], threading.Event()
        self.store, self.fd = running.store
        self.clients = [p.app() for p in running.world.pods[:2]]
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.over.is_set():
                self.seen.append(tuple(c.call(actor.connect_many, SERVICE_IP, 70, 20) for c in self.clients))
                self.store.call(actor.accept_all, self.fd)
        except Exception as e:  # to the thread that asserts
            self.seen.append(e)

    def __enter__(self):
        self.thread.start()
        eventually(lambda: self.seen)
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join()


def test_each_program_is_replaced_in_its_link_while_calls_go_on(running):
    """One link from first to last: there is no moment without a program, and none with two."""
    other = os.path.join(running.dir, "weir-next")
    shutil.copy(WEIR, other)
    before = links(running)
    assert len(before) >= 14 + 3
    with Load(running) as load:
        for binary in (other, WEIR):
            calls = len(load.seen)
            assert running.end(signal.SIGTERM) == 0
            running.start(binary)
            assert os.path.samefile(f"/proc/{running.p.pid}/exe", binary) and running.status()["adopted"]
            eventually(lambda: running.ask("ready")[0]["ready"] and len(load.seen) > calls)
            after = links(running)
            assert {p: link for p, (link, _) in after.items()} == {p: link for p, (link, _) in before.items()}
            assert not {prog for _, prog in after.values()} & {prog for _, prog in before.values()}
            before = after
    assert set(load.seen) == {(0, 20)}


def test_pins_of_a_weir_that_knew_fewer_maps_are_adopted(running):
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    os.unlink(os.path.join(running.pins, "maps", "weir_doomed"))
    running.start()
    s = running.status()
    assert s["adopted"] and s["state"] == "in_force" and not s["pins"] and s["map_puts"] == 0
    assert os.path.exists(os.path.join(running.pins, "maps", "weir_doomed"))
    assert refusal(running.world.pods[1].app()) == errno.EPERM


def test_an_agent_that_adopts_while_the_helper_is_away_releases_nobody(running):
    before = links(running)
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    running.more = ["--helper", os.path.join(running.dir, "nobody-is-there")]
    running.start()
    s = running.status()
    assert s["pods_enrolled"] == 3 and s["pods_verified"] == 0 and s["helper"]["state"] == "away"
    assert s["map_puts"] == s["map_deletes"] == 0 and set(links(running)) == set(before)
    web, intruder, store = (p.app() for p in running.world.pods)
    assert not refusal(web) and refusal(intruder) == errno.EPERM
    # A changed policy is in force for new calls nevertheless.
    running.write("mesh.yaml", running.service("store", 70, 7000, running.world.pods[2]),
                  running.policy("store-nobody", "store", "nobody"))
    eventually(lambda: refusal(web) == errno.EPERM)


# What a killed agent or helper leaves, and uninstalling

def objects():
    """Ids of all programs, maps and links of the machine that weir could have made, and what is attached below cgroups."""
    return {kind: {o["id"] for o in bpftool(kind, "show") or [] if kind == "link" or o.get("name", "").startswith("weir_")}
            for kind in ("prog", "map", "link")}


def cgroups(agent):
    return {os.path.relpath(base, agent.world.cgroup) for base, _, _ in os.walk(agent.world.cgroup)}


def test_uninstalling_leaves_the_machine_as_it_was(agent):
    world = agent.world
    places, ours = cgroups(agent), objects()
    agent.write("pods.yaml", *[agent.pod_document(p) for p in world.pods])
    agent.start()
    # As killed in the middle of its self-test, and the helper in the middle of a proof.
    os.mkdir(os.path.join(world.cgroup, "weir-join-1"))
    os.mkdir(os.path.join(world.cgroup, "web", "weir-canary"))
    during = {kind: objects()[kind] - ours[kind] for kind in ours}
    mine = links(agent)
    assert len(mine) >= 14 + 3 and {link for link, _ in mine.values()} <= during["link"]
    helper = agent.status()["helper"]["pid"]
    agent.end(signal.SIGKILL)
    eventually(lambda: not os.path.exists(f"/proc/{helper}"))
    code, log = agent.once("--uninstall")
    assert code == 0 and "left=nothing" in log
    left = {kind: during[kind] & objects()[kind] for kind in ours}
    # Others that run tests on this machine make and drop objects of the same names: only what was ours counts.
    assert not left["link"] & {link for link, _ in mine.values()} and not left["prog"] & {p for _, p in mine.values()}
    assert cgroups(agent) == places
    assert not os.path.exists(agent.pins) and not os.path.exists(agent.socket)
    assert os.listdir(os.path.dirname(agent.pins)) in ([], ["progs.debug", "maps.debug"], ["maps.debug", "progs.debug"])
    tree = bpftool("cgroup", "tree", world.cgroup)
    assert not [p for c in tree or [] for p in c["programs"] if p["name"].startswith("weir_")]


def test_uninstalling_says_what_it_could_not_remove(running):
    held = os.path.join(running.world.cgroup, "weir-join-1")
    os.mkdir(held)
    lost = actor.Actor(running.world.pods[0].netns, held)
    try:
        running.end(signal.SIGKILL)
        code, log = running.once("--uninstall")
        assert code == 1 and f'event=left_behind what="cgroup {held}"' in log
    finally:
        lost.close()
    eventually(lambda: running.once("--uninstall")[0] == 0)
    assert not os.path.exists(held)

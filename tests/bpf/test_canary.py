# SPDX-License-Identifier: Apache-2.0
"""The reserved address: refused to whoever calls it, counted for the pod that did, and no denial in anybody's log."""
import errno
import os

import pytest

import abi
import actor

V4, V6, PORT = "192.0.2.249", "100::7765:6972", 9


def call(a, ip, port=PORT):
    with pytest.raises(OSError) as e:
        a.call(actor.connect, ip, port)
    return e.value.errno


def test_the_reserved_address_is_refused_counted_and_not_reported(world, web, counted):
    for a in (web.app(), web.app("app/inner"), web.sidecar()):
        for ip in (V4, V6, "::ffff:" + V4):
            assert call(a, ip) == errno.EPERM
    assert counted("seen_canary") == 9
    assert counted("deny_egress") == 0 and not world.driver.events()


def test_only_that_address_and_port_are_reserved(world, web, counted):
    a = web.app()
    a.call(actor.start, V4, PORT + 1)
    a.call(actor.start, "192.0.2.248", PORT)
    assert counted("seen_canary") == 0 and counted("allow_direct") == 2


def test_a_pod_is_proven_from_inside_its_cgroup_and_namespace(world, web, store):
    for pod in (web, store):
        assert world.driver.ask("prove", pod.id, pod.cgroup, pod.netns, 1) == []


def test_a_pod_is_not_proven_by_another_ones_call(world, web, store):
    with pytest.raises(Exception) as e:
        world.driver.ask("prove", store.id, web.cgroup, store.netns, 1)
    assert e.value.code == 2


def test_nobody_is_sent_into_a_cgroup_that_is_not_below_the_parent(world, web):
    outside = world.cgroup + "-outside"
    os.mkdir(outside)
    try:
        with pytest.raises(Exception) as e:
            world.driver.ask("prove", web.id, outside, web.netns, 1)
        assert e.value.code == -errno.EACCES
    finally:
        os.rmdir(outside)


def test_a_namespace_without_its_program_is_not_proven(world, web, store):
    with pytest.raises(Exception) as e:
        world.driver.ask("prove", web.id, web.cgroup, store.netns, 1)
    assert e.value.code == 3
    world.driver.ask("prove", web.id, web.cgroup, store.netns, 0)


def test_a_cgroup_that_hands_controllers_on_gets_a_leaf_for_it(world, web):
    controllers = open(os.path.join(world.cgroup, "cgroup.controllers")).read().split()
    if not controllers:
        pytest.skip("no controller reaches the tests' cgroup")
    both = [os.path.join(path, "cgroup.subtree_control") for path in (world.cgroup, web.cgroup)]
    web.app()
    for path in both:
        with open(path, "w") as f:
            f.write("+" + controllers[0])
    try:
        with pytest.raises(OSError) as e:
            with open(os.path.join(web.cgroup, "cgroup.procs"), "w") as f:
                f.write(str(web.actors[0].pid))
        assert e.value.errno == errno.EBUSY, "or the test would prove nothing"
        world.driver.ask("prove", web.id, web.cgroup, web.netns, 1)
        assert not os.path.exists(os.path.join(web.cgroup, "weir-canary"))
    finally:
        for path in reversed(both):
            with open(path, "w") as f:
                f.write("-" + controllers[0])

# SPDX-License-Identifier: Apache-2.0
"""AuthorizationPolicy in the kernel: asked beside NetworkPolicy, both have to allow; what only a sidecar can judge goes nowhere else."""
import errno
import struct

import pytest

import abi
import actor
from test_policy import cidr_set, denial, identity_set, refusal, served


def authorize(world, pod, *rules, block=70, mesh=0, ingress=abi.slot()):
    world.rules(block, *rules)
    world.set_pod(pod, mesh, ingress=ingress, authz=abi.slot(block))


def steer(world, pod, port):
    key = struct.pack("=IHBB", pod.id, port, abi.TCP, 0)
    world.driver.put("weir_port", key, struct.pack("=I", abi.STEER))
    return key


@pytest.fixture(params=["caller judged", "receiver alone"])
def judged(request, world, web):
    """The caller's own side may say no early; without it (a cgroup that is none of ours) the receiver does."""
    if request.param == "caller judged":
        yield web.app(), errno.EPERM
        return
    outside = world.cgroup_key(f"{web.cgroup}/app/inner")
    world.driver.put("weir_cgroup", outside, bytes(4) + bytes([abi.OUTSIDE, 0, 0, 0]))
    yield web.app("app/inner"), errno.ECONNREFUSED
    world.driver.delete("weir_cgroup", outside)


def test_what_no_rule_allows_is_denied_by_the_rest(world, web, store, judged):
    client, refused = judged
    served(store, 8080, 8081)
    cidr_set(world, 70, f"{web.v4}/32")
    authorize(world, store, abi.rule(61, abi.CIDR, 70, ports=(8080, 8080), proto=abi.TCP),
              abi.rule(62, proto=abi.TCP, flags=abi.DENY))
    assert refusal(client, store.v4, 8080) is None
    assert refusal(client, store.v4, 8081) == refused
    assert denial(world, web if refused == errno.EPERM else store).policy == 62


def test_both_kinds_of_policies_have_to_allow(world, web, store, judged):
    client, refused = judged
    served(store, 8080)
    world.rules(71, abi.rule(63))
    isolated, open_ = abi.slot(0, 9, abi.ISOLATED), abi.slot(71, 9, abi.ISOLATED)
    authorize(world, store, abi.rule(61), ingress=isolated)
    assert refusal(client, store.v4, 8080) == refused
    authorize(world, store, abi.rule(61, flags=abi.DENY), ingress=open_)
    assert refusal(client, store.v4, 8080) == refused
    authorize(world, store, abi.rule(61), ingress=open_)
    assert refusal(client, store.v4, 8080) is None


def test_deny_by_identity_and_all_but_one(world, web, api, store):
    served(store, 8080)
    identity_set(world, 72, web)
    authorize(world, store, abi.rule(61, abi.IDENTITY, 72, flags=abi.DENY))
    assert refusal(web.app(), store.v4, 8080) == errno.EPERM
    assert refusal(api.app(), store.v4, 8080) is None
    authorize(world, store, abi.rule(61, abi.NOT_IDENTITY, 72, flags=abi.DENY))
    assert refusal(web.app(), store.v4, 8080) is None
    assert refusal(api.app(), store.v4, 8080) == errno.EPERM


@pytest.mark.parametrize("flags", [abi.PROXY_ONLY, abi.PROXY_ONLY | abi.DENY])
def test_what_the_sidecar_has_to_judge_goes_nowhere_else(world, web, store, counted, flags):
    app = served(store, 8080, 8081)
    authorize(world, store, abi.rule(64, ports=(8080, 8081), flags=flags), mesh=abi.MESHED)
    key = steer(world, store, 8080)
    try:
        # Nobody listens there for the pod yet: not even an application may have it.
        assert refusal(web.app(), store.v4, 8080) == errno.ECONNREFUSED
        sidecar = store.sidecar()
        lid = sidecar.call(actor.listen, "0.0.0.0", 15006)
        assert refusal(web.app(), store.v4, 8080) is None
        assert sidecar.call(actor.accept_all, lid) == 1
        assert refusal(web.app(), store.v4, 8081) == errno.EPERM
        assert counted("deny_unproven") == 1
        assert denial(world, web).policy == 64
    finally:
        world.driver.delete("weir_port", key)
    assert app.call(actor.none) is None


def test_a_failing_sidecar_does_not_open_what_it_has_to_judge(world, web, store):
    served(store, 8080)
    authorize(world, store, abi.rule(64, flags=abi.PROXY_ONLY), mesh=abi.MESHED | abi.FAIL_OPEN)
    key = steer(world, store, 8080)
    try:
        assert refusal(web.app(), store.v4, 8080) == errno.ECONNREFUSED
        authorize(world, store, abi.rule(64), mesh=abi.MESHED | abi.FAIL_OPEN)
        assert refusal(web.app(), store.v4, 8080) is None
    finally:
        world.driver.delete("weir_port", key)


def test_audit_mode_and_action_audit_are_told_and_pass(world, web, store, counted):
    served(store, 8080)
    authorize(world, store, abi.rule(65, flags=abi.NOTE), abi.rule(66, flags=abi.DENY | abi.AUDIT))
    assert refusal(web.app(), store.v4, 8080) is None
    told = {e.policy for e in world.driver.events() if e.kind == abi.DENIED}
    assert told == {65, 66}
    assert counted("allow_audit") == 1 and counted("allow_noted") == 1


def test_udp_is_not_its_business(world, web, store):
    server = store.app()
    lid = server.call(actor.listen, store.v4, 53, kind=2)
    authorize(world, store, abi.rule(61, flags=abi.DENY))
    client = web.app()
    fd = client.call(actor.listen, web.v4, 0, kind=2)
    client.call(actor.sendto, fd, b"ask", store.v4, 53)
    assert server.call(actor.recvfrom, lid)[0] == b"ask"

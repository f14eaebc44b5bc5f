# SPDX-License-Identifier: Apache-2.0
"""One matcher: the kernel's copy of the policy decision, run over the live maps, equals the host compiler's."""
import os

import pytest

FLOWS = 400  # a round, see fuzz.c


def test_both_copies_of_the_matcher_agree_on_random_policies_and_flows(world):
    seeds = [1, 2, 3, int.from_bytes(os.urandom(6), "little")]
    for seed in seeds:
        verdicts = [int(n) for n in world.driver.ask("fuzz", seed, 60)]  # undecided, allow, deny, sidecar decides
        assert sum(verdicts) == 60 * FLOWS, seed
        # A fuzz that only ever takes one way out proves nothing.
        assert min(verdicts) > 60, (seed, verdicts)


@pytest.mark.guest("weir_explain")
def test_asking_leaves_no_trace_in_maps_and_counters(world, counted):
    before = [world.driver.ask("each", m) for m in ("weir_rule", "weir_idset", "weir_cidr")]
    world.driver.ask("fuzz", 7, 3)
    assert before == [world.driver.ask("each", m) for m in ("weir_rule", "weir_idset", "weir_cidr")]
    assert counted("deny_ingress") == counted("deny_egress") == 0
    assert not world.driver.events()

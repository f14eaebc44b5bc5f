# SPDX-License-Identifier: Apache-2.0
"""Twenty seconds of tests/chaos (make chaos: five minutes): agent and helper killed at random moments while policy churns."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "chaos"))

import chaos  # noqa: E402


def test_no_denied_flow_succeeds_and_no_allowed_one_fails():
    figures, broken = chaos.run(20, seed=random.randrange(10**6))
    assert not broken, (figures, broken)
    assert figures["agent_kills"] and figures["settled"] and figures["allowed"] and figures["denied"], figures

# SPDX-License-Identifier: Apache-2.0
"""Gateway API mesh conformance, unmodified, in each mode; conformance.py makes the report that is committed."""

import pytest

import cluster as clusters
import conformance


@pytest.mark.parametrize("mode", ["node", "sidecar"])
def test_every_case_passes(cluster, mode):
    verdicts, output = conformance.run(cluster, mode)
    (clusters.ROOT / "build" / "k8s" / f"conformance-{mode}.log").write_text(output, encoding="utf-8")
    counted = conformance.ran(verdicts)
    assert {k: v for k, v in counted.items() if v != "PASS"} == {}, f"build/k8s/conformance-{mode}.log"
    assert len(counted) == conformance.CASES

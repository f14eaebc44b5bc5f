#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Gateway API mesh conformance suite, as its project publishes it, against weir in a cluster of the tests' own.

conformance.py MODE [--record] [--run-test NAME]
MODE is node or sidecar: how the suite's namespaces are meshed, by the label weir.dev/mode that the suite is told to give them. --record
writes docs/conformance/mesh-MODE.yaml, the report the suite itself makes. Fails unless every case it runs passes.
"""

import argparse
import re
import subprocess
import sys

import cluster
import weir

FEATURES = """Mesh HTTPRoute GRPCRoute HTTPRoute303RedirectStatusCode HTTPRoute307RedirectStatusCode HTTPRoute308RedirectStatusCode
HTTPRouteResponseHeaderModification HTTPRouteParentRefPort MeshClusterIPMatching MeshConsumerRoute MeshHTTPRouteRewritePath
MeshHTTPRouteSchemeRedirect MeshHTTPRouteRedirectPort MeshHTTPRouteRedirectPath MeshHTTPRouteBackendRequestHeaderModification
MeshHTTPRouteQueryParamMatching MeshHTTPRouteNamedRouteRule""".split()
CASES = 22
VERDICT = re.compile(r"^    --- (PASS|FAIL|SKIP): TestConformance/(\S+)", re.M)


def run(c, mode, test=None, report=None):
    """{case: PASS, FAIL or SKIP}, and the whole output."""
    flags = ["-test.v", "-test.run=TestConformance", "-test.timeout=30m", "-gateway-class=", "-conformance-profiles=MESH-HTTP,MESH-GRPC",
             "-supported-features=" + ",".join(FEATURES), f"-namespace-labels=weir.dev/mode={mode}", f"-mode={mode}", "-organization=weir",
             "-project=weir", "-url=https://weir.dev", "-contact=https://weir.dev", f"-version={version()}"]
    flags += [f"-run-test={test}"] if test else []
    flags += [f"-report-output={report}"] if report else []
    done = c.machine.run(["env", f"KUBECONFIG={c.admin}", "GOMAXPROCS=2", cluster.BIN / "conformance.test", *flags], timeout=1900, check=False,
                         cwd="/tmp")
    return {name: verdict for verdict, name in VERDICT.findall(done.stdout)}, done.stdout + done.stderr


def version():
    return subprocess.run([str(weir.PROGRAM), "version"], capture_output=True, text=True, check=True, timeout=20).stdout.split()[1]


def ran(verdicts):
    return {k: v for k, v in verdicts.items() if v != "SKIP"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("node", "sidecar"))
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--run-test")
    args = parser.parse_args()
    reason = weir.why_not()
    if reason:
        sys.exit(f"no cluster here: {reason}")
    to = cluster.ROOT / "docs" / "conformance" / f"mesh-{args.mode}.yaml"
    with cluster.Cluster() as c:
        weir.install(c, args.mode)
        report = c.machine.directory / "report.yaml"
        verdicts, output = run(c, args.mode, args.run_test, report)
        (cluster.ROOT / "build" / "k8s" / f"conformance-{args.mode}.log").write_text(output, encoding="utf-8")
        if not report.exists():
            sys.exit("the suite did not run:\n" + output[-3000:])
        if args.record and not args.run_test:
            to.parent.mkdir(exist_ok=True)
            to.write_text(report.read_text(encoding="utf-8"), encoding="utf-8")
    counted = ran(verdicts)
    for name, verdict in sorted(counted.items()):
        print(verdict, name)
    passed = sum(v == "PASS" for v in counted.values())
    print(f"{passed} passed, {len(counted) - passed} failed")
    wanted = 1 if args.run_test else CASES
    sys.exit(0 if passed == len(counted) == wanted else 1)


if __name__ == "__main__":
    main()

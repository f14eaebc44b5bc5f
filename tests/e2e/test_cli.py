# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes 0, 1 and 2, help everywhere, errors with a place, output for programs."""

import json
import os
import re
import subprocess

import pytest

import pods
from proxies import WEIR, weir

VERBS = ["proxy", "agent", "run", "join", "validate", "check", "ca", "status", "routes", "version"]

GOOD = """\
apiVersion: v1
kind: Service
metadata:
  name: a
spec:
  clusterIP: 10.1.2.3
  ports:
    - {name: http, port: 80}
"""


def test_help_lists_the_verbs_and_each_has_its_own():
    top = weir("--help")
    assert top.returncode == 0
    assert weir().returncode == 2
    for verb in VERBS:
        assert verb in top.stdout
        own = weir(verb, "--help")
        assert own.returncode == 0 and own.stdout.startswith(f"weir {verb}"), own


@pytest.mark.parametrize("args", [
    ["nonsense"], ["proxy", "--nonsense"], ["proxy"], ["proxy", "stray"],
    ["proxy", "--listen", "nowhere", "--to", "a:1"], ["proxy", "--listen", ":0", "--to", "ftp://a"],
    ["proxy", "--listen", ":0", "--to", "a:1", "--workers", "0"],
    ["proxy", "--listen", ":0", "--to", "a:1", "--workers", "many"],
    ["proxy", "--listen", ":0", "--to", "a:1", "--access-log", "xml"],
    ["validate"], ["validate", "-o", "xml", "/dev/null"], ["ca"], ["ca", "destroy"],
    ["ca", "issue"], ["agent"]])
def test_wrong_usage_is_exit_code_2_and_says_why(args):
    done = weir(*args)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("weir"), done
    assert len(done.stderr.splitlines()) <= 3


def test_version():
    done = weir("version")
    assert done.returncode == 0 and done.stdout.startswith("weir 0.")
    assert json.loads(weir("version", "-o", "json").stdout)["version"]


def test_validate_accepts_and_refuses(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(GOOD)
    done = weir("validate", file)
    assert done.returncode == 0 and done.stdout.startswith("ok: 1 services")
    file.write_text(GOOD.replace("ports:", "portz:"))
    done = weir("validate", file)
    assert done.returncode == 1
    assert f'{file}:7:3: error: spec.portz: unknown field "portz"; did you mean "ports"?' in done.stdout
    found = json.loads(weir("validate", "-o", "json", file).stdout)
    assert found["valid"] is False
    problem = found["problems"][0]
    assert (problem["file"], problem["line"], problem["column"]) == (str(file), 7, 3)


def test_validate_reads_standard_input_directories_and_says_what_it_cannot_read(tmp_path):
    done = subprocess.run([WEIR, "validate", "-"], input=GOOD + "x: y\n", capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 1 and "<stdin>:9:1:" in done.stdout
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.json").write_text('{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}')
    (tmp_path / "notes.txt").write_text("not configuration")
    assert weir("validate", tmp_path).returncode == 0
    done = weir("validate", tmp_path / "gone.yaml")
    assert done.returncode == 1 and "gone.yaml" in done.stderr


def test_an_unknown_kind_is_refused_unless_marked():
    foreign = "apiVersion: example.com/v1\nkind: Gadget\nmetadata:\n  name: x\n"
    done = subprocess.run([WEIR, "validate", "-"], input=foreign, capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 1 and "Gadget" in done.stdout
    marked = foreign + '  annotations: {weir.dev/ignore: "true"}\n'
    done = subprocess.run([WEIR, "validate", "-"], input=marked, capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 0, done.stdout


def test_the_demos_configuration_is_valid_as_it_stands():
    done = weir("validate", "--strict", os.path.join(pods.ROOT, "demo", "config"))
    assert done.returncode == 0, done.stdout


def test_ca_makes_identities_that_openssl_verifies(tmp_path):
    ca, out = tmp_path / "ca", tmp_path / "web"
    assert weir("ca", "init", "--dir", ca).returncode == 0
    again = weir("ca", "init", "--dir", ca)
    assert again.returncode == 1 and "never overwritten" in again.stderr
    assert weir("ca", "issue", "--dir", ca, "default/web", "--out", out).returncode == 0
    done = subprocess.run(["openssl", "verify", "-CAfile", ca / "ca.crt", out / "tls.crt"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = subprocess.run(["openssl", "x509", "-noout", "-text", "-in", out / "tls.crt"],
                          capture_output=True, text=True).stdout
    assert "URI:spiffe://cluster.local/ns/default/sa/web" in text
    assert "prime256v1" in text or "P-256" in text
    for key in (ca / "ca.key", out / "tls.key"):
        assert key.stat().st_mode & 0o077 == 0
    assert weir("ca", "issue", "--dir", tmp_path / "none", "default/web").returncode == 1


def test_check_says_what_is_there_and_how_to_mend_what_is_not():
    done = weir("check")
    assert done.returncode in (0, 1) and done.stdout
    assert isinstance(json.loads(weir("check", "-o", "json").stdout), (dict, list))


def test_status_without_anybody_running_is_1(tmp_path):
    done = weir("status", "--agent", tmp_path / "none.sock")
    assert done.returncode == 1 and "none.sock" in done.stderr


def test_status_of_a_running_proxy(reverse):
    done = weir("status", "-o", "json", "--admin", f"127.0.0.1:{reverse.admin}")
    found = json.loads(done.stdout)["proxy"]
    assert found["pid"] == reverse.pid and found["draining"] is False
    assert "pid" in weir("status", "--admin", f"127.0.0.1:{reverse.admin}").stdout


def test_validate_knows_what_the_kernel_can_hold(tmp_path):
    """One rule too many of one pod, as the agent of its node would refuse it, whether or not its place is known."""
    ports = lambda n: ", ".join("{port: %d}" % (1 + 2 * i) for i in range(n))  # noqa: E731
    pod = ("apiVersion: v1\nkind: Pod\nmetadata: {name: api, namespace: default, labels: {app: api}%s}\n"
           "spec: {serviceAccountName: api}\nstatus: {podIP: 10.0.0.9}\n---\n")
    policy = ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: wide, namespace: default}\n"
              "spec: {podSelector: {}, ingress: [{ports: [%s]}]}\n")
    here = ", annotations: {weir.dev/cgroup: /a, weir.dev/netns: /n}"
    file = tmp_path / "wide.yaml"
    for more, n, right in ((here, 512, True), (here, 513, False), ("", 512, True), ("", 513, False)):
        file.write_text(pod % more + policy % ports(n))
        done = weir("validate", str(file))
        assert (done.returncode == 0) == right, (n, done)
    file.write_text(pod % here + policy % ports(513))
    done = weir("validate", "-o", "json", str(file))
    problem = json.loads(done.stdout)["problems"][0]
    assert not json.loads(done.stdout)["valid"] and (problem["line"], problem["severity"]) == (7, "error")
    assert "pod default/api has more than 512 rules" in problem["message"]


def verbs():
    return re.findall(r"^  (\S+) +\S", weir("--help").stdout, re.M)


def options(verb):
    return re.findall(r"--([a-z-]+)", weir(verb, "--help").stdout.split("Options:")[1])


def complete(*words):
    script = ('source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weir; echo "${COMPREPLY[*]}"')
    done = subprocess.run(["bash", "-c", script, WEIR, *words], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split()


def test_bash_completes_verbs_options_and_choices():
    assert sorted(complete("weir", "")) == sorted(verbs())
    assert complete("weir", "prox") == ["proxy"]
    for verb in verbs():
        assert set(options(verb)) <= {w.removeprefix("--") for w in complete("weir", verb, "--")}
    assert complete("weir", "status", "-o", "") == ["text", "json"]
    assert complete("weir", "proxy", "--access-log", "j") == ["json"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_every_verb_and_option(shell):
    script = weir("completion", shell).stdout
    for verb in verbs():
        assert re.search(rf"\b{verb}\b", script)
        for option in set(options(verb)) - {"help"}:
            assert f"--{option}[" in script or f"-l {option} " in script


def test_a_shell_it_does_not_know_is_a_usage_error():
    assert weir("completion", "tcsh").returncode == 2
    assert weir("man", "nothing").returncode == 2


def test_manual_pages_are_clean_and_complete():
    for verb in ["", *verbs()]:
        page = weir("man", *[verb] * bool(verb)).stdout
        made = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-c"], input=page, capture_output=True, text=True, timeout=20)
        assert made.returncode == 0 and made.stderr == "", made.stderr
        shown = re.sub(r".\x08", "", made.stdout).replace("\u2010", "-").replace("\u2212", "-")
        for option in options(verb) if verb else []:
            assert option == "help" or f"--{option}" in shown, (verb, option)

# SPDX-License-Identifier: Apache-2.0
"""The image: what is in it, that it is the same each time, and that podman and containerd run it with nothing granted.
`make test-image`; a target of its own because of the container engines it installs."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "build" / "image" / "weir.tar"
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=200:200"]
NOTHING = ["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--user", "12345:12345"]


def run(*args, timeout=600, **kwargs):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout, **kwargs)
    assert done.returncode == 0, f"{args}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def blobs(archive):
    with tarfile.open(archive) as t:
        read = lambda name: t.extractfile(name).read()  # noqa: E731
        index = json.loads(read("index.json"))
        digest = index["manifests"][0]["digest"]
        blob = lambda d: read("blobs/sha256/" + d.split(":")[1])  # noqa: E731
        manifest = json.loads(blob(digest))
        layers = [blob(layer["digest"]) for layer in manifest["layers"]]
        return digest, json.loads(blob(manifest["config"]["digest"])), layers


def test_one_program_and_its_licences_in_eight_megabytes(tmp_path):
    assert ARCHIVE.stat().st_size <= 8_000_000
    _, config, layers = blobs(ARCHIVE)
    assert len(layers) == 1
    (tmp_path / "layer").write_bytes(layers[0])
    with tarfile.open(tmp_path / "layer") as t:
        files = {m.name.removeprefix("./"): m for m in t.getmembers() if m.isfile()}
        assert {n for n in files if not n.startswith("licenses/")} == {"weir"}
        assert all(m.mode & 0o6022 == 0 for m in files.values())
        assert files["weir"].size <= 8_000_000
        program = t.extractfile(files["weir"]).read()
    assert b"BEGIN PRIVATE KEY" not in program and b"BEGIN CERTIFICATE-----\n" not in program
    assert str(ROOT).encode() not in program
    assert config["config"]["User"] == "65532:65532" and config["config"]["Entrypoint"] == ["/weir"]
    assert config["created"].startswith("1970-01-01T00:00:00")


def test_built_elsewhere_it_has_the_same_digest(tmp_path):
    """Another directory, another time: the same commit and packages."""
    if run("git", "-C", ROOT, "status", "--porcelain"):
        pytest.skip("the tree has changes that are in no commit: another checkout would not have them")
    clone = tmp_path / "another-place"
    run("git", "clone", "-q", ROOT, clone)
    run("make", "image", cwd=clone)
    assert blobs(clone / "build" / "image" / "weir.tar")[0] == blobs(ARCHIVE)[0]
    shutil.rmtree(clone)


@pytest.fixture(scope="module")
def podman(tmp_path_factory):
    d = tmp_path_factory.mktemp("podman")
    base = ["podman", "--root", d / "s", "--runroot", d / "r", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
            "--runtime", "runc"]
    run(*base, "load", "-q", "-i", ARCHIVE)
    name = re.search(r"\S+/weir:\S+", run(*base, "images", "--format", "{{.Repository}}:{{.Tag}}")).group()
    yield base, name
    run(*base, "rm", "-af", "-t", "0")
    run(*base, "rmi", "-af")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url, timeout=20):
    end = time.monotonic() + timeout
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as r:
                return r.status, r.read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_podman_runs_the_proxy_with_nothing_granted(podman):
    base, name = podman
    port, admin = free_port(), free_port()
    box = run(*base, "run", "-d", *LIMITS, *NOTHING, "--network", "host", name, "proxy", "--listen", f"127.0.0.1:{port}",
              "--to", f"http://127.0.0.1:{admin}", "--admin", f"127.0.0.1:{admin}").strip()
    try:
        assert fetch(f"http://127.0.0.1:{port}/ready") == (200, b"ready\n")
        pid = int(run(*base, "inspect", "-f", "{{.State.Pid}}", box))
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert re.search(rf"^{caps}:\s+0+$", status, re.M), status
        assert re.search(r"^Uid:\s+12345\s", status, re.M) and re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    finally:
        run(*base, "stop", "-t", "20", box)
    assert run(*base, "inspect", "-f", "{{.State.ExitCode}}", box).strip() == "0"


def test_there_is_no_shell_in_it(podman):
    base, name = podman
    for program in ("/bin/sh", "/bin/busybox", "/usr/bin/env"):
        done = subprocess.run([str(a) for a in (*base, "run", "--rm", *LIMITS, *NOTHING, "--network", "none", "--entrypoint", program, name)],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "no such file" in done.stderr.lower(), done.stderr


def test_containerd_runs_it(tmp_path):
    sock = tmp_path / "sock"
    daemon = subprocess.Popen(["containerd", "--root", tmp_path / "root", "--state", tmp_path / "state", "--address", sock],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ctr = ["ctr", "-a", sock, "-n", "weir-test"]
    try:
        end = time.monotonic() + 30
        while not sock.exists() and time.monotonic() < end:
            time.sleep(0.05)
        run(*ctr, "images", "import", "--snapshotter", "native", ARCHIVE)
        name = re.search(r"^\S*weir:\S+", run(*ctr, "images", "ls", "-q"), re.M).group()
        said = run(*ctr, "run", "--rm", "--snapshotter", "native", "--read-only", "--net-host", name, "t", "/weir", "version",
                   timeout=60)
        assert said.startswith("weir ")
    finally:
        daemon.terminate()
        daemon.wait(20)

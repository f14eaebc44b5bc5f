# SPDX-License-Identifier: Apache-2.0
"""`weir proxy` as a process of the test: started, asked, ended. Ports are chosen by the kernel and read from the log."""

import os
import re
import signal
import subprocess
import time
import urllib.request

import mesh
import pods

WEIR = pods.WEIR


class Proxy:
    def __init__(self, directory, *args, env=None, stdin=None):
        self.args = args
        n = len(list(directory.glob("proxy-*.err")))
        self.err_path, self.out_path = directory / f"proxy-{n}.err", directory / f"proxy-{n}.out"
        with open(self.err_path, "wb") as err, open(self.out_path, "wb") as out:
            self.process = subprocess.Popen(
                [WEIR, "proxy", *map(str, args)], stdout=out, stderr=err,
                stdin=stdin if stdin is not None else subprocess.DEVNULL,
                env={**os.environ, **(env or {})}, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid

    def err(self):
        return self.err_path.read_text(errors="replace")

    def out(self):
        return self.out_path.read_text(errors="replace")

    def wait_err(self, pattern, timeout=20):
        """The match of a pattern in the log, as soon as it is there."""
        def look():
            found = re.search(pattern, self.err())
            if not found and self.process.poll() is not None:
                found = re.search(pattern, self.err())
                if not found:
                    raise AssertionError(f"weir proxy ended ({self.process.returncode}) without "
                                         f"{pattern!r}:\n{self.err()}")
            return found
        try:
            return pods.wait_for(look, timeout=timeout, what=pattern)
        except pods.PodsError as e:
            raise AssertionError(f"{e}; the log says:\n{self.err()}") from None

    def ready(self):
        self.wait_err(r"event=ready")
        return self

    def port_of(self, direction):
        return int(re.search(rf"event=listen direction={direction} \S+ port=(\d+)",
                             self.err()).group(1))

    @property
    def port(self):
        return self.port_of("reverse")

    @property
    def admin(self):
        return self.port_of("admin")

    def url(self, path="/", scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def get_admin(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as r:
            return r.read().decode()

    def metrics(self):
        return mesh.parse_metrics(self.get_admin("/metrics"))

    def metric(self, name):
        return self.metrics()[name]

    def wait_metric(self, name, value, timeout=15):
        return pods.wait_for(lambda: self.metric(name) == value, timeout=timeout,
                             what=f"{name} = {value}")

    def rss(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def no_sanitizer_report(self):
        """With WEIR=build/san/weir: what it found until the process ended, leaks included."""
        assert "Sanitizer" not in self.err() and "runtime error:" not in self.err(), self.err()[-8000:]

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=40):
        return self.process.wait(timeout=timeout)

    def stop(self):
        """As an init system does it; the exit code."""
        if self.alive():
            self.signal(signal.SIGTERM)
            try:
                return self.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def curl(*args, timeout=60, **kwargs):
    return subprocess.run(["curl", "-sS", "--max-time", "50", *map(str, args)],
                          capture_output=True, timeout=timeout, **kwargs)


def weir(*args, timeout=30, **kwargs):
    return subprocess.run([WEIR, *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          **kwargs)


def steady(read, times=3, pause=0.1, timeout=20):
    """The value of read() once it has been the same some times in a row."""
    deadline, last, same = time.monotonic() + timeout, read(), 0
    while same < times:
        time.sleep(pause)
        now = read()
        same, last = (same + 1 if now == last else 0), now
        if time.monotonic() > deadline:
            raise AssertionError(f"does not come to rest: {last}")
    return last

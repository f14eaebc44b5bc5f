# SPDX-License-Identifier: Apache-2.0
"""Processes of a benchmark: started pinned to one core on free ports, their CPU time read, ended by pid whatever happens."""
import atexit
import contextlib
import ctypes
import http.client
import os
import resource
import signal
import subprocess
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'tests', 'support'))

from ports import free_port  # noqa: E402, F401 - given on to the contenders

TICK = os.sysconf('SC_CLK_TCK')
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_alive = []
_cgroup = []  # where processes are started now; empty: where we are


class Failed(Exception):
    """A contender did not start or answered wrongly."""


class Skipped(Exception):
    """This machine cannot do it; why."""


def cores():
    """(the core of the proxies, the core of everything else)."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) == 1:
        print('bench: only one core: the load and the proxies share it', file=sys.stderr)
    return mine[0], mine[-1]


def be_nice(level):
    """The nice level of this process and of what it starts; of its autogroup too, which is what counts between sessions."""
    if not level:
        return
    os.setpriority(os.PRIO_PROCESS, 0, level)
    with contextlib.suppress(OSError), open('/proc/self/autogroup', 'w', encoding='ascii') as f:
        f.write(str(level))


def pinned(core):
    """For preexec_fn: on that core, and gone when we are."""
    cgroup = _cgroup[-1] if _cgroup else None

    def prepare():
        if cgroup:
            with open(os.path.join(cgroup, 'cgroup.procs'), 'w', encoding='ascii') as f:
                f.write('0')
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, {core})
        be_nice(os.getpriority(os.PRIO_PROCESS, 0))
    return prepare


@contextlib.contextmanager
def inside(cgroup):
    """What is started meanwhile is in that cgroup; None: nothing changes."""
    _cgroup.append(cgroup)
    try:
        yield
    finally:
        _cgroup.pop()


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _read(path):
    try:
        with open(path, encoding='ascii') as f:
            return f.read()
    except OSError:
        return ''


def output_of(argv, env=None):
    """What a program prints, on either descriptor."""
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False,
                       env={**os.environ, **(env or {})})
    return p.stdout.decode(errors='replace').strip()


def _children(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f'/proc/{pid}/task'):
            for child in _read(f'/proc/{pid}/task/{task}/children').split():
                found.append(int(child))
                found.extend(_children(int(child)))
    return found


class Process:
    def __init__(self, argv, core, log, env=None):
        self.argv, self.log = argv, log
        with open(log, 'ab') as out:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=pinned(core),
                                          env={**os.environ, **(env or {})}, start_new_session=True)
        self.pids = [self.popen.pid]
        _alive.append(self)

    def settle(self):
        """Finds the processes that do the work (nginx's workers)."""
        self.pids = [self.popen.pid] + _children(self.popen.pid)

    def running(self):
        return self.popen.poll() is None

    def last_words(self):
        text = _read(self.log).strip().splitlines()
        return ' / '.join(text[-3:]) or 'no output'

    def owns_listener(self, port):
        """Is the socket listening on that port one of ours? A stray process must not answer in the place of the one measured."""
        inodes = set()
        for table in ('/proc/net/tcp', '/proc/net/tcp6'):
            for line in _read(table).splitlines()[1:]:
                f = line.split()
                if f[3] == '0A' and int(f[1].rsplit(':', 1)[1], 16) == port:
                    inodes.add(f'socket:[{f[9]}]')
        for pid in self.pids:
            with contextlib.suppress(OSError):
                for fd in os.listdir(f'/proc/{pid}/fd'):
                    with contextlib.suppress(OSError):
                        if os.readlink(f'/proc/{pid}/fd/{fd}') in inodes:
                            return True
        return False

    def cpu(self):
        """(user, system) seconds of all its processes and threads so far. The sum is the scheduler's, in ns, where it can be read; the
        kernel's ticks of /proc/PID/stat split it."""
        user = system = exact = 0.0
        for pid in self.pids:
            fields = _read(f'/proc/{pid}/stat').rpartition(')')[2].split()
            if not fields:
                continue
            user += int(fields[11]) / TICK
            system += int(fields[12]) / TICK
            with contextlib.suppress(OSError):
                for task in os.listdir(f'/proc/{pid}/task'):
                    exact += int((_read(f'/proc/{pid}/task/{task}/schedstat') or '0').split()[0]) / 1e9
        return user, system, exact

    def sleeps(self):
        """Times its threads had nothing to do and gave up the core: CPU per request falls when work comes in larger batches."""
        n = 0
        for pid in self.pids:
            with contextlib.suppress(OSError):
                for task in os.listdir(f'/proc/{pid}/task'):
                    for line in _read(f'/proc/{pid}/task/{task}/status').splitlines():
                        if line.startswith('voluntary_ctxt_switches:'):
                            n += int(line.split()[1])
        return n

    def stop(self):
        if self not in _alive:
            return
        _alive.remove(self)
        # The workers first: a master killed outright would leave them.
        family = _children(self.popen.pid)
        if self.running():
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(0.5)
        if self.running():
            self.popen.kill()
            self.popen.wait()
        for pid in family:
            # Only if it still is what it was: our session's.
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self.popen.pid:
                    os.kill(pid, signal.SIGKILL)


def stop_all():
    for p in list(_alive):
        p.stop()


def clean_up_always():
    def leave(number, _):
        raise SystemExit(128 + number)  # the `finally` clauses do the rest

    atexit.register(stop_all)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def cpu_between(before, after):
    """(user, system) seconds between two sums of Process.cpu."""
    user, system, exact = (b - a for a, b in zip(before, after))
    ticks = user + system
    if exact <= 0 or ticks <= 0:
        return user, system
    return exact * user / ticks, exact * system / ticks


def get(port, path, timeout=5, context=None, body=None):
    """(status, body) of one HTTP/1.1 request; over TLS with an ssl.SSLContext, POST with a body."""
    c = (http.client.HTTPSConnection('127.0.0.1', port, timeout=timeout, context=context) if context
         else http.client.HTTPConnection('127.0.0.1', port, timeout=timeout))
    try:
        c.request('GET' if body is None else 'POST', path, body=body, headers={'Host': 'bench'})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def get_h2(port, path, timeout=5, context=None, body=None):
    """The same over HTTP/2, by prior knowledge or ALPN, with nghttp; the status of an answer that is not 200 is 0."""
    url = f'{"https" if context else "http"}://127.0.0.1:{port}{path}'
    argv = ['nghttp', '--no-verify-peer', '-t', str(timeout), *(['-d', '-', '-H', 'te: trailers'] if body is not None else []), url]
    p = subprocess.run(argv, input=body if body is not None else b'', stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout + 10, check=False)
    return (200 if p.returncode == 0 and not p.stderr else 0), p.stdout


def wait_ready(processes, port, path, expected, seconds=5, h2=False, context=None):
    """Until `expected` comes back through the chain of processes; Failed with the reason when it does not."""
    end = time.monotonic() + seconds
    last = 'nothing listens'
    while time.monotonic() < end:
        for p in processes:
            if not p.running():
                raise Failed(f'{os.path.basename(p.argv[0])} ended with {p.popen.returncode}: {p.last_words()}')
        try:
            status, body = (get_h2 if h2 else get)(port, path, 1, context)
            if status == 200 and body == expected:
                break
            last = f'{status} {body[:60]!r} for {path}'
        except (OSError, http.client.HTTPException, subprocess.TimeoutExpired) as e:
            last = repr(e)
        time.sleep(0.02)
    else:
        raise Failed(f'no right answer within {seconds} s: {last}; {processes[0].last_words() if processes else ""}')
    for p in processes:
        p.settle()

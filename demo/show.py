#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One line per check: what was tried, what was expected, what was seen. On a terminal aligned, coloured, with a
moving line while it waits; in a pipe plain."""

import os
import shutil
import sys
import threading
import time

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TRIED, EXPECTED = 46, 42  # columns


class Show:
    def __init__(self, out=sys.stdout):
        self.out = out
        self.terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.terminal and not os.environ.get("NO_COLOR")
        utf8 = (out.encoding or "").lower().replace("-", "") == "utf8"
        self.frames = FRAMES if utf8 else "|/-\\"
        self.marks = ("✓", "✗") if utf8 else ("ok", "NO")
        self.began = time.monotonic()
        self.good = self.bad = 0
        self._waiting = None
        self._since = 0.0
        self._lock = threading.Lock()
        if self.terminal:
            threading.Thread(target=self._move, daemon=True).start()

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def _move(self):
        n = 0
        while True:
            time.sleep(0.1)
            with self._lock:
                if self._waiting is None:
                    continue
                n += 1
                line = (f"  {self.frames[n % len(self.frames)]} {self._waiting} "
                        f"({time.monotonic() - self._since:.1f} s)")
                width = shutil.get_terminal_size().columns
                self.out.write("\r\033[K" + line[:width - 1])
                self.out.flush()

    def wait(self, what):
        """From now on this is what is being waited for; None: nothing."""
        with self._lock:
            if self._waiting is not None and self.terminal:
                self.out.write("\r\033[K")
                self.out.flush()
            self._waiting, self._since = what, time.monotonic()

    def say(self, text=""):
        self.wait(None)
        print(text, file=self.out, flush=True)

    def head(self):
        if self.terminal:
            self.say(self.paint("2", f"    {'tried':<{TRIED}} {'expected':<{EXPECTED}} seen"))

    def title(self, number, text):
        self.say(f"{self.paint('1', f'{number}. {text}')}")

    def check(self, ok, tried, expected, seen):
        seen = " ".join(str(seen).split())
        if ok:
            self.good += 1
        else:
            self.bad += 1
        if self.terminal:
            mark = self.paint("32", self.marks[0]) if ok else self.paint("1;31", self.marks[1])
            seen = seen if ok else self.paint("31", seen)
            self.say(f"  {mark} {tried:<{TRIED}} {self.paint('2', f'{expected:<{EXPECTED}}')} {seen}")
        else:
            word = "ok  " if ok else "FAIL"
            self.say(f"{word} {tried} | expected: {expected} | seen: {seen}")
        return ok

    def seconds(self):
        return time.monotonic() - self.began

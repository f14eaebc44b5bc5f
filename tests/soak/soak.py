#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""soak.py [--minutes N] [--dir DIR]: mixed traffic against a gateway and a mesh pair; a line per minute and a verdict. Exit 0: nothing failed, and
neither memory nor descriptors grew.

Flat means: over the samples after the warm-up (the first quarter), the regression line of the resident set rises by less than 8 % of its mean and
2 MiB over the whole of them, and that of descriptors by less than 10; and when the clients are gone, so are requests and connections."""

import argparse
import os
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "tests", "support")]

import load  # noqa: E402
import world  # noqa: E402

SAMPLE_S, RELOAD_S, ROTATE_S = 2, 5, 20
WARM_UP = 0.25  # of the run
MIB = 1 << 20


def rise(samples):
    """How much the least-squares line through [(t, value)] rises from the first sample to the last."""
    n = len(samples)
    mean_t, mean_v = sum(t for t, _ in samples) / n, sum(v for _, v in samples) / n
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in samples) / spread if spread else 0
    return slope * (samples[-1][0] - samples[0][0])


def growth(series):
    """Why a series of [(t, {proxy: (rss, fds)})] is not flat: a list of reasons."""
    warm = series[int(len(series) * WARM_UP):]
    found = []
    if len(warm) < 10:
        return [f"only {len(warm)} samples: too short a run for a verdict"]
    for name in warm[0][1]:
        rss = [(t, s[name][0]) for t, s in warm]
        fds = [(t, s[name][1]) for t, s in warm]
        allowed = 0.08 * sum(v for _, v in rss) / len(rss) + 2 * MIB
        if rise(rss) > allowed:
            found.append(f"{name}: memory rose by {rise(rss) / MIB:.1f} MiB, allowed are {allowed / MIB:.1f}")
        if rise(fds) > 10:
            found.append(f"{name}: descriptors rose by {rise(fds):.0f}")
    return found


def every(stop, seconds, act, tally, name):
    def loop():
        while not stop.wait(seconds):
            try:
                act()
                tally.count(name)
            except Exception as e:  # noqa: BLE001: a failure to be told
                tally.fail(name, f"{type(e).__name__} {e}")
    return threading.Thread(target=loop, daemon=True)


def line(minute, tally, samples):
    good, bad = tally.totals()
    _, now = samples[-1]
    figures = ", ".join(f"{name} {rss / MIB:.1f} MiB {fds} fds" for name, (rss, fds) in now.items())
    print(f"minute {minute}: {good} good, {bad} failed; {figures}", flush=True)


def soak(w, minutes, tally):
    """The samples taken."""
    stop, samples = threading.Event(), []
    clients = load.Clients(w.http, w.https, w.ca, w.dir)
    threads = [threading.Thread(target=load.run, args=(tally, stop, *kind), daemon=True) for kind in clients.rounds()]
    threads += [every(stop, RELOAD_S, w.write, tally, "reload"), every(stop, ROTATE_S, w.rotate, tally, "rotation")]
    began, minute = time.monotonic(), 1
    for t in threads:
        t.start()
    while time.monotonic() < began + 60 * minutes:
        time.sleep(SAMPLE_S)
        samples.append((time.monotonic() - began, w.sample()))
        if samples[-1][0] >= 60 * minute:
            line(minute, tally, samples)
            minute += 1
    stop.set()
    for t in threads:
        t.join(120)
    if clients.grpc:
        clients.grpc.close()
    return samples


def verdict(w, samples, tally):
    found = growth(samples)
    generation = w.edge.metric("weir_config_generation")
    if generation <= tally.good.get("reload", 0) / 2:
        found.append(f"only {generation:g} configurations were taken of {w.turn}")
    if w.served_certificate() != w.rotations:
        found.append(f"certificate {w.served_certificate()} is served, the newest is {w.rotations}")
    left = w.at_rest()
    if left:
        found.append(left)
    if tally.totals()[1]:
        found.append(f"failed: {tally.bad}")
    missing = [kind for kind in ("keepalive", "h2load", "curl", "grpc", "websocket", "abort", "slow-reader", "slow-writer", "reload")
               if not tally.good.get(kind)]
    return found + ([f"nothing was done by {missing}"] if missing else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--dir", help="keep configuration and logs here")
    args = parser.parse_args()
    os.nice(5)
    directory = args.dir or tempfile.mkdtemp(prefix="weir-soak-")
    os.makedirs(directory, exist_ok=True)
    tally = load.Tally()
    w = world.World(directory)
    try:
        samples = soak(w, args.minutes, tally)
        found = verdict(w, samples, tally)
    finally:
        ended = w.close()
    found += [ended] if ended else []
    print("done: " + ", ".join(f"{kind} {n}" for kind, n in sorted(tally.good.items())))
    for name in samples[-1][1] if samples else ():
        warm = [(t, s[name]) for t, s in samples[int(len(samples) * WARM_UP):]]
        print(f"{name}: memory {warm[0][1][0] / MIB:.1f} -> {warm[-1][1][0] / MIB:.1f} MiB, line {rise([(t, v[0]) for t, v in warm]) / MIB:+.2f}; "
              f"descriptors {warm[0][1][1]} -> {warm[-1][1][1]}, line {rise([(t, v[1]) for t, v in warm]):+.1f}")
    print("\n".join(tally.samples[:20] + [f"NOT FLAT OR NOT WHOLE: {reason}" for reason in found]) or "verdict: flat, nothing failed")
    if found:
        print(f"logs: {directory}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

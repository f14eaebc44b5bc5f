#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Calls an HTTP server until standard input ends, on connections of its own for each call and on one that is kept;
then says how many calls there were, which failed and how long they took, as JSON.

usage: callers.py ADDRESS [new|kept|both] [PAUSE-SECONDS]
"""
import http.client
import json
import select
import sys
import time

ADDRESS = sys.argv[1]
KIND = sys.argv[2] if len(sys.argv) > 2 else "both"
PAUSE = float(sys.argv[3]) if len(sys.argv) > 3 else 0.002


def ask(connection):
    connection.request("GET", "/")
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise OSError(f"{response.status} {body[:200]!r}")
    return body


times, failures = [], []
kept = None
print("running", flush=True)
n = 0
while not select.select([sys.stdin], [], [], PAUSE)[0]:
    n += 1
    began = time.monotonic()
    keep = KIND == "kept" or (KIND == "both" and n % 2)
    try:
        if keep:
            kept = kept or http.client.HTTPConnection(ADDRESS, 80, timeout=10)
            ask(kept)
        else:
            once = http.client.HTTPConnection(ADDRESS, 80, timeout=10)
            try:
                ask(once)
            finally:
                once.close()
    except (OSError, http.client.HTTPException) as e:
        failures.append(f"{'kept' if keep else 'new'} at {time.monotonic() - began:.3f}: {e!r}")
        if keep:
            kept = None
    times.append(time.monotonic() - began)
times.sort()
print(json.dumps({"calls": len(times), "failures": failures,
                  "p50_ms": round(times[len(times) // 2] * 1000, 3) if times else None,
                  "p99_ms": round(times[len(times) * 99 // 100] * 1000, 3) if times else None,
                  "max_ms": round(times[-1] * 1000, 3) if times else None}))

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ordinary load on an HTTP and a TCP server, until standard input ends. One line per call: when
(CLOCK_MONOTONIC), which kind, ok or FAIL, and what was seen. With "refused", a call that the system
does not permit is ok and everything else is a failure.

usage: load.py calls|refused HTTP-ADDRESS:PORT TCP-ADDRESS:PORT
"""

import errno
import http.client
import json
import select
import socket
import sys
import time

PAUSE = 0.004


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def ask(connection, close):
    connection.request("GET", "/load", headers={"Connection": "close"} if close else {})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise OSError(f"status {response.status}: {body[:100]!r}")
    return json.loads(body)["server"]


def http_new(api, _store, _kept):
    connection = http.client.HTTPConnection(*api, timeout=5)
    try:
        return ask(connection, True)
    finally:
        connection.close()


def http_kept(_api, _store, kept):
    return ask(kept, False)


def tcp(_api, store, _kept):
    with socket.create_connection(store, timeout=5) as s:
        s.sendall(b"load\n")
        return s.makefile().readline().split()[0]


def refused_http(api, _store, _kept):
    return refused(api)


def refused_tcp(_api, store, _kept):
    return refused(store)


def refused(where):
    try:
        socket.create_connection(where, timeout=5).close()
    except OSError as e:
        if e.errno == errno.EPERM:
            return "EPERM"
        raise
    raise OSError("the connection was made")


def main():
    kinds = {"calls": (http_new, http_kept, tcp), "refused": (refused_http, refused_tcp)}
    kind, api, store = sys.argv[1], endpoint(sys.argv[2]), endpoint(sys.argv[3])
    kept = http.client.HTTPConnection(*api, timeout=5)
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        for call in kinds[kind]:
            try:
                seen = "ok " + call(api, store, kept)
            except (OSError, http.client.HTTPException, ValueError, IndexError) as e:
                seen = f"FAIL {type(e).__name__}: {e}"
                kept.close()
            print(f"{time.monotonic():.6f} {call.__name__} {seen}", flush=True)


main()

# SPDX-License-Identifier: Apache-2.0
"""Load by keep-alive clients that count what failed."""

import http.client
import threading


class Clients:
    """Clients as they are: keep-alive, and a request on a reused connection that dies before an answer begins is sent
    again once on a new one (RFC 9110 9.2.2). On a new connection nothing may fail, and strict ones take nothing
    at all. fresh: a connection for each request."""

    def __init__(self, port, n=8, path="/wait/5", strict=False, fresh=False):
        self.port, self.path, self.strict = port, path, strict
        self.headers = {"Connection": "close"} if fresh else {}
        self.done, self.failed = 0, []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(n)]
        for t in self.threads:
            t.start()

    def _run(self):
        connection, reused = None, False
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                    connection.connect()
                    reused = False
                connection.request("GET", self.path, headers=self.headers)
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    raise OSError(f"status {response.status}")
                self.done += 1
                reused = True
                if response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as e:
                if self.strict or not (reused and isinstance(e, (http.client.RemoteDisconnected, ConnectionError))):
                    self.failed.append(f"{type(e).__name__}: {e}")
                connection.close()
                connection = None

    def finish(self):
        self.stop.set()
        for t in self.threads:
            t.join(30)
        return self.done, self.failed

"""Keeps FinStream's control plane busy until it is ended: REST requests, snapshots, sessions that come and go, log levels.

    python noise.py PUBLIC_URL ADMIN_URL

It runs at the lowest priority (SCHED_IDLE), so that it takes time from nobody but through what it makes the engine do:
producer and load client share a core with it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import sys
import time
from urllib.parse import urlsplit

_PER_S = 200
"""Requests a second at most; fewer where the machine has no time left over."""
_SESSIONS = 500
"""So many sessions are registered in one go and deleted in the next one: garbage for the collector, rows for the store."""


def _request(to: http.client.HTTPConnection, method: str, path: str, body: dict[str, object] | None = None) -> bytes:
    text = None if body is None else json.dumps(body)
    to.request(method, path, body=text, headers={"content-type": "application/json"})
    answer = to.getresponse()
    said = answer.read()
    if answer.status >= 400:
        sys.exit(f"{method} {path}: {answer.status} {said[:200]!r}")
    return said


def main(public_url: str, admin_url: str) -> None:
    public = http.client.HTTPConnection(urlsplit(public_url).netloc, timeout=30)
    admin = http.client.HTTPConnection(urlsplit(admin_url).netloc, timeout=30)
    sessions: list[str] = []
    growing = True
    due = time.monotonic()
    for turn in itertools.count():
        kind = turn % 8
        if kind == 0:
            _request(public, "GET", "/v1/arena")
        elif kind == 1:
            _request(public, "GET", "/v1/assets")
        elif kind == 2:
            _request(public, "GET", "/openapi.json")
        elif kind == 3:
            _request(admin, "PUT", "/v1/logs/level", {"level": ("debug", "warning")[turn // 8 % 2]})
        elif growing:
            sessions.append(json.loads(_request(public, "POST", "/v1/clients", {}))["uuid"])
            growing = len(sessions) < _SESSIONS
        else:
            _request(public, "DELETE", f"/v1/clients/{sessions.pop()}")
            growing = not sessions
        due = max(due + 1 / _PER_S, time.monotonic() - 0.1)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    main(sys.argv[1], sys.argv[2])

"""Has FinStream's NOC tell full telemetry every second, and reads all that comes, until it is ended.

    python watcher.py ADMIN_URL [LOG_LEVEL]

With a level the log as well, from that level. It says `watching` once the first telemetry is there. It runs at the lowest
priority (SCHED_IDLE), so that it takes time from nobody but through what it makes the engine do.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from urllib.parse import urlsplit


def watch(admin_url: str, log_level: str | None) -> None:
    """An engine that knows no NOC is only told so."""
    address = urlsplit(admin_url)
    order = json.dumps({"op": "watch", "telemetry_s": 1} | ({"logs": {"level": log_level}} if log_level else {})).encode()
    with socket.create_connection((address.hostname or "", address.port or 0)) as noc:
        noc.sendall(
            f"GET /v1/noc HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'x' * 22}==\r\n\r\n".encode()
        )
        if not noc.recv(65536).startswith(b"HTTP/1.1 101"):
            sys.stderr.write("this engine has no NOC: telemetry goes at its own period\n")
            print("not watching", flush=True)
            return
        noc.sendall(bytes([0x81, 0x80 | len(order), 0, 0, 0, 0]) + order)
        said = b""
        while b'"type":"telemetry"' not in said:
            more = noc.recv(1 << 20)
            if not more:
                sys.exit("the engine hung up before it told any telemetry")
            said = said[-64:] + more
        print("watching", flush=True)
        while noc.recv(1 << 20):
            pass


if __name__ == "__main__":
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    watch(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)

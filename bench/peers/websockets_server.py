"""A fan-out server with the `websockets` library: lines from standard input to all subscribers.

    python -m bench.peers.websockets_server PORT typed|relay

Its `broadcast` is what the library recommends for this job: it encodes a message once and waits for nobody.
"""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.peers.stdin_lines import each_line
from bench.peers.typed_ticks import typed_transform


async def _serve(port: int, typed: bool) -> None:
    subscribers: set[ServerConnection] = set()
    transform = typed_transform() if typed else None

    async def handler(connection: ServerConnection) -> None:
        subscribers.add(connection)
        try:
            await connection.wait_closed()
        finally:
            subscribers.discard(connection)

    def on_line(line: bytes) -> None:
        message = line if transform is None else transform(line)
        if message is not None:
            broadcast(subscribers, message.decode())

    async with serve(handler, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096):
        await each_line(on_line)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2] == "typed"))

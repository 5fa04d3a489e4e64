"""A fan-out server with the `websockets` library: lines from standard input to all subscribers.

    python -m bench.peers.websockets_server PORT typed|relay

Its `broadcast` is what the library recommends for this job: it encodes a message once and waits for nobody.
"""

from __future__ import annotations

import asyncio
import os
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

from bench.peers.typed_ticks import typed_transform

_READ_BYTES = 65536


async def _serve(port: int, typed: bool) -> None:
    subscribers: set[ServerConnection] = set()
    transform = typed_transform() if typed else None
    ended = asyncio.Event()
    rest = b""

    async def handler(connection: ServerConnection) -> None:
        subscribers.add(connection)
        try:
            await connection.wait_closed()
        finally:
            subscribers.discard(connection)

    def on_readable() -> None:
        nonlocal rest
        try:
            chunk = os.read(0, _READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            ended.set()
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            message = line if transform is None else transform(line)
            if message is not None:
                broadcast(subscribers, message.decode())

    os.set_blocking(0, False)
    loop = asyncio.get_running_loop()
    async with serve(handler, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096):
        loop.add_reader(0, on_readable)
        await ended.wait()
        loop.remove_reader(0)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2] == "typed"))

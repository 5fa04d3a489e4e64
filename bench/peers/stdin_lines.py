"""Lines from standard input inside an asyncio event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

__all__ = ["each_line"]

_READ_BYTES = 65536


async def each_line(take: Callable[[bytes], None]) -> None:
    """Call ``take`` with each line, without its line feed, until the input ends."""
    rest = b""
    ended = asyncio.Event()

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
            take(line)

    os.set_blocking(0, False)
    loop = asyncio.get_running_loop()
    loop.add_reader(0, on_readable)
    await ended.wait()
    loop.remove_reader(0)

"""Messages that arrive together leave together."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from finstream_ingestors.binance.mapper import BinanceMapper
from finstream_ingestors.kit.backoff import Backoff
from finstream_ingestors.kit.lines import LineWriter
from finstream_ingestors.kit.live import Live
from finstream_ingestors.kit.mapper import Endpoint, Feed
from websockets.frames import Frame, Opcode
from websockets.sync.server import ServerConnection


class CountingWriter(LineWriter):
    """Counts lines and the writes that carry them; ends the run with the last one."""

    def __init__(self, fd: int, last: int) -> None:
        super().__init__(fd)
        self.writes = 0
        self.lines = 0
        self.done = asyncio.Event()
        self._last = last

    def flush(self) -> None:
        ticks = self._buffer.count(b'"price"')
        super().flush()
        if ticks:
            self.writes += 1
            self.lines += ticks
            if self.lines == self._last:
                self.done.set()


def test_a_burst_is_one_write_and_a_single_message_does_not_wait(venue: Callable[..., Any]) -> None:
    def message(number: int) -> bytes:
        return json.dumps(
            {"e": "trade", "E": 1, "s": "ABCUSD", "t": number, "p": "1", "q": "1", "T": 1, "m": True}
        ).encode()

    def script(connection: ServerConnection) -> None:
        connection.recv()
        burst = b"".join(Frame(Opcode.TEXT, message(number)).serialize(mask=False) for number in range(200))
        connection.socket.sendall(burst)
        connection.recv()

    async def stream(url: str) -> CountingWriter:
        fd = os.open(os.devnull, os.O_WRONLY)
        writer = CountingWriter(fd, last=200)
        endpoint = Endpoint(url=url, requests=["subscribe"], idle_s=10.0)
        live = Live(Feed(endpoint=endpoint, open_mapper=partial(BinanceMapper, {"ABCUSD": "ABC/USD"})), writer, Backoff())
        task = asyncio.create_task(live.run())
        await asyncio.wait_for(writer.done.wait(), 10)
        task.cancel()
        await asyncio.wait([task])
        os.close(fd)
        return writer

    writer = asyncio.run(stream(venue(script).url))
    assert writer.lines == 200
    assert writer.writes < 20

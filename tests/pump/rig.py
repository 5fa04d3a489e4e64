"""A running pump with real pipes before it and real sockets behind it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from finstream.pump import (
    BlockBuffered,
    Framing,
    HalfFull,
    LineRejected,
    OutboxClosed,
    OutboxStatistics,
    Pump,
    SourceEnded,
    SourceOverflowed,
    StatusLine,
)

__all__ = [
    "LITTLE", "Feed", "Rig", "Subscriber", "balanced", "complete_lines", "numbered", "quote", "resting", "running",
    "split_frames", "tick", "until",
]

PATIENCE_S = 30
LITTLE = 4096
"""A send buffer that fills quickly."""


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for another thread or process to get somewhere; a test that waits in vain fails."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S} s in vain{what and ' for '}{what}")
        await trio.sleep(0.0005)


def tick(number: int = 1, symbol: str = "A", *, pad: int = 0) -> bytes:
    """A line that says its number; ``pad`` makes it that much longer."""
    padding = b',"pad":"' + b"x" * pad + b'"' if pad else b""
    return b'{"symbol":"%s","price":%d,"ts":%d%s}\n' % (symbol.encode(), number, time.time_ns(), padding)


def quote(number: int = 1, symbol: str = "A", *, pad: int = 0) -> bytes:
    """The same without a trade."""
    return tick(number, symbol, pad=pad).replace(b'"price"', b'"bid_price"')


def numbered(messages: list[bytes]) -> list[int]:
    """The numbers that :func:`tick` gave them."""
    return [int(json.loads(message)["price"]) for message in messages]


def balanced(statistics: OutboxStatistics) -> bool:
    s = statistics
    return s.published == s.delivered + s.queued_messages + s.skipped + s.conflated + s.killed


def complete_lines(received: bytes | bytearray) -> tuple[list[bytes], bytes]:
    """Whole messages in LINES framing, and what is left."""
    *lines, rest = bytes(received).split(b"\n")
    return lines, rest


def split_frames(received: bytes | bytearray) -> tuple[list[bytes], bytes]:
    """Payloads of whole text frames, and what is left.

    Every frame must be final, unmasked and no longer than RFC 6455 wants.
    """
    messages, at = [], 0
    while len(received) - at >= 2:
        assert received[at] == 0x81, f"not a final text frame: {bytes(received[at : at + 20])!r}"
        length, start = received[at + 1], at + 2
        assert length < 128, "masked"
        if length > 125:
            start += 2 if length == 126 else 8
            if len(received) < start:
                break
            extended = int.from_bytes(received[at + 2 : start], "big")
            assert extended > (125 if length == 126 else 65535), "not the shortest form of the length"
            length = extended
        if len(received) < start + length:
            break
        messages.append(bytes(received[start : start + length]))
        at = start + length
    return messages, bytes(received[at:])


class Feed:
    """The writing end of a pipe whose lines the pump publishes under one asset."""

    def __init__(self, pump: Pump, asset: int, *, full_s: float | None = None) -> None:
        self.pump, self.asset = pump, asset
        self.read_fd, write_fd = os.pipe()
        self.pipe = trio.lowlevel.FdStream(write_fd)
        self.told: list[SourceEnded | SourceOverflowed | BlockBuffered] = []
        self.handle = pump.add_source(asset, self.read_fd, self.told.append, full_s=full_s)
        self.written = 0

    async def write(self, data: bytes) -> None:
        self.written += len(data)
        await self.pipe.send_all(data)

    async def write_and_wait(self, data: bytes) -> None:
        """Returns when the pump has handled all of it."""
        before = self.pump.asset_statistics(self.asset).bytes
        await self.write(data)
        await until(lambda: self.pump.asset_statistics(self.asset).bytes >= before + len(data), "the pump to read")

    async def end(self) -> SourceEnded:
        """Close the writing end and take the source away once the pump has come to the end."""
        await self.pipe.aclose()
        await until(lambda: any(isinstance(event, SourceEnded) for event in self.told), "the source to end")
        self.remove()
        return next(event for event in self.told if isinstance(event, SourceEnded))

    def remove(self) -> None:
        if self.read_fd >= 0:
            self.pump.remove_source(self.handle)
            os.close(self.read_fd)
            self.read_fd = -1


class Subscriber:
    """The other side of an outbox. ``buffer_bytes`` bounds what the kernel holds between the two."""

    def __init__(
        self,
        pump: Pump,
        *,
        framing: Framing = Framing.WEBSOCKET,
        max_bytes: int = 1 << 26,
        max_age_ms: int = 60_000,
        buffer_bytes: int | None = None,
    ) -> None:
        self.pump, self.framing = pump, framing
        ours, theirs = socket.socketpair()
        if buffer_bytes is not None:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self.pump_side = theirs
        self.socket = trio.socket.from_stdlib_socket(ours)
        self.closed: list[OutboxClosed] = []
        self.warned: list[HalfFull] = []
        self.handle = pump.add_outbox(
            theirs.fileno(), self._told, framing=framing, max_bytes=max_bytes, max_age_ms=max_age_ms
        )
        self.received = bytearray()
        """What was read and is not taken yet."""

    def _told(self, event: OutboxClosed | HalfFull) -> None:
        if isinstance(event, HalfFull):
            self.warned.append(event)
        else:
            self.closed.append(event)

    @property
    def statistics(self) -> OutboxStatistics:
        statistics = self.pump.outbox_statistics(self.handle)
        assert statistics is not None
        return statistics

    async def closing(self) -> OutboxClosed:
        """Wait for the pump to give this outbox up."""
        await until(lambda: self.closed, "the outbox to be closed")
        [closed] = self.closed
        return closed

    async def read_some(self, most: int = 1 << 20) -> bytes:
        """Empty at the end of the stream."""
        data = await self.socket.recv(most)
        self.received += data
        return data

    def read_now(self, most: int = 1 << 20) -> bytes:
        """What is there already."""
        try:
            data = os.read(self.socket.fileno(), most)
        except BlockingIOError:
            return b""
        self.received += data
        return data

    def take(self) -> list[bytes]:
        """The whole messages that were read."""
        split = complete_lines if self.framing is Framing.LINES else split_frames
        messages, rest = split(self.received)
        self.received[:] = rest
        return messages

    async def everything(self) -> list[dict[str, Any]]:
        """Read until nothing waits any more."""
        messages: list[dict[str, Any]] = []
        while True:
            while self.read_now():
                pass
            messages += map(json.loads, self.take())
            if not self.statistics.queued_messages and not self.read_now():
                return messages
            await trio.sleep(0.001)

    async def messages(self, count: int, *, at_once: int = 1 << 20) -> list[bytes]:
        """Exactly so many; more of them is a failure."""
        messages = self.take()
        with trio.fail_after(PATIENCE_S):
            while len(messages) < count:
                assert await self.read_some(at_once), f"the stream ended after {len(messages)} of {count} messages"
                messages += self.take()
        assert len(messages) == count
        return messages

    async def nothing_more(self) -> None:
        """What the pump has handed over is read already."""
        self.read_now()
        assert not self.received

    async def read_to_the_end(self) -> bytes:
        """Close the pump's side (the outbox must be gone), then read what is left."""
        self.pump_side.close()
        with trio.fail_after(PATIENCE_S):
            while await self.read_some():
                pass
        return bytes(self.received)

    def remove(self) -> OutboxStatistics | None:
        statistics = self.pump.remove_outbox(self.handle)
        self.pump_side.close()
        return statistics

    def close(self) -> None:
        self.remove()
        self.socket.close()


class Rig:
    """One pump and everything connected to it."""

    def __init__(self, pump: Pump, start: Callable[[], Awaitable[None]]) -> None:
        self.pump = pump
        self.start = start
        """Set the pump to work."""
        self.lines: list[LineRejected | StatusLine] = []
        pump.on_line(self.lines.append)
        self._feeds: list[Feed] = []
        self._subscribers: list[Subscriber] = []

    def feed(self, asset: str | int = "feed", *, full_s: float | None = None) -> Feed:
        handle = self.pump.add_asset(asset) if isinstance(asset, str) else asset
        feed = Feed(self.pump, handle, full_s=full_s)
        self._feeds.append(feed)
        return feed

    def subscriber(self, *topics: tuple[int, str | None], **settings: Any) -> Subscriber:
        subscriber = Subscriber(self.pump, **settings)
        self._subscribers.append(subscriber)
        for asset, symbol in topics:
            assert self.pump.subscribe(subscriber.handle, asset, symbol)
        return subscriber

    def rejections(self) -> list[tuple[str, bytes, int]]:
        """Reason, line and length of what was told so far."""
        return [(event.reason, event.line, event.line_bytes) for event in self.lines if isinstance(event, LineRejected)]

    async def close(self) -> None:
        for feed in self._feeds:
            feed.remove()
            await feed.pipe.aclose()
        for subscriber in self._subscribers:
            subscriber.close()


@asynccontextmanager
async def resting(**settings: Any) -> AsyncIterator[Rig]:
    """A pump that does nothing until ``start`` is called, with the settings of :class:`Pump`. What was written before is its
    first batch."""
    pump = Pump(**settings)
    async with trio.open_nursery() as nursery:

        async def start() -> None:
            await nursery.start(pump.run)

        rig = Rig(pump, start)
        try:
            yield rig
        finally:
            with trio.CancelScope(shield=True):
                await rig.close()
            pump.stop()


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Rig]:
    """A pump at work, with the settings of :class:`Pump`."""
    async with resting(**settings) as rig:
        await rig.start()
        yield rig

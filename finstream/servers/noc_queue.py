"""What one connection of the NOC still has to get: bounded in bytes and in age, and never in anybody's way."""

from __future__ import annotations

from collections import deque

import trio

__all__ = ["MAX_AGE_S", "MAX_BYTES", "NocQueue"]

MAX_BYTES = 8 << 20
"""Telemetry of a thousand assets is some 700 kB."""
MAX_AGE_S = 10.0


class NocQueue:
    """``put`` never waits; it tells when the reader is so far behind that it has to go."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, max_age_s: float = MAX_AGE_S) -> None:
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._messages: deque[tuple[float, str]] = deque()
        self._in_hand: tuple[float, str] | None = None
        self._news = trio.Event()
        self._empty = trio.Event()
        self._empty.set()
        self.bytes = 0
        """That wait, the message in hand included."""

    def put(self, message: str) -> str | None:
        """Returns None, or why the reader has to go: ``slow_consumer_bytes`` or ``slow_consumer_age``."""
        self._messages.append((trio.current_time(), message))
        self.bytes += len(message)
        self._news.set()
        if self._empty.is_set():
            self._empty = trio.Event()
        if self.bytes > self._max_bytes:
            return "slow_consumer_bytes"
        return "slow_consumer_age" if self.oldest_s() > self._max_age_s else None

    async def take(self) -> str:
        """The next message, in hand until :meth:`sent`."""
        while not self._messages:
            self._news = trio.Event()
            await self._news.wait()
        self._in_hand = self._messages.popleft()
        return self._in_hand[1]

    def sent(self) -> None:
        assert self._in_hand is not None
        self.bytes -= len(self._in_hand[1])
        self._in_hand = None
        if not self._messages:
            self._empty.set()

    def oldest_s(self) -> float:
        """How long the oldest message has waited."""
        oldest = self._in_hand or (self._messages[0] if self._messages else None)
        return 0.0 if oldest is None else trio.current_time() - oldest[0]

    async def emptied(self) -> None:
        await self._empty.wait()

"""Log lines for whoever wants to see them as they come, besides the log itself."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import trio

__all__ = ["LogTap"]

_LINES_KEPT = 1000


class LogTap:
    """Made on the Trio thread, by :meth:`finstream.services.logs.Logs.tap`; lines may come from any thread. Past a thousand that
    wait the newest are dropped."""

    def __init__(self, severity: int) -> None:
        self._severity = severity
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._token = trio.lowlevel.current_trio_token()
        self._news = trio.Event()

    def put(self, severity: int, line: bytes) -> None:
        if severity < self._severity:
            return
        if len(self._lines) >= _LINES_KEPT:
            self._dropped += 1
            return
        self._lines.append(line)
        with suppress(trio.RunFinishedError):  # the engine's last words
            self._token.run_sync_soon(self._wake, idempotent=True)

    def _wake(self) -> None:
        self._news.set()

    async def take(self) -> tuple[list[bytes], int]:
        """Wait for lines. Returns those that are there, and how many were dropped meanwhile."""
        await self._news.wait()
        self._news = trio.Event()
        dropped, self._dropped = self._dropped, 0
        return [self._lines.popleft() for _ in range(len(self._lines))], dropped

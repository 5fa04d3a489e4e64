"""Standard output as a stream of lines that leave in whole batches.

A batch costs one ``write``: under light load it is one line, in a burst it is all that has arrived meanwhile. Writing
blocks while the pipe is full; that is the back-pressure the engine wants to see.
"""

from __future__ import annotations

import json
import os
import select
from typing import Final

__all__ = ["BATCH_BYTES", "LineWriter", "OutputClosedError"]

BATCH_BYTES: Final = 64 * 1024
"""A batch leaves at this size even if more is to come: what a pipe takes at once by default."""


class OutputClosedError(Exception):
    """Nobody reads our standard output any more: time to leave, quietly."""


class LineWriter:
    """Collects complete lines and writes them in batches.

    Raises OutputClosedError from any method that writes, once the reader is gone.
    """

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self.is_writing = False
        """True while a write may block; a signal handler that wants to leave must raise then, not wait."""
        self._is_abandoned = False

    @property
    def has_pending(self) -> bool:
        return bool(self._buffer)

    def write(self, lines: bytes) -> None:
        """Add complete lines, each ended by a line feed. They leave with the next ``flush``, or now if many wait."""
        self._buffer += lines
        if len(self._buffer) >= BATCH_BYTES:
            self.flush()

    def status(self, state: str, detail: str) -> None:
        """Write a status line, and all that waits before it, at once."""
        line = json.dumps({"type": "status", "state": state, "detail": detail}, ensure_ascii=False)
        self._buffer += line.encode("utf-8", "replace") + b"\n"
        self.flush()

    def abandon(self) -> None:
        """Write nothing more: what is still to come is dropped. For leaving, where a write to a full pipe would hang."""
        self._is_abandoned = True

    def flush(self) -> None:
        if self._is_abandoned:
            self._buffer.clear()
        if not self._buffer:
            return
        batch = bytes(self._buffer)
        self._buffer.clear()
        self.is_writing = True
        try:
            written = 0
            while written < len(batch):
                try:
                    written += os.write(self._fd, memoryview(batch)[written:])
                except BlockingIOError:  # somebody else made the pipe non-blocking
                    select.select([], [self._fd], [])
        except BrokenPipeError:
            raise OutputClosedError from None
        finally:
            self.is_writing = False

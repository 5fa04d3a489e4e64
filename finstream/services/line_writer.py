"""A thread that writes lines to a place that may block or fail, so that nobody else ever waits for it.

The queue is bounded in bytes. While the place is blocked (a pipe whose reader sleeps, a disk that hangs) lines wait;
past the bound the newest are dropped and counted. When writing works again, a report of how many were dropped stands in
their place. Lines that the place refuses (disk full, reader gone) count as dropped too.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

import msgspec

__all__ = ["LineWriter", "WriterStatistics", "to_descriptor"]

_GATHER_S = 0.01
"""Between two writes: lines of a burst are written together."""
_PAUSE_AFTER_ERROR_S = 0.2
"""So that a place that refuses costs a few system calls a second, not a core."""


class WriterStatistics(msgspec.Struct, frozen=True):
    """``emitted == written + dropped + queued`` at every moment."""

    emitted: int
    """Lines handed over."""
    written: int
    dropped: int
    """Lines that found the queue full, that were refused, or that came after the end."""
    queued: int
    """Lines that wait, those being written included."""


class LineWriter:
    """``place`` is called in the thread with whole lines, joined up to ``piece_bytes`` (a longer line comes alone); it
    returns whether it took them. ``report`` makes the line that tells of dropped ones from their number.
    """

    def __init__(
        self,
        place: Callable[[bytes], bool],
        *,
        report: Callable[[int], bytes] | None = None,
        name: str = "line writer",
        max_queued_bytes: int = 4 << 20,
        piece_bytes: int = 65_536,
    ) -> None:
        self._place = place
        self._report = report
        self._max_queued_bytes = max_queued_bytes
        self._piece_bytes = piece_bytes
        self._changed = threading.Condition()
        self._lines: list[bytes] = []
        self._in_hand: list[bytes] = []
        self._queued_bytes = 0
        self._emitted = self._written = self._dropped = 0
        self._unreported = 0
        self._closing = False
        self._gathering = False
        # A daemon: a reader that never comes back must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Hand over one line with its line feed. Never blocks; from any thread."""
        with self._changed:
            self._emitted += 1
            if self._closing:
                self._dropped += 1
            elif self._queued_bytes + len(line) > self._max_queued_bytes:
                self._dropped += 1
                self._unreported += 1
            else:
                self._lines.append(line)
                self._queued_bytes += len(line)
            if not self._gathering:
                self._changed.notify()

    def close(self, timeout_s: float) -> bool:
        """Write what waits, for at most ``timeout_s``; lines that come later are dropped. Blocks.

        Returns whether the writer could end; if not, it stays with what is left.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def statistics(self) -> WriterStatistics:
        with self._changed:
            queued = len(self._lines) + len(self._in_hand)
            return WriterStatistics(self._emitted, self._written, self._dropped, queued)

    def _run(self) -> None:
        while (unreported := self._take()) is not None:
            unreported += self._write_lines()
            unreported += self._dropped_right_after()
            if not unreported or self._report is None or self._place(self._report(unreported)):
                self._gather()
                continue
            with self._changed:
                if self._closing:
                    return
                self._unreported += unreported
            time.sleep(_PAUSE_AFTER_ERROR_S)

    def _gather(self) -> None:
        # Of a burst of lines, each would otherwise wake this thread, and cost its writer a change of threads.
        with self._changed:
            if not self._closing:
                self._gathering = True
                self._changed.wait(_GATHER_S)
                self._gathering = False

    def _take(self) -> int | None:
        """Take all lines in hand, waiting for some. Returns how many were dropped after them, or None at the end."""
        with self._changed:
            while not self._lines and not self._unreported:
                if self._closing:
                    return None
                self._changed.wait()
            self._in_hand, self._lines = self._lines, []
            unreported, self._unreported = self._unreported, 0
            return unreported

    def _write_lines(self) -> int:
        """Write the lines in hand in large pieces. Returns how many were refused."""
        refused = 0
        while piece := self._next_piece():
            written = self._place(b"".join(piece))
            with self._changed:
                del self._in_hand[: len(piece)]
                self._queued_bytes -= sum(map(len, piece))
                if written:
                    self._written += len(piece)
                else:
                    self._dropped += len(piece)
                    refused += len(piece)
        return refused

    def _dropped_right_after(self) -> int:
        """Lines dropped since then, if no other line came before them: they are part of the same hole."""
        with self._changed:
            if self._lines:
                return 0
            unreported, self._unreported = self._unreported, 0
            return unreported

    def _next_piece(self) -> list[bytes]:
        size = count = 0
        for line in self._in_hand:
            size += len(line)
            if count and size > self._piece_bytes:
                break
            count += 1
        return self._in_hand[:count]


def to_descriptor(fd: int) -> Callable[[bytes], bool]:
    """A file descriptor as a place to write to; it stays open and stays the caller's."""

    def write(data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                # Somebody who shares our stderr made it non-blocking; that is no reason to lose lines.
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                poll.poll()
            except OSError:
                return False
        return True

    return write

"""SIGTERM and SIGINT: leave at once, wherever the program is.

A program that only writes, sleeps and reads files is interrupted by an exception from the signal handler. One that
runs an event loop closes its sockets first: its handler cancels the loop's work, unless the program hangs in a write to
a full pipe, where no cancellation would arrive.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .lines import LineWriter

__all__ = ["StopSignals", "Stopped"]


class Stopped(BaseException):
    """Asked to leave. Not an Exception, so that nothing between here and the program's edge swallows it."""


class StopSignals:
    """Raises Stopped in the main thread on the first SIGTERM or SIGINT; the second one kills."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self._cancel: Callable[[], object] | None = None

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Within this block, call ``cancel`` instead of raising. It runs in a signal handler: keep to what is safe
        there, like ``loop.call_soon_threadsafe``."""
        self._cancel = cancel
        try:
            yield
        finally:
            self._cancel = None

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        self._writer.abandon()
        if self._cancel is None or self._writer.is_writing:
            raise Stopped
        self._cancel()

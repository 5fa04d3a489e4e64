"""The controlling side of load/producer.c: an ingestor that keeps to a schedule."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import Self

import msgspec

from bench.histogram import Histogram
from bench.processes import Lines, TrialFailed

__all__ = ["FIRST_INDEX", "Producer", "Production"]

FIRST_INDEX = 1_000_000_000
"""The index that a fresh producer begins with."""


class Production(msgspec.Struct, frozen=True):
    """What one run of the producer came to."""

    first: int
    """The index of its first tick."""
    sent: int
    target: int
    """How many the schedule asked for."""
    elapsed_ns: int
    """From the start of the schedule to the end of the last write."""
    error: int
    """The errno of a failed write, or 0."""
    late: Histogram
    """How far each tick's write was behind the schedule."""

    @property
    def last(self) -> int:
        return self.first + self.sent - 1


class _Greeting(msgspec.Struct):
    pid: int


class Producer:
    """A connection to a producer's control socket. Whoever started the process ends it; it also ends when this is
    closed."""

    def __init__(self, control: Path, *, timeout_s: float = 15.0) -> None:
        """Waits for the producer to come up, since it is started by the system under test.

        Raises:
          TrialFailed: it did not.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(str(control))
                break
            except OSError as error:
                self._socket.close()
                if time.monotonic() > deadline:
                    raise TrialFailed(f"the producer was not started within {timeout_s:g} s") from error
                time.sleep(0.01)
        try:
            self._lines = Lines(self._socket.fileno(), "the producer")
            self.pid = msgspec.json.decode(self._lines.read(5.0), type=_Greeting).pid
        except BaseException:
            self._socket.close()
            raise
        self.next_index = FIRST_INDEX

    def run(self, rate: float, seconds: float, start_ns: int) -> Production:
        """Produce ``rate`` ticks/s (0: as fast as they are read) for ``seconds``; the first is due at ``start_ns``
        since the epoch.

        Returns when the last one is written. A producer that is held up gives up a little after the end of its
        schedule.

        Raises:
          TrialFailed: it died, or it was held up for good.
        """
        self.start(rate, seconds, start_ns)
        return self.finish(seconds)

    def start(self, rate: float, seconds: float, start_ns: int) -> None:
        """The first half of :meth:`run`: does not wait."""
        with contextlib.suppress(OSError):  # that it is gone is told by the answer that does not come
            self._socket.sendall(f"start {rate!r} {seconds!r} {start_ns}\n".encode())

    def stop(self) -> None:
        """End the run now, if there are pauses in it; :meth:`finish` tells how far it came."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b"stop\n")

    def finish(self, seconds: float) -> Production:
        """The second half of :meth:`run`."""
        production = msgspec.json.decode(self._lines.read(seconds * 1.5 + 10), type=Production)
        self.next_index = production.first + production.sent
        return production

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

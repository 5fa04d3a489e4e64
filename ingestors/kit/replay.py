"""Recorded messages through a venue's mapper, at the pace at which they came, faster, or as fast as possible.

The ticks keep the times of the recording, so their age is plain to see; and production refuses to run replays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .ledger import Ledger
from .lines import LineWriter
from .mapper import UNREADABLE, Mapper
from .pipeline import Pipeline
from .recording import Recorded, Recording
from .tally import Tally

__all__ = ["Pace", "replay"]


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast, and by which clock."""

    speed: float | None = 1.0
    """1 is the original pace, 10 ten times as fast, None does not wait at all."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def replay(
    recording: Recording, open_mapper: Callable[[Ledger], Mapper], writer: LineWriter, pace: Pace
) -> Tally:
    """Write the lines of one recording, from its first message to its last; returns the counts.

    Raises:
        MisconfiguredError: The recording cannot be read.
        OutputClosedError: Nobody reads our lines any more.
    """
    ledger = Ledger()
    mapper = open_mapper(ledger)
    pipeline = Pipeline(mapper, writer, ledger)
    started_s = pace.clock()
    first_ns: int | None = None
    for message, now_ns in _dated(recording, mapper):
        if pace.speed is not None and now_ns is not None:
            if first_ns is None:
                first_ns = now_ns
            wait_s = started_s + (now_ns - first_ns) / 1e9 / pace.speed - pace.clock()
            if wait_s > 0:
                writer.flush()
                pace.sleep(wait_s)
        pipeline.take(message, time.time_ns() if now_ns is None else now_ns)
    writer.flush()
    return ledger.tally


def _dated(recording: Recording, mapper: Mapper) -> Iterator[tuple[bytes, int | None]]:
    """Each message with its receive time. Where none was noted, it is the latest time that the messages themselves have
    told so far (the first ones get the first that any tells), and None in a recording without any time at all."""
    now_ns: int | None = None
    for entry in recording:
        if entry.received_ns is not None:
            yield entry.message, entry.received_ns
            continue
        told_ns = _told(entry, mapper)
        if now_ns is None:
            now_ns = told_ns if told_ns is not None else _first_told(recording, mapper)
        elif told_ns is not None:
            now_ns = max(now_ns, told_ns)
        yield entry.message, now_ns


def _first_told(recording: Recording, mapper: Mapper) -> int | None:
    return next((told for entry in recording if (told := _told(entry, mapper)) is not None), None)


def _told(entry: Recorded, mapper: Mapper) -> int | None:
    if entry.received_ns is not None:
        return entry.received_ns
    try:
        return mapper.time_of(entry.message)
    except UNREADABLE:
        return None  # unreadable; mapping it says so

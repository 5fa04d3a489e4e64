"""How a child is made to leave, as data, and the climbing of it.

A rung is a signal to the whole process group and the time that it has to take effect. The next rung is climbed when the
time is over. Whatever the child leaves behind when it has gone (members of its group, and others that made a session of
their own) is swept up afterwards, with what remains of the grace.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import trio

from finstream.children.guardian import KILL_WAIT_S, Found, find_processes, sweep
from finstream.children.process import ChildProcess

__all__ = ["HARD", "Left", "Rung", "climb", "polite"]


class Rung(NamedTuple):
    signal: signal.Signals
    wait_s: float


def polite(grace_s: float) -> tuple[Rung, ...]:
    """The usual ladder: ask, wait for the grace, kill."""
    return (Rung(signal.SIGTERM, grace_s), Rung(signal.SIGKILL, KILL_WAIT_S))


HARD: tuple[Rung, ...] = (Rung(signal.SIGKILL, KILL_WAIT_S),)
"""Without asking: for one that has been found unable to listen."""


class Left(NamedTuple):
    """How it went."""

    signals: tuple[str, ...]
    """The rungs that were climbed; empty when it had ended before."""
    strays: tuple[Found, ...]
    """What it had left behind, swept up."""
    unkillable: tuple[int, ...]
    """What is still there: hangs in the kernel."""


async def climb(process: ChildProcess, rungs: Sequence[Rung], marks: Sequence[str]) -> Left:
    """Climb the ladder until nothing of the child is left. The process itself is not reaped.

    ``marks`` are the environment entries by which its descendants are found. Takes at most the sum of the rungs' times
    plus ``KILL_WAIT_S``. Run it shielded: a ladder climbed by half leaves orphans.
    """
    climbed: list[str] = []
    # The group of one that has ended by itself is asked the same way; that is rung one for those it left.
    start = trio.current_time()
    for rung in rungs:
        gone = process.has_exited()
        process.signal_group(rung.signal)
        if not gone:
            climbed.append(rung.signal.name)
            with trio.move_on_after(rung.wait_s):
                await process.exited()
                gone = True
        if gone:
            break
    asked = rungs[0].signal == signal.SIGTERM
    grace_s = max(0.0, start + rungs[0].wait_s - trio.current_time()) if asked else 0.0
    # In a thread of its own, not one of the shared limit's: a sweep may take as long as the grace.
    found, left = await trio.to_thread.run_sync(
        partial(
            sweep, partial(find_processes, marks, {process.pid}), grace_s,
            spare_group=process.pid if asked else None,
        ),
        limiter=trio.CapacityLimiter(1),
    )
    strays = tuple(stray for stray in found if stray.pid != process.pid)
    return Left(tuple(climbed), strays, tuple(process.pid for process in left))

"""A live feed: one connection leads; whenever it ends or grows old, the next one follows, until told to stop.

Where the end is known beforehand (the venue announces it, or limits how long a connection lives), the next connection opens
beside the one that leads, and takes over when it is sure to have missed nothing. Where it is not, the next one opens after a
pause.

The lines of all messages that arrived together are written together: reading does not let the event loop run while more
messages are there, so a write that was scheduled for the loop's next turn happens exactly when they are used up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from .addresses import shown
from .backoff import Backoff
from .connection import ConnectionEndedError
from .exits import MisconfiguredError
from .ledger import Ledger
from .leg import Leg
from .lines import LineWriter, OutputClosedError
from .mapper import Feed
from .pipeline import Pipeline
from .stopping import Stopped, StopSignals

__all__ = ["Live", "need_websockets", "run_live"]

_STABLE_S: Final = 10.0
"""A connection that lived so long and brought ticks was a good one: the back-off begins anew."""
_CIRCUIT_AFTER: Final = 12
"""About two minutes of failures."""
_LIFETIME_SPREAD: Final = 0.03
"""Connections that were opened together are not replaced together."""


def need_websockets() -> None:
    """Raises MisconfiguredError, with the remedy, where the websockets library is missing. Replays run without it."""
    try:
        import websockets.asyncio.client  # noqa: F401
    except ImportError as error:
        raise MisconfiguredError(
            f"live data need the websockets library ({error}): pip install 'finstream[ingestors]'"
        ) from error


def run_live(feed: Feed, writer: LineWriter, stop: StopSignals, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Stream until a signal comes; ``chore`` runs beside it. Blocks.

    Raises:
        MisconfiguredError: The URL is none.
        OutputClosedError: Nobody reads our lines any more.
        Stopped: A signal asked us to leave. The venue's socket is closed.
    """
    asyncio.run(_until_stopped(Live(feed, writer, Backoff(circuit_after=_CIRCUIT_AFTER)), stop, chore))


async def _until_stopped(live: Live, stop: StopSignals, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.create_task(live.run())
    beside = asyncio.create_task(chore())
    loop = asyncio.get_running_loop()
    live.on_output_closed = task.cancel
    with stop.cancelling(lambda: loop.call_soon_threadsafe(task.cancel)):
        try:
            await task
        except asyncio.CancelledError:
            raise (OutputClosedError if live.is_output_closed else Stopped) from None
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)


class Live:
    """One feed over a succession of connections."""

    def __init__(self, feed: Feed, writer: LineWriter, backoff: Backoff) -> None:
        self._feed = feed
        self._ledger = Ledger()
        self._writer = writer
        self._backoff = backoff
        self._legs: set[asyncio.Task[None]] = set()
        self._patience_s = 0.0
        """Between connections at least, as the venue has said last."""
        self._is_flush_due = False
        self.is_output_closed = False
        self.on_output_closed: Callable[[], object] = lambda: None
        """Called from the event loop when a write found nobody reading, or was interrupted by a signal."""

    async def run(self) -> NoReturn:
        """Until cancelled; then all sockets are closed.

        Raises:
            MisconfiguredError: The URL is none.
            OutputClosedError: Nobody reads our lines any more.
        """
        try:
            leader = self._open(is_leading=True)
            while True:
                leader = await self._successor_of(leader)
        finally:
            for task in self._legs:
                task.cancel()
            await asyncio.gather(*self._legs, return_exceptions=True)

    async def _successor_of(self, leader: Leg) -> Leg:
        """The leg that leads after this one: returns when it does."""
        await _any_of(leader.task, leader.due)
        if leader.was_good(_STABLE_S):
            self._backoff.succeeded()
        successor = None if leader.task.done() else await self._open_beside(leader)
        if successor is not None:
            successor.lead()
            self._writer.status("succeeded", "the next connection has taken over from the one before")
            leader.task.cancel()
            await asyncio.gather(leader.task, return_exceptions=True)
            return successor
        if leader.patience_s is not None:
            self._patience_s = leader.patience_s
        await asyncio.sleep(self._pause_after(_end_of(leader)))
        return self._open(is_leading=True)

    async def _open_beside(self, leader: Leg) -> Leg | None:
        """A connection that can take over from one that still leads; None if that ended and none was opening."""
        reason, is_planned, wait_s = leader.due.result(), True, 0.0
        while True:
            delay_s = max(self._backoff.next_delay_s(is_planned=is_planned), wait_s)
            self._writer.status("reconnecting", f"{reason}; next attempt in {delay_s:.1f} s, beside the open connection")
            await asyncio.wait({leader.task}, timeout=delay_s)
            if leader.task.done():
                return None
            successor = self._open(is_leading=False)
            await _any_of(leader.task, successor.task, successor.settled)
            if not successor.task.done():
                return successor
            end = _end_of(successor)
            reason, is_planned, wait_s = str(end), False, end.wait_s

    def _open(self, *, is_leading: bool) -> Leg:
        endpoint = self._feed.endpoint
        address = shown(endpoint.url)
        pipeline = Pipeline(self._feed.open_mapper(self._ledger), self._writer, self._ledger)
        lifetime_s = endpoint.lifetime_s
        if lifetime_s is not None:
            lifetime_s *= random.uniform(1.0 - _LIFETIME_SPREAD, 1.0)  # noqa: S311 - no secret
        self._writer.status("connecting", address)
        leg = Leg(
            endpoint,
            pipeline,
            is_leading=is_leading,
            lifetime_s=lifetime_s,
            on_open=lambda: self._writer.status("connected", address),
            on_lines=self._flush_soon,
        )
        self._legs.add(leg.task)
        leg.task.add_done_callback(self._legs.discard)
        return leg

    def _pause_after(self, end: ConnectionEndedError) -> float:
        """Say why and for how long; returns the pause in seconds."""
        delay_s = max(self._backoff.next_delay_s(), end.wait_s, self._patience_s)
        so_far = self._ledger.tally.summary()
        self._writer.status("reconnecting", f"{end}; next attempt in {delay_s:.1f} s; so far {so_far}")
        if self._backoff.is_circuit_open:
            failures = self._backoff.attempts
            self._writer.status("circuit", f"open after {failures} failures in a row: one attempt in {delay_s:.0f} s")
        return delay_s

    def _flush_soon(self) -> None:
        if self._writer.has_pending and not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        try:
            self._writer.flush()
        except OutputClosedError:
            self.is_output_closed = True
            self.on_output_closed()
        except Stopped:  # a signal came while the pipe was full; from here it would not reach our caller
            self.on_output_closed()


async def _any_of(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _end_of(leg: Leg) -> ConnectionEndedError:
    """Why a leg that is done ended. Raises what it raised, if that was something else."""
    error = leg.task.exception()
    if isinstance(error, ConnectionEndedError):
        return error
    assert error is not None  # it runs until something is raised
    raise error

"""Reconnection windows: which waiting sessions are overdue, and when the next one will be."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import inf

import trio

from finstream.services.session import Session

__all__ = ["Windows"]

_DROP_AT = 1024
"""Entries before it is worth looking for those that mean nothing any more."""


class Windows:
    """A queue of deadlines by Trio's clock, so that a step of the wall clock forgets nobody.

    A session has one entry at most, made when it begins to wait. It may connect and wait again in the meantime, which
    only moves its deadline back; so the entry is looked at when its turn comes, and moves on or goes.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[float, str, Session]] = []
        self._sooner = trio.Event()
        self._drop_at = _DROP_AT

    def open(self, session: Session, seconds: float) -> None:
        """The session waits from now on, for ``seconds``."""
        session.deadline = trio.current_time() + seconds
        if not session.has_window_entry:
            session.has_window_entry = True
            heapq.heappush(self._entries, (session.deadline, session.uuid, session))
            self._drop_forgotten()
            self._sooner.set()

    def _drop_forgotten(self) -> None:
        # Sessions that are registered and unregistered in a loop must not pile up until their windows end.
        if len(self._entries) > self._drop_at:
            self._entries = [entry for entry in self._entries if not entry[2].is_forgotten]
            heapq.heapify(self._entries)
            self._drop_at = max(_DROP_AT, 2 * len(self._entries))

    def overdue(self) -> Iterator[Session]:
        """Sessions that have waited for longer than their window; each is told once."""
        now = trio.current_time()
        while self._entries and self._entries[0][0] <= now:
            _deadline, uuid, session = heapq.heappop(self._entries)
            session.has_window_entry = session.is_waiting and session.deadline > now
            if session.has_window_entry:
                heapq.heappush(self._entries, (session.deadline, uuid, session))
            elif session.is_waiting:
                yield session

    async def next_change(self) -> None:
        """Wait until :meth:`overdue` may have something to tell."""
        with trio.move_on_at(self._entries[0][0] if self._entries else inf):
            await self._sooner.wait()
        self._sooner = trio.Event()

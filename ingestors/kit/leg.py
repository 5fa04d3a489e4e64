"""One connection of a feed: leading, so that its ticks are told, or waiting beside the one that leads.

A waiting one keeps what it receives. When it takes over it tells what the other has not told, and leads from then on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from .connection import ConnectionEndedError, converse
from .mapper import Endpoint
from .outputs import Reconnect
from .pipeline import Pipeline

__all__ = ["Leg"]

_OVERLAP_S: Final = 3.0
"""A waiting connection takes over so long after it sent its last request, if anything has come by then."""
_OVERLAP_SILENT_S: Final = 15.0
"""Or after so long although nothing has come."""
_KEPT_MESSAGES: Final = 200_000
"""Or as soon as it has kept so many."""


class Leg:
    """``task`` runs it and ends with ConnectionEndedError, or with what the pipeline raised."""

    def __init__(
        self,
        endpoint: Endpoint,
        pipeline: Pipeline,
        *,
        is_leading: bool,
        lifetime_s: float | None,
        on_open: Callable[[], None],
        on_lines: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._pipeline = pipeline
        self._kept: list[tuple[bytes, int]] | None = None if is_leading else []
        self._lifetime_s = lifetime_s
        self._on_open = on_open
        self._on_lines = on_lines
        self._order: Reconnect | None = None
        """To leave at once, which was among what was kept."""
        self._timers: list[asyncio.TimerHandle] = []
        self._ticks_at_start = _ticks(pipeline)
        self._started_s = time.monotonic()
        self.due: asyncio.Future[str] = loop.create_future()
        """Done with the reason when the next connection should open beside this one."""
        self.settled: asyncio.Future[None] = loop.create_future()
        """Done when this one, waiting, can take over."""
        self.task = asyncio.create_task(self._run())

    def was_good(self, stable_s: float) -> bool:
        """Whether it has lived for so long and ticks were told meanwhile."""
        return time.monotonic() - self._started_s >= stable_s and _ticks(self._pipeline) > self._ticks_at_start

    @property
    def patience_s(self) -> float | None:
        """How long the venue wants no other connection when one ends; None: it has said nothing of it here."""
        return self._pipeline.patience_s

    def lead(self) -> None:
        """Take over: tell what was kept and is news.

        Raises:
            OutputClosedError: Nobody reads our lines any more.
        """
        kept, self._kept = self._kept or [], None
        order = self._pipeline.catch_up(kept)
        self._on_lines()
        if order is not None and order.wait_s:
            self._order = order
            self.task.cancel()
        elif order is not None:
            self._be_due(order.reason)

    async def _run(self) -> None:
        try:
            await converse(self._endpoint, opened=self._opened, subscribed=self._subscribed, take=self._take)
        except asyncio.CancelledError:
            if self._order is None:
                raise
            raise ConnectionEndedError(self._order.reason, wait_s=self._order.wait_s) from None
        finally:
            for timer in self._timers:
                timer.cancel()

    def _opened(self) -> None:
        self._on_open()
        if self._lifetime_s is not None:
            self._call_later(self._lifetime_s, self._be_due, f"connected for {self._lifetime_s:.0f} s")

    def _subscribed(self) -> None:
        self._call_later(_OVERLAP_S, self._settle_if_heard)
        self._call_later(_OVERLAP_SILENT_S, self._settle)

    def _take(self, message: bytes, received_ns: int) -> None:
        if self._kept is not None:
            self._kept.append((message, received_ns))
            if len(self._kept) > _KEPT_MESSAGES:
                self._settle()
            return
        order = self._pipeline.take(message, received_ns)
        self._on_lines()
        if order is not None:
            self._obey(order)

    def _obey(self, order: Reconnect) -> None:
        if order.wait_s:
            raise ConnectionEndedError(order.reason, wait_s=order.wait_s)
        self._be_due(order.reason)

    def _be_due(self, reason: str) -> None:
        if not self.due.done():
            self.due.set_result(reason)

    def _settle_if_heard(self) -> None:
        if self._kept:
            self._settle()

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    def _call_later(self, delay_s: float, function: Callable[..., None], *arguments: object) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, function, *arguments))


def _ticks(pipeline: Pipeline) -> int:
    return pipeline.tally.trades + pipeline.tally.quotes


"""Telemetry: looks at all parts in turn, and tells what it saw.

Each look goes onto the bus as a ``TelemetryTick``, and is kept until the next one. There is one look every ``telemetry.period_s``,
more often for as long as somebody asks for that. Who asks in between gets one that is at most a second old, and does not put
off the next one that is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import trio

from finstream.services.logs import Logger
from finstream.services.ports import Publisher
from finstream.services.telemetry_look import Look, LookFailedError
from finstream.services.telemetry_view import Telemetry as View
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import TelemetryTick
from finstream.vocabulary.settings import TelemetrySettings

__all__ = ["FRESH_S", "Telemetry"]

FRESH_S = 1.0
"""A look that is younger serves whoever asks: many who ask cost no more than one."""

_RECENT_S = 0.5
"""A look that is younger is told instead of another one: rates over less would say little."""
_COMPLAIN_EVERY_S = 60.0
"""A machine that has run out of something stays so for a while; a line for each look would only fill its disk as well."""

_encoder = msgspec.json.Encoder()


class Telemetry:
    """Use it from the Trio thread only."""

    def __init__(self, settings: TelemetrySettings, look: Look, *, bus: Publisher, logger: Logger) -> None:
        self._settings = settings
        self._look = look
        self._bus = bus
        self._logger = logger
        self._asked: Counter[float] = Counter()
        self._news = trio.Event()
        self._looking = trio.Lock()
        self._latest: View | None = None
        self._looked_at = -float("inf")
        self._told_at = -float("inf")
        self._complained_at = -float("inf")
        self._summed_up_at = trio.current_time()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at everything, at once and then once a period, until cancelled."""
        task_status.started()
        while True:
            if trio.current_time() - self._told_at >= self._period_s():
                await self._tell()
                self._told_at = trio.current_time()
            self._news = trio.Event()
            with trio.move_on_at(self._told_at + self._period_s()):
                await self._news.wait()

    def apply(self, settings: TelemetrySettings) -> None:
        """Other periods hold from now on."""
        self._settings = settings
        self._news.set()

    @contextmanager
    def every(self, period_s: float) -> Iterator[None]:
        """Have it looked at least so often, while the context is open."""
        self._asked[period_s] += 1
        self._news.set()
        try:
            yield
        finally:
            self._asked[period_s] -= 1
            self._asked += Counter()  # drops those that nobody asks for any more

    async def latest(self) -> View:
        """How things are; at most FRESH_S old.

        Raises:
          RequestError: ``not-ready``; the machine does not let us look.
        """
        try:
            return await self._younger_than(FRESH_S)
        except LookFailedError as error:
            raise RequestError("not-ready", f"the engine cannot look at itself just now: {error}") from error

    def _period_s(self) -> float:
        return min([self._settings.period_s, *self._asked])

    async def _tell(self) -> None:
        try:
            view = await self._younger_than(_RECENT_S)
        except LookFailedError as error:
            now = trio.current_time()
            if now - self._complained_at >= _COMPLAIN_EVERY_S:
                self._complained_at = now
                self._logger.warning("telemetry could not look, and tries again", error=str(error))
            return
        self._bus.publish(TelemetryTick(at=view.at, telemetry=msgspec.Raw(_encoder.encode(view))))
        now = trio.current_time()
        if now - self._summed_up_at >= self._settings.summary_s:
            self._summed_up_at = now
            self._sum_up(view)

    async def _younger_than(self, age_s: float) -> View:
        async with self._looking:
            if self._latest is None or trio.current_time() - self._looked_at >= age_s:
                return await self._take()
            return self._latest

    async def _take(self) -> View:
        self._latest = await self._look.now()
        self._looked_at = trio.current_time()
        return self._latest

    def _sum_up(self, view: View) -> None:
        states = Counter(asset.state for asset in view.assets)
        totals = view.clients.totals
        self._logger.info(
            "summary",
            uptime_s=view.uptime_s,
            assets=dict(states),
            degraded=[asset.name for asset in view.assets if asset.arena is not None and asset.arena.degraded],
            restarts=sum(child.restarts for child in (*view.assets, *view.sinks)),
            lines=view.pump.lines,
            rejected=sum(sum(asset.rejected.values()) for asset in view.assets),
            connected=view.clients.connected,
            registered=view.clients.registered,
            delivered=totals.delivered,
            sent_bytes=totals.sent_bytes,
            killed=totals.killed,
            endings=view.clients.endings,
            memory=view.memory.level,
            cpu_s=view.system.engine.cpu_s,
            memory_bytes=view.system.engine.memory_bytes,
            bus_dropped=view.bus.dropped,
            log_dropped=view.logs.dropped,
        )

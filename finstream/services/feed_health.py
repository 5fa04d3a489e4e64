"""Tells subscribers and the bus when a feed that they trust goes bad, and when it is well again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
import trio

from finstream.pump import ArenaEntry, Pump
from finstream.services.arena_view import PATIENCE_NS, Status, severity
from finstream.services.feed_judgement import Hours, Reading, Vigil, judge
from finstream.services.logs import Logger
from finstream.services.ports import Publisher
from finstream.services.rankings import Rankings
from finstream.vocabulary.events import FeedHealthChanged

__all__ = ["FeedHealth", "FeedStatistics"]

_PERIOD_S = 1.0


class FeedStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What subscribers believe of one feed."""

    state: str
    """``live``, ``degraded``, ``stale`` or ``down``."""
    cause: str | None
    """``lag``, ``mute``, ``rate_collapsed``, ``clock_error`` or ``not_running``; null if it is live."""
    age_ms: int | None
    """Since its last tick; null if there was none."""


class NamedStatus(Status, Protocol):
    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> str: ...


class _Watched:
    """One feed: what was told of it last."""

    def __init__(self) -> None:
        self.vigil = Vigil()
        self.is_judged = False
        self.severity = 0
        self.last_tick_ns: int | None = None

    def age_ms(self, now_ns: int) -> int | None:
        return None if self.last_tick_ns is None else max(0, now_ns - self.last_tick_ns) // 1_000_000


class FeedHealth:
    """Looks at every pricing asset once a second, for as long as :meth:`run` runs, and so has their ranking told on the bus, too.

    ``statuses()`` are the assets that are configured; ``hours(asset)`` says whether silence is to be held against one now.
    """

    def __init__(
        self,
        *,
        pump: Pump,
        statuses: Callable[[], Iterable[NamedStatus]],
        bus: Publisher,
        logger: Logger,
        simulated: bool = False,
        hours: Callable[[str], Hours] = lambda _asset: "busy",
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._pump = pump
        self._statuses = statuses
        self._bus = bus
        self._log = logger
        self._simulated = simulated
        self._hours = hours
        self._now_ns = now_ns
        self._rankings = Rankings(pump=pump, bus=bus)
        self._watched: dict[str, _Watched] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            await trio.sleep(_PERIOD_S)
            self.look()

    def look(self) -> None:
        """Judge every feed as it is now, and tell what has changed."""
        now_ns = self._now_ns()
        statuses = {status.name: status for status in self._statuses()}
        self._watched = {name: watched for name, watched in self._watched.items() if name in statuses}
        if not statuses:
            return
        entries = [entry for entry in self._pump.arena(now_ns) if entry.asset in statuses]
        self._rankings.tell([entry.asset for entry in entries], now_ns)
        for entry in entries:
            self._look_at(entry, statuses[entry.asset], now_ns)

    def message(self, asset: str) -> bytes | None:
        """What a new subscriber is to know of a feed that is not well; None of one that is, or that is not known."""
        watched = self._watched.get(asset)
        if watched is None or watched.vigil.verdict.state == "live":
            return None
        return self._message(asset, watched, self._now_ns())

    def statistics(self) -> dict[str, FeedStatistics]:
        """By asset; those of which nothing is to be judged are left out: at rest, their market closed, or no pricing assets."""
        now_ns = self._now_ns()
        return {
            name: FeedStatistics(
                state=watched.vigil.verdict.state, cause=watched.vigil.verdict.cause, age_ms=watched.age_ms(now_ns)
            )
            for name, watched in self._watched.items()
            if watched.is_judged
        }

    def _look_at(self, entry: ArenaEntry, status: NamedStatus, now_ns: int) -> None:
        watched = self._watched.setdefault(entry.asset, _Watched())
        watched.last_tick_ns = now_ns - entry.silent_ns if entry.ticks else None
        in_state_s = max(0.0, now_ns / 1e9 - status.since_us / 1e6)
        hours = self._hours(entry.asset)
        is_recorded = status.origin == "replay"
        verdict = judge(
            Reading(
                state=status.state,
                in_state_s=in_state_s,
                ticks=entry.ticks,
                silent_s=entry.unheard_ns / 1e9 if entry.unheard_ns is not None else in_state_s,
                lag_s=None if is_recorded else entry.lag_smoothed_ns / 1e9,
                rate=entry.rate,
                usual_rate=entry.usual_rate,
                usual_windows=entry.usual_windows,
                hours=hours,
            )
        )
        watched.is_judged = verdict is not None
        previous = watched.vigil.verdict
        if verdict is None:
            grade = 0
        elif is_recorded:
            grade = severity(entry.silent_ns - PATIENCE_NS) if entry.ticks and hours == "busy" else 0
        else:
            grade = entry.severity if hours == "busy" else severity(entry.lag_smoothed_ns)
        changed = watched.vigil.see(verdict, now_ns / 1e9)
        if not changed and grade == watched.severity:
            return
        watched.severity = grade
        age_ms = watched.age_ms(now_ns)
        state, cause = watched.vigil.verdict.state, watched.vigil.verdict.cause
        self._bus.publish(
            FeedHealthChanged(
                asset=entry.asset, state=state, previous=previous.state, cause=cause, severity=grade, age_ms=age_ms
            )
        )
        if changed:
            log = self._log.info if state == "live" else self._log.warning
            log("feed health changed", asset=entry.asset, health=state, previous=previous.state, cause=cause, age_ms=age_ms)
            handle = self._pump.asset_handle(entry.asset)
            assert handle is not None, "who is in the arena has a handle"
            self._pump.broadcast(handle, self._message(entry.asset, watched, now_ns))

    def _message(self, asset: str, watched: _Watched, now_ns: int) -> bytes:
        verdict = watched.vigil.verdict
        message: dict[str, object] = {"type": "health", "asset": asset, "state": verdict.state}
        if verdict.cause is not None:
            message["cause"] = verdict.cause
        if (age_ms := watched.age_ms(now_ns)) is not None:
            message["age_ms"] = age_ms
        if self._simulated:
            message["simulated"] = True
        return msgspec.json.encode(message)

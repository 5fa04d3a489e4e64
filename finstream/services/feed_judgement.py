"""Whether a feed is well, from what is known of it at one moment. Pure: readings in, a verdict out.

======== =========================================================================================================
live     it ticks as it usually does
degraded it ticks, but late by more than a second (``lag``), at less than a tenth of its usual rate (``rate_collapsed``),
         or with stamps that lie ahead of our clock (``clock_error``)
stale    what it tells is old: late by more than 15 s (``lag``), or it has been silent for long (``mute``)
down     nothing comes: its program does not run (``not_running``), or it has been silent for very long (``mute``)
======== =========================================================================================================

How long is long depends on the feed: at least 5 s, and the time in which it usually tells 20 ticks; very long is at least a
minute, and the time of 100 ticks. A ``heartbeat`` line breaks a silence as a tick does. A ``status`` line does not, for who
cannot reach the venue prints those again and again; nor does a line that is refused. Before a market opens and after it closes
there may be little to tell: then only lag and clock are judged, and whether the program runs. Of a recording that is played
lag and clock are not judged: it is old by nature.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from finstream.vocabulary.market import MarketName, Phase

__all__ = ["LEAST_WINDOWS", "STATES", "Hours", "Reading", "Verdict", "Vigil", "hours_of", "judge"]

STATES = ("live", "degraded", "stale", "down")
"""From well to ill."""

Hours = Literal["busy", "quiet", "closed"]
"""Of an asset's market: ``quiet`` while it trades before or after its session, so that a silence means nothing."""

_AT_REST = frozenset({"idle", "paused", "done", "stopping"})
_FAILED = frozenset({"backoff", "tripped", "misconfigured"})
_LATE_S, _STALE_S = 1.0, 15.0
_LONG_S, _LONG_TICKS = 5.0, 20
_VERY_LONG_S, _VERY_LONG_TICKS = 60.0, 100
_UNKNOWN_LONG_S = 15.0
"""Of a feed whose usual rate is not known yet."""
LEAST_WINDOWS = 6
"""Of ten seconds: what is usual is not known before."""
_LEAST_RATE = 2.0
"""Ticks a second, below which ten seconds are too short to tell a collapse from chance."""
_COLLAPSED = 0.1
_RECOVERY_S = 3.0


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an asset."""

    state: str
    """Of its ingestor."""
    in_state_s: float
    ticks: int
    silent_s: float
    """Since its last line that says something or that it is alive; without any, since it entered its state."""
    lag_s: float | None
    """Smoothed; negative when its clock is ahead. None: its stamps are no measure, as those of a recording."""
    rate: float
    """Ticks a second in the last 10 s."""
    usual_rate: float
    usual_windows: int
    """As :class:`finstream.pump.ArenaEntry` has them."""
    hours: Hours


class Verdict(msgspec.Struct, frozen=True):
    state: str = "live"
    """One of :data:`STATES`."""
    cause: str | None = None
    """``lag``, ``mute``, ``rate_collapsed``, ``clock_error``, ``not_running``; None if it is live."""


_LIVE = Verdict()


def hours_of(market: MarketName, phase: Phase | None) -> Hours:
    """``phase`` is what the stock market is doing; None: that is not known yet, and what follows it rests so long."""
    if market == "always" or phase == "open":
        return "busy"
    return "quiet" if phase in ("pre-market", "after-hours") else "closed"


def judge(reading: Reading) -> Verdict | None:
    """None: there is nothing to judge. It is silent on purpose, or its market is closed."""
    if reading.state in _AT_REST or reading.hours == "closed":
        return None
    if reading.state in _FAILED:
        return Verdict("down", "not_running")
    return (_judge_pace(reading) if reading.hours == "busy" else None) or _judge_stamps(reading) or _LIVE


def _judge_pace(reading: Reading) -> Verdict | None:
    """By how often it tells something; None: as often as it should."""
    usual = reading.usual_rate if reading.usual_windows >= LEAST_WINDOWS else 0.0
    silent_s = min(reading.silent_s, reading.in_state_s)  # before it ran it could not tell anything
    if silent_s > max(_VERY_LONG_S, _VERY_LONG_TICKS / usual if usual else 0.0):
        return Verdict("down", "mute")
    if silent_s > (max(_LONG_S, _LONG_TICKS / usual) if usual else _UNKNOWN_LONG_S):
        return Verdict("stale", "mute")
    has_collapsed = usual >= _LEAST_RATE and reading.in_state_s > 10 and reading.rate < _COLLAPSED * usual
    is_stale = reading.lag_s is not None and reading.lag_s > _STALE_S
    if has_collapsed and reading.ticks and not is_stale:  # being as late as that is worse
        return Verdict("degraded", "rate_collapsed")
    return None


def _judge_stamps(reading: Reading) -> Verdict | None:
    """By its time stamps; None: there are none, or they are well."""
    if reading.ticks == 0 or reading.lag_s is None:
        return None
    if reading.lag_s > _STALE_S:
        return Verdict("stale", "lag")
    if reading.lag_s > _LATE_S:
        return Verdict("degraded", "lag")
    return Verdict("degraded", "clock_error") if reading.lag_s < 0 else None


class Vigil:
    """What subscribers of one feed believe: a worse state at once, a better one once it has lasted for 3 s."""

    def __init__(self) -> None:
        self.verdict = _LIVE
        self._better_since: float | None = None

    def see(self, verdict: Verdict | None, now_s: float) -> bool:
        """Whether there is something to tell. None, of a feed that rests, begins anew without a word."""
        if verdict is None:
            self.verdict, self._better_since = _LIVE, None
            return False
        if STATES.index(verdict.state) >= STATES.index(self.verdict.state):
            self._better_since = None
            changed, self.verdict = verdict != self.verdict, verdict
            return changed
        if self._better_since is None:
            self._better_since = now_s
        if now_s - self._better_since < _RECOVERY_S:
            return False
        self.verdict, self._better_since = verdict, None
        return True

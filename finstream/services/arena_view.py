"""The arena as the REST API shows it: overall, or for one symbol; with what the pump does not know, the assets' states."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from finstream.pump import Form, Pump, SymbolForm, SymbolStatistics
from finstream.services.feed_judgement import LEAST_WINDOWS, Hours
from finstream.services.percentiles import percentile_ns

__all__ = ["PATIENCE_NS", "ArenaPlace", "LagBucket", "Status", "overall", "per_symbol", "severity"]

PATIENCE_NS = 1_000_000_000
"""Silence that is not held against a source; as the pump has it."""

_AT_REST = frozenset({"idle", "paused", "done"})
"""States in which an asset is silent on purpose."""


class Status(Protocol):
    """What is to be known of an asset that is configured."""

    @property
    def state(self) -> str: ...

    @property
    def since_us(self) -> int:
        """When it entered the state; microseconds since the epoch."""


class LagBucket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    below_us: float | None = None
    """Upper bound; 0 for the negative lags. Absent: there is none."""
    count: int


class ArenaPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One source's place. Lag and silence are absent before the first tick."""

    rank: int
    """1 is the best."""
    asset: str
    state: str
    """Of its ingestor."""
    lag_us: int | None = None
    """Of the last tick: receipt minus its own stamp; negative when the source's clock is ahead of ours."""
    lag_smoothed_us: int | None = None
    ticks: int
    silent_ms: int | None = None
    """Since the last tick."""
    clock_error: bool
    """The smoothed lag is negative."""
    severity: int | None = None
    """0 up to 1 s of lag and undue silence, 1 below 5 s, 2 below 15 s, 3 below 60 s, else 4. Before the first tick silence
    counts from the beginning of the state; while its market is not in session, silence does not count. Absent in idle, paused
    and done: silence is right then."""
    degraded: bool
    """The severity is 1 or more."""
    lag_p50_us: int | None = None
    """Of the ticks of the last one to two minutes that had any; this and what follows, of a symbol only if others tick it too."""
    lag_p90_us: int | None = None
    lag_p99_us: int | None = None
    lag_least_us: int | None = None
    clock_ahead_us: int | None = None
    """So far at least its clock was ahead of ours: some of those lags were negative. Absent if none was."""
    lags: list[LagBucket] = []
    """How many of those lags lie below each bound and not below the one before. Empty buckets are left out."""
    ticks_per_s: float | None = None
    """In the last 10 s."""
    usual_ticks_per_s: float | None = None
    """The average of its last hour, long silences aside. Absent during the first minute."""
    matches: int = 0
    """Trades that it told and another one too: the same exchange, symbol and trade id."""
    wins: int = 0
    """Of those, the ones that it told first."""
    win_rate: float | None = None
    lead_us: int | None = None
    """By which it came before the second one; smoothed over its wins."""
    lead_mean_us: int | None = None
    leads: bool = False
    """Its ticks are those of the topic best:SYMBOL. Known only while somebody takes that topic."""


def _always_busy(_asset: str) -> Hours:
    return "busy"


def overall(
    pump: Pump, assets: Mapping[str, Status], *, hours: Callable[[str], Hours] = _always_busy, now_ns: int | None = None
) -> list[ArenaPlace]:
    """The pump's ranking of the pricing assets, best first. ``assets`` are those that are configured; others are left out.
    ``hours(asset)`` says whether silence is held against one now; the order does not ask for that."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    places = []
    for rank, entry in enumerate((entry for entry in pump.arena(now_ns) if entry.asset in assets), 1):
        status = assets[entry.asset]
        grave = entry.severity if entry.ticks else severity(now_ns - status.since_us * 1000 - PATIENCE_NS)
        if hours(entry.asset) != "busy":
            grave = severity(entry.lag_smoothed_ns)
        places.append(
            _place(
                rank, entry.asset, status, entry.ticks, entry.lag_last_ns, entry.lag_smoothed_ns, entry.silent_ns, grave,
                _form(pump.form(_handle(pump, entry.asset)), entry),
            )
        )  # fmt: skip
    return places


def per_symbol(
    pump: Pump, symbol: str, assets: Mapping[str, Status], *, hours: Callable[[str], Hours] = _always_busy,
    now_ns: int | None = None,
) -> list[ArenaPlace]:  # fmt: skip
    """The sources that have ticked ``symbol``, by their lag on it; the same rules as overall.

    ``BTC-USDT`` is also found as ``BTC/USDT``, as in a URL's path. Empty if nobody has ticked it.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    racing = [entry.asset for entry in pump.arena(now_ns) if entry.asset in assets]
    for name in (symbol, symbol.replace("-", "/")):
        found = [(asset, entry) for asset in racing if (entry := _ticked(pump, asset, name))]
        if found:
            return _ranked(pump, name, found, assets, hours, now_ns)
    return []


def severity(score_ns: int) -> int:
    """As the pump reckons it: 0 is healthy, 4 the worst."""
    if score_ns <= PATIENCE_NS:
        return 0
    return sum(score_ns // 1_000_000_000 >= bound for bound in (5, 15, 60)) + 1


def _ticked(pump: Pump, asset: str, symbol: str) -> SymbolStatistics | None:
    entry = pump.symbol(_handle(pump, asset), symbol)
    return entry if entry is not None and entry.ticks else None


def _handle(pump: Pump, asset: str) -> int:
    handle = pump.asset_handle(asset)
    assert handle is not None, "who is in the arena has a handle"
    return handle


def _ranked(
    pump: Pump, symbol: str, found: list[tuple[str, SymbolStatistics]], assets: Mapping[str, Status],
    hours: Callable[[str], Hours], now_ns: int,
) -> list[ArenaPlace]:  # fmt: skip
    scored = []
    for asset, entry in found:
        silent_ns = now_ns - entry.last_received_ns
        score_ns = entry.lag_smoothed_ns + max(0, silent_ns - PATIENCE_NS)
        scored.append((entry.lag_smoothed_ns < 0, score_ns, silent_ns, asset, entry))
    scored.sort(key=lambda place: place[:2])  # stable: the order of the overall ranking breaks ties
    places = []
    for rank, (_clock_error, score_ns, silent_ns, asset, entry) in enumerate(scored, 1):
        form = pump.form_on_symbol(_handle(pump, asset), symbol)
        grave = severity(score_ns if hours(asset) == "busy" else entry.lag_smoothed_ns)
        places.append(
            _place(
                rank, asset, assets[asset], entry.ticks, entry.lag_last_ns, entry.lag_smoothed_ns, silent_ns, grave,
                {} if form is None else _form(form, form),
            )
        )  # fmt: skip
    return places


class _Paced(Protocol):
    @property
    def rate(self) -> float: ...

    @property
    def usual_rate(self) -> float: ...

    @property
    def usual_windows(self) -> int: ...


def _form(form: Form, pace: _Paced) -> dict[str, Any]:
    """The members of a place that tell how it has been doing."""
    lags, tally = form.lags, form.tally
    members: dict[str, Any] = {
        "ticks_per_s": round(pace.rate, 3),
        "usual_ticks_per_s": round(pace.usual_rate, 3) if pace.usual_windows >= LEAST_WINDOWS else None,
        "matches": tally.matches,
        "wins": tally.wins,
        "leads": isinstance(form, SymbolForm) and form.leads,
    }
    if lags.buckets:
        shares = {"lag_p50_us": 0.5, "lag_p90_us": 0.9, "lag_p99_us": 0.99}
        members |= {name: (percentile_ns(lags, share) or 0) // 1000 for name, share in shares.items()}
        members["lag_least_us"] = lags.least_ns // 1000
        members["clock_ahead_us"] = -lags.least_ns // 1000 if lags.least_ns < 0 else None
        members["lags"] = [
            LagBucket(below_us=None if bound < 0 else bound / 1000, count=count) for bound, count in lags.buckets
        ]
    if tally.matches:
        members["win_rate"] = round(tally.wins / tally.matches, 4)
    if tally.wins:
        members |= {"lead_us": tally.lead_smoothed_ns // 1000, "lead_mean_us": tally.lead_ns // tally.wins // 1000}
    return members


def _place(
    rank: int, asset: str, status: Status, ticks: int, lag_ns: int, lag_smoothed_ns: int, silent_ns: int, severity: int,
    form: dict[str, Any],
) -> ArenaPlace:  # fmt: skip
    ticked = ticks > 0
    at_rest = status.state in _AT_REST
    return ArenaPlace(
        rank=rank,
        asset=asset,
        state=status.state,
        lag_us=lag_ns // 1000 if ticked else None,
        lag_smoothed_us=lag_smoothed_ns // 1000 if ticked else None,
        ticks=ticks,
        silent_ms=silent_ns // 1_000_000 if ticked else None,
        clock_error=ticked and lag_smoothed_ns < 0,
        severity=None if at_rest else severity,
        degraded=severity > 0 and not at_rest,
        **(form if ticked else {}),
    )

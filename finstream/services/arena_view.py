"""The arena as the REST API shows it: overall, or for one symbol; with what the pump does not know, the assets' states."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import msgspec

from finstream.pump import Pump, SymbolStatistics

__all__ = ["ArenaPlace", "Status", "overall", "per_symbol", "severity"]

_PATIENCE_NS = 1_000_000_000
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
    counts from the beginning of the state. Absent in idle, paused and done: silence is right then."""
    degraded: bool
    """The severity is 1 or more."""


def overall(pump: Pump, assets: Mapping[str, Status], *, now_ns: int | None = None) -> list[ArenaPlace]:
    """The pump's ranking of the pricing assets, best first. ``assets`` are those that are configured; others are left out."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    places = []
    for rank, entry in enumerate((entry for entry in pump.arena() if entry.asset in assets), 1):
        status = assets[entry.asset]
        grave = entry.severity if entry.ticks else severity(now_ns - status.since_us * 1000 - _PATIENCE_NS)
        places.append(
            _place(
                rank, entry.asset, status, entry.ticks, entry.lag_last_ns, entry.lag_smoothed_ns, entry.silent_ns, grave
            )
        )
    return places


def per_symbol(
    pump: Pump, symbol: str, assets: Mapping[str, Status], *, now_ns: int | None = None
) -> list[ArenaPlace]:
    """The sources that have ticked ``symbol``, by their lag on it; the same rules as overall.

    ``BTC-USDT`` is also found as ``BTC/USDT``, as in a URL's path. Empty if nobody has ticked it.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    racing = [entry.asset for entry in pump.arena() if entry.asset in assets]
    for name in (symbol, symbol.replace("-", "/")):
        found = [(asset, entry) for asset in racing if (entry := _ticked(pump, asset, name))]
        if found:
            return _ranked(found, assets, now_ns)
    return []


def severity(score_ns: int) -> int:
    """As the pump reckons it: 0 is healthy, 4 the worst."""
    if score_ns <= _PATIENCE_NS:
        return 0
    return sum(score_ns // 1_000_000_000 >= bound for bound in (5, 15, 60)) + 1


def _ticked(pump: Pump, asset: str, symbol: str) -> SymbolStatistics | None:
    handle = pump.asset_handle(asset)
    assert handle is not None, "who is in the arena has a handle"
    entry = pump.symbol(handle, symbol)
    return entry if entry is not None and entry.ticks else None


def _ranked(
    found: list[tuple[str, SymbolStatistics]], assets: Mapping[str, Status], now_ns: int
) -> list[ArenaPlace]:
    scored = []
    for asset, entry in found:
        silent_ns = now_ns - entry.last_received_ns
        score_ns = entry.lag_smoothed_ns + max(0, silent_ns - _PATIENCE_NS)
        scored.append((entry.lag_smoothed_ns < 0, score_ns, silent_ns, asset, entry))
    scored.sort(key=lambda place: place[:2])  # stable: the order of the overall ranking breaks ties
    return [
        _place(
            rank, asset, assets[asset], entry.ticks, entry.lag_last_ns, entry.lag_smoothed_ns, silent_ns,
            severity(score_ns),
        )
        for rank, (_clock_error, score_ns, silent_ns, asset, entry) in enumerate(scored, 1)
    ]  # fmt: skip


def _place(
    rank: int, asset: str, status: Status, ticks: int, lag_ns: int, lag_smoothed_ns: int, silent_ns: int, severity: int
) -> ArenaPlace:
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
    )

"""The words for a stock market's day."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["MarketName", "MarketSession", "MarketView", "Phase", "Source"]

MarketName = Literal["always", "nasdaq"]
"""``always``: a market that never closes."""

Phase = Literal["pre-market", "open", "after-hours", "closed"]
"""What a market is doing. Assets that follow it run in all but the last."""

Source = Literal["nasdaq", "calendar", "simulation"]
"""Who says so: the market itself, the calendar while the market is silent, or an operator who simulates it."""


class MarketSession(msgspec.Struct, frozen=True, kw_only=True):
    """A day on which there is trading. Times are integer microseconds since the epoch, UTC."""

    date: str
    """In New York: ``2026-11-27``."""
    pre_market_us: int
    open_us: int
    close_us: int
    after_hours_end_us: int
    half_day: bool
    """It closes earlier than usual."""


class MarketView(msgspec.Struct, frozen=True, kw_only=True):
    """The market at one moment. Times are integer microseconds since the epoch, UTC."""

    market: str
    status: Phase
    source: Source
    simulated: bool
    """Not to be taken for the real market: somebody simulates its status, or the engine runs in ``mode: simulation``."""
    since_us: int
    """When the engine began to say so."""
    next_status: Phase | None
    """What is expected next; null in a simulated market, and where nothing is known for weeks."""
    next_change_us: int | None
    session: MarketSession | None
    """Today's in New York; null: there is none, or the market is simulated."""
    holiday: str | None
    """Why there is no session today, on a day that is no weekend."""
    last_known: Phase | None
    """What the market itself said last; null: nothing yet, or the market is simulated."""
    age_ms: int | None
    """How long ago that was."""
    calendar: Phase
    """What the calendar says, for comparison."""
    polled: bool
    """Whether the market is asked at all."""
    error: str | None
    """Why the last question to the market was not answered; null: it was."""
    new_york: str
    """The time there, with its offset: ``2026-11-27T12:59:58-05:00``."""

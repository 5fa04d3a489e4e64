"""What is told of assets and sinks."""

from __future__ import annotations

import msgspec

from finstream.children.lifecycle import State
from finstream.pump import OutboxStatistics

__all__ = ["AssetStatus", "SinkStatus", "SupervisorStatistics"]


class AssetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One asset at one moment. Times are integer microseconds since the epoch, UTC."""

    name: str
    state: State
    reason: str
    """Why it is in this state: a key of :data:`finstream.children.lifecycle.REASONS`."""
    detail: str
    kind: str
    origin: str
    pid: int | None
    restarts: int
    """How often it was started again after a failure, since it is configured."""
    wanted_by: int
    """Subscribers that want it, or the best source whichever that is; sinks count."""
    since_us: int
    """When it entered its state."""
    next_attempt_us: int | None
    """When it will be started again, in backoff and tripped."""
    last_exit_code: int | None
    """Of its last process; negative: the signal that ended it."""
    priority: int
    """0 to 9; when memory is short, lower pauses first."""
    market: str
    """``always``, or the market that it pauses with."""
    restart_at: str | None
    """``HH:MM`` in New York."""
    command: list[str]
    """As configured."""


class SinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One sink at one moment; the members that an asset has, too, mean the same."""

    name: str
    state: State
    reason: str
    detail: str
    topics: list[str]
    production: bool
    priority: int
    pid: int | None
    restarts: int
    since_us: int
    next_attempt_us: int | None
    last_exit_code: int | None
    cut_offs: int
    """How often one of its processes was given up because it read too slowly, or memory was short."""
    outbox: OutboxStatistics | None
    """What waits for its present process, and what that has had; None while there is none."""


class SupervisorStatistics(msgspec.Struct, frozen=True):
    assets: list[AssetStatus]
    """In the order of the configuration, as are the sinks."""
    sinks: list[SinkStatus]

"""What is told of an asset."""

from __future__ import annotations

import msgspec

from finstream.children.lifecycle import State

__all__ = ["AssetStatus"]


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

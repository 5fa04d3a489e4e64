"""What a trial of an ingestor saw: plain facts, and at the same time the shape of ``finstream check --json``."""

from __future__ import annotations

import msgspec

__all__ = ["Arrivals", "Ending", "Lags", "Lines", "Observation", "Rejection", "Stderr"]


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Lines(_Part, frozen=True, kw_only=True):
    """How many lines of which kind came. ``lines`` is all of them; empty ones are not counted."""

    lines: int
    bytes: int
    ticks: int
    opaque: int
    """Other types than tick that are passed on, like news."""
    heartbeats: int
    statuses: int
    rejected: int
    trades: int
    """Ticks with a price."""
    quotes: int
    """Ticks with a bid or an ask and no price."""
    trades_without_identity: int
    """Trades with neither ``trade_id`` nor ``event_id``."""
    types: dict[str, int]
    """The types of the opaque messages."""
    symbols: dict[str, int]
    """Ticks of each symbol; the first thousand symbols."""
    last_status: str | None
    """The last status line, as it came."""
    looked_at: int
    """Messages that were looked at one by one; fewer than all only of a program that is faster than this check."""


class Rejection(_Part, frozen=True, kw_only=True):
    reason: str
    meaning: str
    remedy: str
    count: int
    line: str
    """The first such line, its beginning if it is long."""
    line_bytes: int


class Lags(_Part, frozen=True, kw_only=True):
    """Arrival minus stamp, in microseconds, over ``ticks`` ticks; negative where the stamp lies in the future."""

    ticks: int
    min_us: int
    median_us: int
    p99_us: int
    max_us: int
    in_future: int
    """Ticks whose stamp lay ahead of our clock."""
    too_far_ahead: int
    """Ticks that the usual ``quality.future_ms`` would reject."""
    too_old: int
    """Ticks that the usual ``quality.max_age_ms`` would reject."""


class Arrivals(_Part, frozen=True, kw_only=True):
    """When lines came. An arrival is what one read of the pipe found."""

    first_after_s: float | None
    """From the start of the program to its first passed-on message."""
    arrivals: int
    median_messages: int
    """Messages in an arrival."""
    most_messages: int
    longest_gap_ms: float | None
    bursts: int
    """How often many messages came at once before a pause of at least a quarter of a second."""
    median_burst_messages: int
    median_pause_ms: float
    """Between bursts."""
    block_bytes: int | None
    """The size of the blocks in which a buffered standard output comes; None if the lines do not come like that."""
    lines_after_stop: int
    """Lines that came only once the program was asked to stop."""


class Stderr(_Part, frozen=True, kw_only=True):
    lines: int
    tail: list[str]


class Ending(_Part, frozen=True, kw_only=True):
    """How the program ended. ``exit_code`` is negative for a signal."""

    by_itself: bool
    """It ended before it was asked to."""
    exit_code: int
    after_s: float
    """From SIGTERM (or from its start, if it ended by itself) to its end."""
    stayed_without_stdout_s: float
    """From the end of its stdout until it left or was asked to; 0 if its stdout ended no sooner."""
    killed: bool
    """SIGTERM was not enough within the grace period."""
    left_behind: int
    """Processes that it had started and that outlived it."""


class Observation(_Part, frozen=True, kw_only=True):
    command: list[str]
    ran_s: float
    replay: bool
    lines: Lines
    rejections: list[Rejection]
    lags: Lags | None
    """None without a tick."""
    arrivals: Arrivals
    ending: Ending
    stderr: Stderr

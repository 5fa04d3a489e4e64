"""What the pump has counted and measured, as of one moment. Import it from :mod:`finstream.pump`."""

from __future__ import annotations

import msgspec

__all__ = [
    "ArenaEntry", "AssetStatistics", "EncryptionStatistics", "Form", "Lags", "OutboxStatistics", "OutboxTotals",
    "PumpStatistics", "StageTimes", "SymbolForm", "SymbolStatistics", "Tally",
]  # fmt: skip


class _Account(msgspec.Struct, frozen=True):
    """``published == delivered + queued_messages + skipped + conflated + killed`` at every moment. Control messages are not
    counted."""

    published: int
    """Messages of its topics since it was added."""
    delivered: int
    """Handed to the kernel completely."""
    queued_messages: int
    """Waiting, the partly sent one included."""
    skipped: int
    """Dropped by the policy ``skip``; a gap message told of them."""
    conflated: int
    """Merged into a newer message, by the policy ``conflate`` or ``max_rate``."""
    killed: int
    """What was waiting when the outbox was closed."""
    queued_bytes: int
    oldest_ms: int
    """How long the oldest waiting byte has waited; 0 when nothing waits."""
    sent_bytes: int


class OutboxStatistics(_Account, frozen=True):
    """Of one outbox."""

    last_asset: int | None
    """The asset of the last message delivered completely."""
    last_seq: int | None


class OutboxTotals(_Account, frozen=True):
    """Over all outboxes; what only ever grows counts those that are gone, too."""

    waiting: int
    """Outboxes in which something waits."""


class AssetStatistics(msgspec.Struct, frozen=True):
    name: str
    seq: int
    """Of the last message published."""
    ticks: int
    opaque: int
    """Messages of other types than tick that were passed on."""
    heartbeats: int
    statuses: int
    lines: int
    bytes: int
    reads: int
    rejected: dict[str, int]
    """By reason; reasons that never happened are left out."""
    last_received_ns: int
    """Of the last line of any kind; 0 before the first."""
    subscribers: int
    symbols: int
    untold: int
    """Rejected and status lines that were counted, but not told, because there were too many."""
    questioned: dict[str, int]
    """Ticks that a check of their quality found, by the word that it rejects with if it is to drop them."""


class SymbolStatistics(msgspec.Struct, frozen=True):
    symbol: str
    ticks: int
    lag_last_ns: int
    lag_smoothed_ns: int
    last_received_ns: int
    subscribers: int


class ArenaEntry(msgspec.Struct, frozen=True):
    """A pricing asset's place in the ranking by lag; rank 1 is the best.

    Order: sources whose clock is not in error before those whose is, then by ``score_ns``. Sources that never ticked come last.
    """

    rank: int
    asset: str
    ticks: int
    lag_last_ns: int
    """Receipt minus the tick's own stamp; negative when the source's clock is ahead of ours."""
    lag_smoothed_ns: int
    """Exponentially smoothed, weight 1/16 for the newest."""
    score_ns: int
    """``lag_smoothed_ns``, plus the time by which the source has been silent for longer than a second."""
    silent_ns: int
    """Since the last tick."""
    clock_error: bool
    """The smoothed lag is negative."""
    severity: int
    """0 up to 1 s of score, 1 below 5 s, 2 below 15 s, 3 below 60 s, else 4; degraded means 1 or more."""
    rate: float
    """Ticks a second in the last 10 s."""
    usual_rate: float
    """The average of the last hour's ten-second windows, without long silences."""
    usual_windows: int
    """How many windows that is made of, at most 360; with few of them it means little."""
    unheard_ns: int | None
    """Since the last line that was a tick, opaque data or a heartbeat; None if there was none. A status, or what is refused, breaks
    no silence."""


class Tally(msgspec.Struct, frozen=True):
    """Of trades that another source has told as well: the same exchange, symbol and trade id."""

    matches: int
    wins: int
    """This one was the first to tell."""
    lead_ns: int
    """By which it came before the second one, all wins together."""
    lead_smoothed_ns: int
    """Exponentially smoothed, weight 1/16 for the newest win."""


class Lags(msgspec.Struct, frozen=True):
    """Of the ticks of the last one to two minutes that had any."""

    least_ns: int
    """0 before the first tick."""
    buckets: list[tuple[int, int]]
    """Upper bounds in ns, rising, and how many lags lie below them and not below the one before. The bound 0 has the negative ones;
    -1 stands for none. Empty buckets are left out."""


class Form(msgspec.Struct, frozen=True):
    """How an asset has been doing in the arena."""

    tally: Tally
    lags: Lags


class SymbolForm(Form, frozen=True):
    """How an asset has been doing on a symbol that others name as well."""

    rate: float
    usual_rate: float
    usual_windows: int
    leads: bool
    """The topic ``best:SYMBOL`` brings its ticks."""


class StageTimes(msgspec.Struct, frozen=True):
    """What the time of the sampled turns, one in 1,024, went to; in ns."""

    turns: int
    lines: int
    """That were read in those turns."""
    read_ns: int
    """Of ingestors' pipes."""
    take_ns: int
    """Parsing, checking, ranking, encoding, and giving to the outboxes."""
    send_ns: int
    tend_ns: int
    """Everything else: connections, who waits, the clock."""


class PumpStatistics(msgspec.Struct, frozen=True):
    batches: int
    """Turns of the pump that had something to do."""
    lines: int
    sends: int
    """System calls that sent something."""
    partial_sends: int
    delivered: int
    """Messages handed to the kernel completely, over all outboxes; with TLS, encrypted for it."""
    sources: int
    outboxes: int
    connections: int
    """Of clients, those included that are shaking hands or leaving."""
    events_dropped: int
    """Rejected lines and status lines that were counted but not told, because the control plane did not fetch them in time."""
    turns_by_lines: list[int]
    """The turns that read 1, 2, up to 4, up to 8, … up to 16,384 lines, and more; those that read none are not among them."""
    turns_by_sends: list[int]
    """The same by system calls that sent something."""
    stages: StageTimes


class EncryptionStatistics(msgspec.Struct, frozen=True):
    open: int
    """Connections with TLS."""
    encrypted_bytes: int
    """Of content, to the peers."""
    decrypted_bytes: int
    """Of content, from the peers."""

"""What is said on the system bus: facts, past tense, immutable. Times are integer microseconds since the epoch, UTC."""

from __future__ import annotations

import msgspec

from finstream.vocabulary.market import Phase, Source

__all__ = [
    "ArenaRanked", "AssetStateChanged", "BestSwitched", "ClientConnected", "ClientDisconnected", "ClientRegistered",
    "ClientUnregistered", "CommandReceived", "ConfigRejected", "ConfigReloaded", "Event", "FeedHealthChanged",
    "IngestorStatus", "LinesRejected", "LogLevelChanged", "MarketStatus", "MemoryPressure", "Receipt", "TelemetryTick",
]


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    pass


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection ended, and what its subscriber missed. All members are always there, but for the last two."""

    reason: str
    """A key of :data:`finstream.vocabulary.reasons.CLOSINGS`."""
    detail: str
    at: int
    """Microseconds since the epoch."""
    queued_bytes: int = 0
    queued_messages: int = 0
    """The killed remainder: published to this subscriber, never delivered."""
    oldest_ms: int = 0
    """How long the oldest queued byte had waited."""
    delivered: int = 0
    """Messages of the stream that were handed over completely."""
    skipped: int = 0
    """Messages that the policy ``skip`` dropped; ``gap`` messages told of them."""
    conflated: int = 0
    """Messages that were merged into newer ones, by ``conflate`` or ``max_rate``."""
    last_asset: str | msgspec.UnsetType = msgspec.UNSET
    last_seq: int | msgspec.UnsetType = msgspec.UNSET
    """The last message of the stream that was delivered completely; absent if none was."""


class AssetStateChanged(_Event, frozen=True, kw_only=True, tag="AssetStateChanged"):
    asset: str
    state: str
    """A state of :mod:`finstream.children.lifecycle`."""
    previous: str
    reason: str
    detail: str = ""
    pid: int | None = None
    exit_code: int | None = None


class IngestorStatus(_Event, frozen=True, kw_only=True, tag="IngestorStatus"):
    """An ingestor's own ``{"type":"status"}`` line, as it came."""

    asset: str
    status: msgspec.Raw


class LinesRejected(_Event, frozen=True, kw_only=True, tag="LinesRejected"):
    """Lines of one asset were rejected since the last such event; at most one a second and asset."""

    asset: str
    counts: dict[str, int]
    """By reason: keys of :data:`finstream.vocabulary.reasons.REJECTIONS`."""
    sample_reason: str
    sample: str


class FeedHealthChanged(_Event, frozen=True, kw_only=True, tag="FeedHealthChanged"):
    """A pricing asset does better or worse than before."""

    asset: str
    state: str
    """``live``, ``degraded``, ``stale`` or ``down``."""
    previous: str
    """The same as ``state`` if only the cause or the severity has changed."""
    cause: str | None
    """``lag``, ``mute``, ``rate_collapsed``, ``clock_error`` or ``not_running``; None if it is live."""
    severity: int
    """As the arena has it: 0 to 4."""
    age_ms: int | None
    """Since its last tick; None if there was none."""


class ArenaRanked(_Event, frozen=True, kw_only=True, tag="ArenaRanked"):
    """The sources rank otherwise than before, overall or on some symbol. At most one a second."""

    ranking: list[str]
    """All pricing assets by lag and silence, best first."""
    symbols: dict[str, list[str]]
    """The same of each symbol whose order has changed, of the assets that compete for it. Where very many have changed, some come a
    second later."""


class BestSwitched(_Event, frozen=True, kw_only=True, tag="BestSwitched"):
    """The topic ``best:SYMBOL`` brings the ticks of another asset. Only symbols that somebody takes from there are decided on."""

    symbol: str
    asset: str
    previous: str | None
    """None: it is the first."""
    reason: str
    """What was the matter with the former one: ``mute``, ``lag`` or ``clock``; or ``first``."""


class ClientRegistered(_Event, frozen=True, kw_only=True, tag="ClientRegistered"):
    client: str


class ClientUnregistered(_Event, frozen=True, kw_only=True, tag="ClientUnregistered"):
    client: str
    reason: str
    """``requested`` or ``window_over``."""


class ClientConnected(_Event, frozen=True, kw_only=True, tag="ClientConnected"):
    client: str
    peer: str
    resumed_topics: int


class ClientDisconnected(_Event, frozen=True, kw_only=True, tag="ClientDisconnected"):
    client: str
    receipt: Receipt


class CommandReceived(_Event, frozen=True, kw_only=True, tag="CommandReceived"):
    """An operator's command, with where it came from."""

    command: str
    target: str
    origin: str


class ConfigReloaded(_Event, frozen=True, kw_only=True, tag="ConfigReloaded"):
    path: str
    started: list[str]
    stopped: list[str]
    restarted: list[str]
    needs_engine_restart: list[str]
    """Keys that changed but only take effect when the engine starts again."""


class ConfigRejected(_Event, frozen=True, kw_only=True, tag="ConfigRejected"):
    path: str
    error: str


class LogLevelChanged(_Event, frozen=True, kw_only=True, tag="LogLevelChanged"):
    level: str
    previous: str


class MarketStatus(_Event, frozen=True, kw_only=True, tag="MarketStatus"):
    """A stock market's status, who says so, or whether that is simulated, has changed."""

    market: str
    status: Phase
    previous: Phase | None
    """None: nothing was known before."""
    source: Source
    simulated: bool
    since_us: int
    """Of the status."""
    next_status: Phase | None
    """What is expected next; None in a simulated market."""
    next_change_us: int | None


class MemoryPressure(_Event, frozen=True, kw_only=True, tag="MemoryPressure"):
    """What waits for all subscribers together crossed a mark, or somebody was let go because of it."""

    level: str
    """``normal``, ``soft`` or ``hard``: the highest mark it is above."""
    held_bytes: int
    """When the last mark was crossed."""
    evicted: str | None = None
    """The client that was let go, whose receipt is in ClientDisconnected; or the sink, whose is in the log."""
    freed_bytes: int = 0
    """What waited for it."""


class TelemetryTick(_Event, frozen=True, kw_only=True, tag="TelemetryTick"):
    """Telemetry has looked at everything."""

    at: int
    telemetry: msgspec.Raw
    """JSON as of :class:`finstream.services.telemetry_view.Telemetry`, encoded once for all who pass it on."""


Event = (
    ArenaRanked | AssetStateChanged | BestSwitched | FeedHealthChanged | IngestorStatus | LinesRejected | ClientRegistered
    | ClientUnregistered | ClientConnected | ClientDisconnected | CommandReceived | ConfigReloaded | ConfigRejected
    | LogLevelChanged | MarketStatus | MemoryPressure | TelemetryTick
)

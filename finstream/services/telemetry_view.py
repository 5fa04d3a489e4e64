"""What telemetry tells, as types: the statistics of all parts as they are, and beside them what has to be reckoned from two looks.

``GET /v1/telemetry`` answers with it, ``telemetry`` messages of the NOC hold it, and the metrics are made from it.
docs/telemetry.md shows it.
"""

from __future__ import annotations

import msgspec

from finstream.pump import EncryptionStatistics, OutboxStatistics, PumpStatistics
from finstream.services.arena_view import ArenaPlace
from finstream.services.bus import BusStatistics
from finstream.services.census import ClientsStatistics
from finstream.services.config_watch import ConfigStatistics
from finstream.services.dead_letters import DeadLetterStatistics
from finstream.services.feed_health import FeedStatistics
from finstream.services.line_writer import WriterStatistics
from finstream.services.memory_guard import MemoryStatistics
from finstream.services.processes import ProcessStatistics, SystemStatistics
from finstream.services.store import StoreStatistics
from finstream.vocabulary.market import MarketView

__all__ = ["AssetFigures", "ChildFigures", "ClientRates", "PumpRates", "ServerStatistics", "SinkFigures", "Telemetry"]


class ServerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Of the listeners and of the NOC's connections."""

    not_ready: list[str]
    """Why readiness fails; empty: it does not."""
    noc_connections: int
    noc_commands: int
    noc_refused: int
    """Commands that were refused."""
    noc_dropped: int
    """Connections that were dropped because they did not read."""
    handshakes_failed: int | None
    """Of TLS, on the stream's listener; null where nothing is encrypted."""


class ChildFigures(msgspec.Struct, frozen=True, kw_only=True):
    """An asset or a sink at one moment. Times are microseconds since the epoch."""

    name: str
    state: str
    reason: str
    detail: str
    since_us: int
    next_attempt_us: int | None
    pid: int | None
    restarts: int
    last_exit_code: int | None
    priority: int
    process: ProcessStatistics | None
    """What its process uses; null while there is none."""


class AssetFigures(ChildFigures, frozen=True, kw_only=True):
    kind: str
    origin: str
    market: str
    wanted_by: int
    """Subscribers that want it; sinks count."""
    ticks: int
    """Since the engine started, as are all counts."""
    lines: int
    bytes: int
    ticks_per_s: float
    """Rates are those of the last interval_s."""
    bytes_per_s: float
    rejected: dict[str, int]
    """Lines by reason; reasons that never happened are left out."""
    rejected_per_s: float
    questioned: dict[str, int]
    """Ticks that a check of quality found, whatever was then done about them."""
    symbols: int
    seq: int
    """Of the last message published."""
    health: FeedStatistics | None
    """What subscribers are told of it; null while nothing is to be judged: it rests, its market is closed, or it is no
    pricing asset."""
    arena: ArenaPlace | None
    """Its place by lag; null for one that is not in the arena."""


class SinkFigures(ChildFigures, frozen=True, kw_only=True):
    topics: list[str]
    production: bool
    cut_offs: int
    """How often one of its processes was given up because it read too slowly, or memory was short."""
    outbox: OutboxStatistics | None
    """Of its present process; null while there is none."""
    deliveries_per_s: float
    bytes_per_s: float


class PumpRates(msgspec.Struct, frozen=True, kw_only=True):
    turns_per_s: float
    lines_per_s: float
    sends_per_s: float
    deliveries_per_s: float
    """To clients and sinks."""
    bytes_per_s: float
    """To clients and sinks."""


class ClientRates(msgspec.Struct, frozen=True, kw_only=True):
    deliveries_per_s: float
    bytes_per_s: float


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """One look at everything."""

    at: int
    """Microseconds since the epoch, as are all times."""
    interval_s: float
    """Since the look before: what rates are averages of. 0 at the first look, whose rates are 0."""
    engine: str
    epoch: str
    mode: str
    uptime_s: float
    log_level: str
    pump_running: bool
    system: SystemStatistics
    pump: PumpStatistics
    rates: PumpRates
    encryption: EncryptionStatistics
    """Of the streams."""
    assets: list[AssetFigures]
    """In the order of the configuration."""
    sinks: list[SinkFigures]
    clients: ClientsStatistics
    client_rates: dict[str, ClientRates]
    """By UUID, of the clients that are listed."""
    memory: MemoryStatistics
    bus: BusStatistics
    logs: WriterStatistics
    dead_letters: DeadLetterStatistics
    store: StoreStatistics
    config: ConfigStatistics
    market: MarketView | None
    """Null in the first moments of the engine."""
    servers: ServerStatistics

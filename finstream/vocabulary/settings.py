"""The configuration file as types: every key, its unit and its default. ``docs/configuration.md`` explains them."""

from __future__ import annotations

from typing import Literal

import msgspec

from finstream.vocabulary.market import MarketName, Phase

__all__ = [
    "LIVE_KEYS", "STANDARD_CLASS", "AdminSettings", "AssetSettings", "ClientClass", "DeadLetterSettings", "Finding", "Limits",
    "ListenSettings", "LogLevel", "LogSettings", "MarketSettings", "QualitySettings", "RestartSettings", "Settings", "SinkSettings",
    "StateSettings", "TelemetrySettings", "TlsSettings",
]

LogLevel = Literal["debug", "info", "warning", "error"]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ListenSettings(_Section, frozen=True, kw_only=True):
    """Addresses as ``host:port``; port 0 picks a free one."""

    public: str = "127.0.0.1:8080"
    stream: str = "127.0.0.1:8081"
    admin: str = "127.0.0.1:8090"
    origins: list[str] = []
    """Web origins besides our own whose pages may connect, like ``https://dash.example.com``."""


class TlsSettings(_Section, frozen=True, kw_only=True):
    """PEM files for all three listeners; both or neither. Read at the start and at every reload."""

    cert_file: str | None = None
    """The certificate, and behind it those that signed it."""
    key_file: str | None = None
    """Its key, without a password."""


class AdminSettings(_Section, frozen=True, kw_only=True):
    token_env: str = "FINSTREAM_ADMIN_TOKEN"  # noqa: S105 - the name of a variable, not a secret
    """The environment variable that holds the admin token. Needed unless the admin side listens on loopback only."""


class StateSettings(_Section, frozen=True, kw_only=True):
    path: str = "var/finstream.db"
    reconnect_window_s: float = 120.0


class Limits(_Section, frozen=True, kw_only=True):
    outbox_bytes: int = 1 << 20
    outbox_age_ms: int = 5000
    line_bytes: int = 65536
    """The longest ingestor line, without its line feed; 65,536 is also the most."""
    clients: int = 20_000
    topics_per_client: int = 2_000
    memory_soft_bytes: int = 256 << 20
    """Of everything that waits in outboxes: above it the least important, longest waiting ones are given up."""
    memory_hard_bytes: int = 512 << 20
    """Above it nobody new is let in, and the least important assets pause."""


STANDARD_CLASS = "standard"
"""Of clients that name none. It is always there; configured, it may have another priority."""


class ClientClass(_Section, frozen=True, kw_only=True):
    """What clients of one class have in common."""

    priority: int = 5
    """0 to 9; when memory is short, lower goes first."""


class LogSettings(_Section, frozen=True, kw_only=True):
    level: LogLevel = "info"


class TelemetrySettings(_Section, frozen=True, kw_only=True):
    """How often the engine looks at itself."""

    period_s: float = 10.0
    summary_s: float = 3600.0
    """How often the log gets a summary."""


class MarketSettings(_Section, frozen=True, kw_only=True):
    """How the status of the stock market is found out."""

    url: str | None = None
    """Whom to ask. None: Nasdaq itself, in production, while an asset has ``market: nasdaq``; else nobody."""
    poll_open_s: float = 60.0
    """How often, while there is trading, before and after hours too."""
    poll_closed_s: float = 3600.0
    simulate: Phase | None = None
    """A status that is made up, from the start; only in ``mode: simulation``."""


class DeadLetterSettings(_Section, frozen=True, kw_only=True):
    """Where rejected lines are kept: JSON lines, ``files`` files of up to ``max_bytes`` each, oldest dropped."""

    path: str = "var/deadletter.jsonl"
    max_bytes: int = 16 << 20
    files: int = 3


Finding = Literal["ignore", "count", "flag", "drop"]
"""What is done about a tick that a check finds: nothing; or it is counted; or passed on as ``"quality":"suspect"`` as well; or
rejected."""


class QualitySettings(_Section, frozen=True, kw_only=True):
    future_ms: int | None = 60_000
    """A tick whose stamp lies further ahead of our clock is rejected; null: never."""
    max_age_ms: int | None = 7 * 24 * 3600 * 1000
    """A tick whose stamp is older is rejected; null: never. Does not apply to ``origin: replay``."""
    duplicates: Finding = "drop"
    """Ticks whose time stamp and ``event_id``, or else time stamp, venue, symbol and ``trade_id``, were there before. Does not
    apply to ``origin: replay``, which may begin anew."""
    duplicate_window: int = 2048
    """Of so many identities at least the asset's last ones are known; rounded up to a power of two. Each takes 32 bytes."""
    out_of_order: Finding = "count"
    """Trades whose stamp is older than an earlier trade's of the same symbol, and quotes older than an earlier quote."""
    crossed_quotes: Finding = "count"
    """Ticks whose best bid is higher than their best ask."""
    band_pct: float | None = None
    """How far a price may lie from those of its symbol before, in percent; null: as far as it likes."""
    price_anomalies: Finding = "flag"
    """Ticks whose price lies outside of the band."""
    band_confirmations: int = 5
    """So many prices in a row outside of the band that agree with each other make a move real; the last of them passes."""


class RestartSettings(_Section, frozen=True, kw_only=True):
    """Restarts: full-jitter exponential back-off, and a circuit that opens on a crash loop."""

    initial_s: float = 0.5
    max_s: float = 60.0
    stable_s: float = 60.0
    """A run of at least this long resets the back-off."""
    circuit_failures: int = 5
    """So many failures within ``circuit_window_s`` open the circuit."""
    circuit_window_s: float = 60.0
    circuit_cooldown_s: float = 300.0
    """After this long an open circuit allows one attempt."""


class _ChildSettings(_Section, frozen=True, kw_only=True):
    command: list[str]
    """The program and its arguments, no shell. A first word ``python`` is the engine's own interpreter."""
    cwd: str | None = None
    env: dict[str, str] = {}
    stop_grace_s: float = 5.0
    """From SIGTERM to SIGKILL."""
    restart: RestartSettings = RestartSettings()


LIVE_KEYS = frozenset(
    {"linger_s", "stop_grace_s", "restart", "start", "kind", "quality", "priority", "market", "restart_at", "production"}
)
"""Keys of an asset or sink whose change takes effect under the running process; any other needs a new one."""


class AssetSettings(_ChildSettings, frozen=True, kw_only=True):
    kind: Literal["pricing", "data"] = "pricing"
    """Pricing assets enter the arena."""
    origin: Literal["live", "replay", "synthetic"] = "live"
    start: Literal["on_demand", "always"] = "on_demand"
    linger_s: float = 10.0
    unbuffer: Literal["none", "stdbuf", "pty"] = "none"
    stdout_full_s: float | None = 10.0
    """A pipe that stays full for longer gets its ingestor killed; null: never. Replays are never killed: the pipe paces them."""
    quality: QualitySettings = QualitySettings()
    priority: int = 5
    """0 to 9; when memory is short, lower pauses first."""
    market: MarketName = "always"
    """Paused while this market is closed."""
    restart_at: str | None = None
    """``HH:MM`` in New York: every day its process, if it runs, is replaced."""


class SinkSettings(_ChildSettings, frozen=True, kw_only=True):
    topics: list[str]
    priority: int = 9
    """0 to 9, beside those of the clients' classes."""
    production: bool = False
    """It must never get anything simulated: ``mode: simulation`` is refused while it is configured."""


class Settings(_Section, frozen=True, kw_only=True):
    mode: Literal["production", "simulation"] = "production"
    listen: ListenSettings = ListenSettings()
    tls: TlsSettings = TlsSettings()
    admin: AdminSettings = AdminSettings()
    state: StateSettings = StateSettings()
    limits: Limits = Limits()
    logs: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    market: MarketSettings = MarketSettings()
    restart_at: str | None = None
    """``HH:MM`` in New York: every day the engine restarts as a whole."""
    client_classes: dict[str, ClientClass] = {}
    assets: dict[str, AssetSettings] = {}
    sinks: dict[str, SinkSettings] = {}

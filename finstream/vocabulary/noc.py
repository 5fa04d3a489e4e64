"""What is said over the NOC's WebSocket (``/v1/noc`` of the admin side). docs/noc-protocol.md shows it as its users meet it.

Requests are objects with an ``op`` and, if the sender wants to know the answer from others, an ``id``. The operations are those of
the admin REST interface, by the same names, with the members of path and body side by side; and ``watch`` and ``ping``.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from finstream.vocabulary.settings import LogLevel

__all__ = [
    "LogFilter", "NocDone", "NocError", "NocEvent", "NocGoodbye", "NocLog", "NocMessage", "NocTelemetry", "NocWelcome", "Watch",
]  # fmt: skip

Period = Annotated[float, msgspec.Meta(ge=1, le=3600)]


class LogFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines that fulfil all of it. What ``logs.level`` keeps out of the log is not here either."""

    level: LogLevel = "info"
    """This one and graver ones."""
    component: str | None = None
    contains: str | None = None
    """Anywhere in the line, whatever the case."""


class Watch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``op: watch``: what to send from now on, in place of what was sent before."""

    telemetry_s: Period | None = None
    """How often, at once for the first time; null: not at all."""
    events: bool = True
    """Of the system bus, telemetry aside."""
    logs: LogFilter | None = None


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    pass


class NocWelcome(_Message, frozen=True, kw_only=True, tag="welcome"):
    """The first message. Nothing else comes unless it is asked for."""

    protocol: int
    engine: str
    epoch: str
    mode: str
    log_level: str
    operations: list[str]
    ports: dict[str, int]
    """Of the other listeners: ``public`` and ``stream``. A page that wants ticks registers a client there, as anybody does."""
    secure: bool
    """They speak TLS."""


class NocTelemetry(_Message, frozen=True, kw_only=True, tag="telemetry"):
    telemetry: msgspec.Raw
    """As ``GET /v1/telemetry`` answers."""


class NocEvent(_Message, frozen=True, kw_only=True, tag="event"):
    at: int
    """Microseconds since the epoch."""
    event: msgspec.Raw
    """Its kind is its member ``event``."""


class NocLog(_Message, frozen=True, kw_only=True, tag="log"):
    line: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """As it stands in the log."""
    dropped: int = 0
    """Lines before this one that came too fast."""


class NocDone(_Message, frozen=True, kw_only=True, tag="done"):
    """A request was carried out."""

    op: str
    id: Any = None
    result: Any = None
    """What the same command answers over REST."""


class NocError(_Message, frozen=True, kw_only=True, tag="error"):
    """A request was refused. The connection lives on."""

    op: str | None = None
    id: Any = None
    problem: str
    """``type`` of the same problem over REST."""
    detail: str
    field: str | None = None
    remedy: str | None = None


class NocGoodbye(_Message, frozen=True, kw_only=True, tag="goodbye"):
    """The last message of a connection that the engine ends: ``engine_stopping`` or ``engine_restarting``."""

    code: str


NocMessage = NocWelcome | NocTelemetry | NocEvent | NocLog | NocDone | NocError | NocGoodbye

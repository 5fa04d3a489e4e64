"""What the client itself has to say, beside the engine's messages."""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct, to_builtins

__all__ = ["Connected", "Disconnected", "Lost", "Notice", "Receipt", "Registered", "Retrying"]


class Receipt(Struct, frozen=True, kw_only=True):
    """What the engine kept of a connection that ended: why, and what it missed."""

    reason: str
    detail: str = ""
    at: int = 0
    queued_bytes: int = 0
    queued_messages: int = 0
    oldest_ms: int = 0
    delivered: int = 0
    skipped: int = 0
    conflated: int = 0
    last_asset: str | None = None
    last_seq: int | None = None


class _Notice(Struct, frozen=True, kw_only=True, tag_field="notice", tag=str.lower):
    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(self)
        return told


class Registered(_Notice, frozen=True, kw_only=True):
    """A UUID was registered: ``why`` is ``new``, or ``unknown_client`` if the engine had forgotten the one before."""

    uuid: str
    why: str


class Connected(_Notice, frozen=True, kw_only=True):
    """The engine said welcome. ``new_epoch``: it is another life of the engine than at the connection before, and
    ``seq`` begins anew."""

    uuid: str
    epoch: str
    new_epoch: bool


class Disconnected(_Notice, frozen=True, kw_only=True):
    """A connection ended: ``code`` is the engine's word for why, or ``connection_lost``."""

    code: str
    detail: str
    reconnect: bool
    receipt: Receipt | None = None


class Retrying(_Notice, frozen=True, kw_only=True):
    """Connecting will be tried again in ``in_s`` seconds."""

    in_s: float
    detail: str = ""


class Lost(_Notice, frozen=True, kw_only=True):
    """``count`` messages of an asset, numbered from ``first_seq`` to ``last_seq``, never came."""

    asset: str
    first_seq: int
    last_seq: int
    count: int


Notice: TypeAlias = Registered | Connected | Disconnected | Retrying | Lost

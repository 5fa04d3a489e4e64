"""What the pump tells the control plane when it happens. Import it from :mod:`finstream.pump`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from finstream.pump_snapshots import OutboxStatistics

__all__ = [
    "BlockBuffered", "HalfFull", "LineRejected", "MemoryMark", "Message", "OutboxClosed", "PeerClosed", "PeerEvent", "PeerFault",
    "PeerSilent", "PumpEvent", "Requested", "SourceEnded", "SourceOverflowed", "StatusLine", "Switched", "read_event",
]  # fmt: skip


class SourceEnded(msgspec.Struct, frozen=True):
    """The pipe of a source reached its end; every complete line before that has been handled. Remove the source."""

    source: int
    asset: int
    errno: int
    """0 for a plain end of file."""


class SourceOverflowed(msgspec.Struct, frozen=True):
    """The pipe of a source has been full for longer than its ``full_s``. Told once."""

    source: int
    asset: int


class BlockBuffered(msgspec.Struct, frozen=True):
    """The lines of a source arrive in blocks of a stdio buffer's size, cut in mid-line. Told once a source."""

    source: int
    asset: int
    block_bytes: int


class LineRejected(msgspec.Struct, frozen=True):
    asset: int
    reason: str
    """A key of :data:`finstream.vocabulary.reasons.REJECTIONS`."""
    line: bytes
    """The line; of one that is too long, its beginning (1,024 bytes)."""
    line_bytes: int
    """The length of the whole line as far as it is known."""
    received_ns: int


class StatusLine(msgspec.Struct, frozen=True):
    """A ``{"type":"status"}`` line; the JSON object as the ingestor wrote it."""

    asset: int
    line: bytes


class OutboxClosed(msgspec.Struct, frozen=True):
    """The pump gave an outbox up. Remove the outbox, then close the descriptor, if it is yours.

    A connection that the pump accepted itself and that was only slow still takes one final push. If that is accepted, another
    such event follows, with the reason ``finished`` or ``connection_lost``; then remove it.
    """

    outbox: int
    reason: str
    """``slow_consumer_bytes``, ``slow_consumer_age``, ``memory_pressure``, ``connection_lost``, or ``finished``: after the last
    words."""
    errno: int
    oldest_ms: int
    """As it was at the moment of closing."""
    queued_bytes: int
    """As it was at the moment of closing."""
    statistics: OutboxStatistics


class Requested(msgspec.Struct, frozen=True):
    """Somebody has connected to the listener and sent the head of an HTTP request. Answer it with :meth:`Pump.answer`."""

    outbox: int
    peer: str
    """``host:port``."""
    head: bytes
    """Up to and with the empty line; without one if there was none within 16 KiB."""


class Message(msgspec.Struct, frozen=True):
    """A whole message of a client, at most 64 KiB."""

    outbox: int
    is_text: bool
    payload: bytes
    """Of a text, valid UTF-8."""


class PeerClosed(msgspec.Struct, frozen=True):
    """The client sent a close frame, which was answered. OutboxClosed follows."""

    outbox: int
    code: int
    """1005 if there was none."""
    reason: str


class PeerFault(msgspec.Struct, frozen=True):
    """The client broke the WebSocket protocol, and is not listened to any more. Say goodbye."""

    outbox: int
    fault: str
    """``broken_protocol``, ``not_utf8``, ``too_big`` or ``out_of_memory``."""


class PeerSilent(msgspec.Struct, frozen=True):
    """Nothing has been heard of the client for long, pongs neither. Say goodbye."""

    outbox: int


class HalfFull(msgspec.Struct, frozen=True):
    """Half of what an outbox may hold is waiting, by bytes or by age. Told once until it is empty, and once a second at most."""

    outbox: int
    queued_bytes: int
    oldest_ms: int


class MemoryMark(msgspec.Struct, frozen=True):
    """What all outboxes hold together crossed one of the marks of :meth:`Pump.guard`."""

    level: str
    """``normal``, ``soft`` or ``hard``: the highest mark it is above now."""
    held_bytes: int


class Switched(msgspec.Struct, frozen=True):
    """The topic ``best:SYMBOL`` brings the ticks of another asset from now on."""

    symbol: str
    previous: int
    """-1: there was none."""
    asset: int
    reason: str
    """``first``, ``mute``, ``lag`` or ``clock``: what was the matter with the former one."""


PeerEvent = Message | PeerClosed | PeerFault | PeerSilent | HalfFull | OutboxClosed
PumpEvent = (
    SourceEnded | SourceOverflowed | BlockBuffered | LineRejected | StatusLine | Requested | MemoryMark | Switched | PeerEvent
)  # fmt: skip


def read_event(kind: str, *values: Any) -> PumpEvent:
    """An event as the native pump tells it."""
    return _READERS[kind](*values)


def _outbox_closed(outbox: int, reason: str, errno: int, oldest_ms: int, queued_bytes: int, final: tuple[Any, ...]) -> OutboxClosed:
    return OutboxClosed(outbox, reason, errno, oldest_ms, queued_bytes, OutboxStatistics(*final))


def _requested(outbox: int, told: bytes) -> Requested:
    peer, _, head = told.partition(b"\n")
    return Requested(outbox, peer.decode(), head)


def _peer_closed(outbox: int, code: int, reason: bytes) -> PeerClosed:
    return PeerClosed(outbox, code, reason.decode())


def _switched(symbol: bytes, previous: int, asset: int, reason: str) -> Switched:
    return Switched(symbol.decode(), previous, asset, reason)


_READERS: dict[str, Callable[..., PumpEvent]] = {
    "source_ended": SourceEnded,
    "source_overflowed": SourceOverflowed,
    "block_buffered": BlockBuffered,
    "line_rejected": LineRejected,
    "status": StatusLine,
    "outbox_closed": _outbox_closed,
    "requested": _requested,
    "message": Message,
    "peer_closed": _peer_closed,
    "peer_fault": PeerFault,
    "peer_silent": PeerSilent,
    "half_full": HalfFull,
    "memory_mark": MemoryMark,
    "switched": _switched,
}

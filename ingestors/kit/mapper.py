"""The contract between the kit and a venue: a mapper without input or output, and where to connect.

Semantics that every mapper keeps, after the written guidelines of the tardis.dev normalisers:

* Map a member only when the venue's has the same meaning. ``side`` is the aggressor's: invert a maker's side.
* Never convert a number: prices, sizes, ids and times are passed on as the venue wrote them.
* ``ts`` is the venue's time of the event. Only where the venue gives none is it ours, and then the tick says so.
* What the venue repeats from the past on subscribing (snapshots, last trades) is not news: it is passed on only when it
  lies after the last trade seen, that is after a reconnect. ``trade_ids`` keeps account.
* Each trade is told once, over all connections: pass its id to ``Market.admit``, which also counts what is missing.
* Messages of channels and symbols that nobody asked for are counted, not guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from .ledger import Ledger
from .outputs import Output

__all__ = ["UNREADABLE", "Endpoint", "Feed", "Keepalive", "Mapper"]

UNREADABLE: Final = (msgspec.MsgspecError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError)
"""What a mapper raises when a message is not what the venue documents: no JSON, nested without end, or of another shape."""


class Mapper(Protocol):
    """Turns the messages of one connection into ticks. Holds the state that this needs and does no input or output.

    Each connection has a mapper of its own, so what belongs to a connection (quotes, the venue's message numbers) ends
    with it. What outlives it, such as which trades were told, is in the ledger that all mappers of a run share.
    """

    def map(self, message: bytes, received_ns: int) -> Sequence[Output]:
        """What one message says, in the order in which it happened.

        Args:
            message: The text of one WebSocket message, UTF-8.
            received_ns: When it arrived, in UTC nanoseconds since the epoch; in a replay, at the recorder.

        Raises:
            UNREADABLE: The message is not what the venue documents. It is counted and reported.
        """

    def time_of(self, message: bytes) -> int | None:
        """The venue's time in a message, in UTC nanoseconds since the epoch; None when it tells none. It paces replays
        that have no receive times.

        Raises:
            UNREADABLE: As for ``map``.
        """


@dataclass(frozen=True, kw_only=True)
class Keepalive:
    """A text that the venue wants to hear from time to time; WebSocket pings are sent without it."""

    text: str
    period_s: float


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where and how to connect. ``--url``, ``--idle-s`` and ``--lifetime-s`` replace what stands here."""

    url: str
    requests: Sequence[str]
    """Messages to send after each connect, in order."""
    request_spacing_s: float = 0.0
    """Pause between two of them, for the venue's rate limit."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the handshake. Never logged: the place for a key."""
    keepalive: Keepalive | None = None
    idle_s: float
    """Without a message for so long, connect again. Choose by the venue's heartbeats."""
    lifetime_s: float | None = None
    """The venue closes connections of this age, so the next one opens some time before."""
    max_message_bytes: int = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Where to connect, and the mapper of each connection."""

    endpoint: Endpoint
    open_mapper: Callable[[Ledger], Mapper]

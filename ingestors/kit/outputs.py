"""What a mapper returns: the lines of the ingestor protocol as types, and orders to the connection."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = ["Heartbeat", "Output", "Patience", "Reconnect", "Status", "Tick"]


class Tick(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True, gc=False):
    """A trade, with the best bid and ask last known, or a quote alone. Members that are None are not in the line.

    Prices and sizes are the venue's own text, never converted. ``market`` makes the usual ticks; a venue that has more
    to tell makes a subclass.
    """

    symbol: str
    """``BASE/QUOTE``."""
    exchange: str
    price: str | None = None
    volume: str | None = None
    side: str | None = None
    """The aggressor's: ``buy`` or ``sell``."""
    trade_id: int | str | None = None
    bid_price: str | None = None
    bid_volume: str | None = None
    ask_price: str | None = None
    ask_volume: str | None = None
    ts: int | str
    """The venue's time of the event in the venue's own form; see ``quote_time``."""
    raw_symbol: str
    """The venue's own name of the symbol."""
    quote_time: str | None = None
    """Where ``ts`` of a quote comes from when the venue does not date the quote itself: ``local`` (our receive time) or
    ``envelope`` (the time at which the venue sent the message)."""
    first_trade_id: int | None = None
    """Of a tick that joins several trades; ``trade_id`` then is the identity of the whole."""
    last_trade_id: int | None = None


class Status(msgspec.Struct, tag_field="type", tag="status", frozen=True):
    """For the operators. States in use: listing, connecting, connected, subscribed, reconnecting, succeeded, circuit,
    maintenance, error, gap, unmapped, replaying and finished."""

    state: str
    detail: str


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", frozen=True):
    """The venue says that it is alive. The pipeline lets one a second through."""


class Reconnect(msgspec.Struct, frozen=True):
    """Not a line. The venue is about to close this connection: open the next one beside it and let it take over.

    With ``wait_s`` the venue wants to be left alone instead: leave now, come back after so long at the earliest.
    """

    reason: str
    wait_s: float = 0.0


class Patience(msgspec.Struct, frozen=True):
    """Not a line. When a connection ends, the venue wants no other one for so long, until a further such word."""

    wait_s: float


Output: TypeAlias = Tick | Status | Heartbeat | Reconnect | Patience

"""The messages of the stream as a reader of the terminal sees them."""

from __future__ import annotations

import datetime

import click
import msgspec

from finstream.cli.output import microseconds, printable

__all__ = ["Message", "message_line", "read_message"]


class Message(msgspec.Struct, frozen=True):
    """What we show of a message; members that are not named here are ignored, members that it lacks are None."""

    type: str
    asset: str | None = None
    seq: int | None = None
    """Of every message of a topic; control messages have none."""
    symbol: str | None = None
    price: str | None = None
    volume: str | None = None
    side: str | None = None
    bid_price: str | None = None
    bid_volume: str | None = None
    ask_price: str | None = None
    ask_volume: str | None = None
    ts_event: int | None = None
    ts_recv: int | None = None
    simulated: bool = False
    epoch: str | None = None
    topics: list[str] | None = None
    state: str | None = None
    reason: str | None = None
    detail: str | None = None
    code: str | None = None
    reconnect: bool | None = None
    reconnect_in_ms: int | None = None
    topic: str | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    count: int | None = None
    cause: str | None = None
    via: str | None = None
    """Of the topic best: whose tick it is."""
    to: str | None = None
    previous: str | None = msgspec.field(default=None, name="from")
    conflated: int | None = None
    """How many older messages this one took the place of."""

    @property
    def lag_us(self) -> int | None:
        return None if self.ts_event is None or self.ts_recv is None else self.ts_recv - self.ts_event


_decoder = msgspec.json.Decoder(Message)


def read_message(text: str | bytes) -> Message:
    """Raises:
    msgspec.DecodeError: it is no message of the stream protocol.
    """
    return _decoder.decode(text)


def message_line(message: Message, *, colour: bool = False) -> str:
    """One line for a message of a topic: a trade, a quote, or anything else that an ingestor sends."""

    def style(text: str, **settings: str | bool) -> str:
        text = printable(text)
        return click.style(text, **settings) if colour else text  # type: ignore[arg-type]

    when = "--:--:--.---"
    if message.ts_event is not None:
        moment = datetime.datetime.fromtimestamp(message.ts_event // 1000 / 1000, datetime.UTC)
        when = f"{moment:%H:%M:%S}.{message.ts_event // 1000 % 1000:03d}"
    parts = [style(when, dim=True), style(f"{message.asset or '':<12}"), style(f"{message.symbol or '':<10}", bold=True)]
    if message.via is not None:
        parts.append(style(f"{message.via:<12}"))
    if message.type != "tick":
        parts.append(style(message.type))
    if message.to is not None:
        switched = message.to if message.previous is None else f"{message.previous} → {message.to}"
        parts.append(style(f"{switched} ({message.reason})", fg="yellow"))
    if message.price is not None:
        shade = {"buy": "green", "sell": "red"}.get(message.side or "", "")
        trade = f"{message.price:>12} × {message.volume or '–':<12} {message.side or '':<4}"
        parts.append(style(trade, fg=shade) if shade else style(trade))
    elif message.type == "tick":
        parts.append(" " * 32)
    if message.bid_price is not None or message.ask_price is not None:
        parts.append(style(f"{message.bid_price or '–':>12} / {message.ask_price or '–':<12}"))
    if message.lag_us is not None:
        parts.append(style(f"lag {microseconds(message.lag_us):>7}", dim=True))
    if message.conflated:
        parts.append(style(f"+{message.conflated:,} merged", dim=True))
    return " ".join(parts).rstrip()

"""From a line to the message that subscribers get, or to the first rule that it breaks."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .decimals import read_decimal
from .json_text import WHITE_SPACE, Kind, LineError, Member, Value, read_members
from .timestamps import read_timestamp

RESERVED = frozenset({"asset", "seq", "ts_recv", "simulated", "conflated", "quality", "via"})
ALIASES = {
    "size": "volume",
    "bid": "bid_price",
    "bid_size": "bid_volume",
    "ask": "ask_price",
    "ask_size": "ask_volume",
    "ts_event": "ts",
    "timestamp": "ts",
    "source": "exchange",
}
DECIMALS = ("price", "volume", "bid_price", "bid_volume", "ask_price", "ask_volume")
QUOTE = ("bid_price", "bid_volume", "ask_price", "ask_volume")
KNOWN_TO_TICKS = frozenset({"type", "symbol", *DECIMALS, "side", "ts", "exchange", "trade_id", "event_id"})
KNOWN_TO_OPAQUE = frozenset({"type", "symbol", "ts"})
INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Rejected:
    reason: str


@dataclass(frozen=True)
class Tick:
    message: bytes
    """The JSON text that subscribers get."""
    symbol: str
    ts_ns: int


@dataclass(frozen=True)
class Opaque:
    message: bytes
    symbol: str | None
    ts_ns: int


@dataclass(frozen=True)
class Status:
    pass


@dataclass(frozen=True)
class Heartbeat:
    pass


@dataclass(frozen=True)
class Ignored:
    """An empty line."""


Result = Rejected | Tick | Opaque | Status | Heartbeat | Ignored


def parse_line(
    line: bytes,
    *,
    asset: str = "test",
    seq: int = 1,
    received_ns: int = 0,
    future_ms: int = -1,
    max_age_ms: int = -1,
    simulated: bool = False,
) -> Result:
    """What becomes of a line (without its line feed). Bounds below zero do not apply."""
    if not line.strip(WHITE_SPACE):
        return Ignored()
    try:
        given, passed_on = _sort_members(line)
        kind = _line_type(given)
        if kind is None:
            return Heartbeat() if given["type"].text == "heartbeat" else Status()
        envelope = _Envelope(asset, seq, received_ns, future_ms, max_age_ms, simulated)
        if kind == "tick":
            return _tick(given, passed_on, envelope)
        return _opaque(given, passed_on, envelope)
    except LineError as error:
        return Rejected(error.reason)


@dataclass(frozen=True)
class _Envelope:
    asset: str
    seq: int
    received_ns: int
    future_ms: int
    max_age_ms: int
    simulated: bool


def _sort_members(line: bytes) -> tuple[dict[str, Value], list[Member]]:
    """The members that the engine may know, by their first name and without the nulls; and all members as they came."""
    met: set[str] = set()

    def meet(name: str) -> None:
        if name in RESERVED:
            raise LineError("reserved_member")
        name = _first_name(name)
        if name in met:
            raise LineError("duplicate_member")
        met.add(name)

    members = read_members(line, meet)
    given = {_first_name(member.name): member.value for member in members if member.value.kind is not Kind.NULL}
    return given, members


def _first_name(name: str) -> str:
    return ALIASES.get(name, name)


OURS = frozenset(
    ("welcome", "subscribed", "unsubscribed", "pong", "asset", "health", "gap", "error", "goodbye", "warning", "switch")
)
"""The types of the engine's own messages."""


def _line_type(given: dict[str, Value]) -> str | None:
    """``"tick"``, ``"opaque"``, or None for a line that is not published."""
    if "type" not in given:
        return "tick"
    value = given["type"]
    if value.kind is not Kind.STRING or not 1 <= len(_between_quotes(value)) <= 64:
        raise LineError("invalid_type")
    if value.text in ("status", "heartbeat"):
        return None
    if value.text in OURS:
        raise LineError("invalid_type")
    return "tick" if value.text == "tick" else "opaque"


# --- the two kinds of message -----------------------------------------------------------------------------------------


def _tick(given: dict[str, Value], members: list[Member], envelope: _Envelope) -> Tick:
    symbol = _symbol(given)
    if symbol is None:
        raise LineError("missing_symbol")
    decimals = {name: _decimal(name, given[name]) for name in DECIMALS if name in given}
    side = _side(given)
    trade_id = _identity(given, "trade_id")
    event_id = _identity(given, "event_id")
    exchange = _exchange(given, envelope.asset)
    ts_ns = _timestamp(given, envelope)
    if "price" not in given and not any(name in given for name in QUOTE):
        raise LineError("missing_price")

    parts = [b'{"type":"tick"', *_head(envelope, symbol), _quoted("exchange", exchange)]
    parts += [_quoted(name, decimals[name].encode()) for name in ("price", "volume") if name in decimals]
    parts += [_quoted("side", side)] if side else []
    parts += [_quoted(name, decimals[name].encode()) for name in QUOTE if name in decimals]
    parts += [_quoted("trade_id", trade_id)] if trade_id else []
    parts += [_quoted("event_id", event_id)] if event_id else []
    parts += [*_times(envelope, ts_ns), *_passed_on(members, KNOWN_TO_TICKS), b"}"]
    return Tick(b"".join(parts), symbol, ts_ns)


def _opaque(given: dict[str, Value], members: list[Member], envelope: _Envelope) -> Opaque:
    symbol = _symbol(given)
    ts_ns = _timestamp(given, envelope)
    parts = [b'{"type":"', _between_quotes(given["type"]), b'"', *_head(envelope, symbol)]
    parts += [*_times(envelope, ts_ns), *_passed_on(members, KNOWN_TO_OPAQUE), b"}"]
    return Opaque(b"".join(parts), symbol, ts_ns)


def _head(envelope: _Envelope, symbol: str | None) -> list[bytes]:
    parts = [_quoted("asset", envelope.asset.encode()), b',"seq":%d' % envelope.seq]
    return parts if symbol is None else [*parts, _quoted("symbol", symbol.encode())]


def _times(envelope: _Envelope, ts_ns: int) -> list[bytes]:
    parts = [b',"ts_event":%d,"ts_recv":%d' % (ts_ns // 1000, envelope.received_ns // 1000)]
    return [*parts, b',"simulated":true'] if envelope.simulated else parts


def _quoted(name: str, text: bytes) -> bytes:
    return b',"%s":"%s"' % (name.encode(), text)


def _passed_on(members: list[Member], known: frozenset[str]) -> list[bytes]:
    unknown = (member for member in members if _first_name(member.name) not in known)
    return [b",%s:%s" % (member.raw_name, member.value.raw) for member in unknown]


# --- the members ------------------------------------------------------------------------------------------------------


def _between_quotes(value: Value) -> bytes:
    return value.raw[1:-1]


def _symbol(given: dict[str, Value]) -> str | None:
    if "symbol" not in given:
        return None
    value = given["symbol"]
    forbidden = any(character in '"\\' or unicodedata.category(character) == "Cc" for character in value.text)
    if value.kind is not Kind.STRING or forbidden or not 1 <= len(value.text.encode()) <= 64:
        raise LineError("invalid_symbol")
    return value.text


def _decimal(name: str, value: Value) -> str:
    if value.kind not in (Kind.NUMBER, Kind.STRING):
        raise LineError("invalid_decimal")
    text = read_decimal(value.text if value.kind is Kind.STRING else value.raw.decode())
    if name == "price" and (text.startswith("-") or text == "0"):
        raise LineError("price_not_positive")
    if text.startswith("-"):
        raise LineError("negative_value")
    return text


def _side(given: dict[str, Value]) -> bytes | None:
    if "side" not in given:
        return None
    value = given["side"]
    if value.kind is not Kind.STRING or value.text not in ("buy", "sell"):
        raise LineError("invalid_side")
    return value.text.encode()


def _identity(given: dict[str, Value], name: str) -> bytes | None:
    if name not in given:
        return None
    value = given[name]
    if value.kind is Kind.STRING and 1 <= len(_between_quotes(value)) <= 128:
        return _between_quotes(value)
    if value.kind is Kind.NUMBER and INTEGER.fullmatch(value.raw) and len(value.raw) <= 128:
        return value.raw
    raise LineError("invalid_identity")


def _exchange(given: dict[str, Value], asset: str) -> bytes:
    if "exchange" not in given:
        return asset.encode()
    value = given["exchange"]
    if value.kind is not Kind.STRING or not 1 <= len(_between_quotes(value)) <= 64:
        raise LineError("invalid_exchange")
    return _between_quotes(value)


def _timestamp(given: dict[str, Value], envelope: _Envelope) -> int:
    if "ts" not in given:
        raise LineError("missing_timestamp")
    value = given["ts"]
    if value.kind not in (Kind.NUMBER, Kind.STRING):
        raise LineError("invalid_timestamp")
    ts_ns = read_timestamp(value.text if value.kind is Kind.STRING else value.raw.decode())
    ahead_ns = ts_ns - envelope.received_ns
    if 0 <= envelope.future_ms * 1_000_000 < ahead_ns:
        raise LineError("timestamp_in_future")
    if 0 <= envelope.max_age_ms * 1_000_000 < -ahead_ns:
        raise LineError("timestamp_too_old")
    return ts_ns

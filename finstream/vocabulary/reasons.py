"""Named reasons: why a line was rejected, why a subscriber was let go, why a child was stopped.

A reason is said with the same word in the logs, on the bus, in receipts, in close frames and in the statistics.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CLOSINGS", "REJECTIONS", "STOPS", "Closing"]

REJECTIONS: dict[str, str] = {
    "line_too_long": "longer than limits.line_bytes; the rest up to the next line feed was skipped",
    "unterminated_line": "the source ended in the middle of a line",
    "not_json": "not one complete JSON object",
    "invalid_utf8": "a string holds bytes that are not UTF-8",
    "invalid_escape": "a string holds an escape that JSON does not know, or half of a surrogate pair",
    "control_character": "a string holds an unescaped control character (a NUL byte, say)",
    "too_deep": "nested more than 64 levels deep",
    "duplicate_member": "a member, or a member and its alias (volume and size, say), occurs twice",
    "reserved_member": "a member that only the engine may write: asset, seq, ts_recv, simulated, conflated, quality or via",
    "invalid_type": "the member type is not a string of 1 to 64 bytes, or is one of the engine's own types (welcome, goodbye, …)",
    "missing_symbol": "a tick without a symbol",
    "invalid_symbol": "the symbol is not a string of 1 to 64 bytes without control characters, quotes and backslashes",
    "missing_price": "a tick with neither a price nor a part of a quote",
    "invalid_decimal": "a price or size is neither a JSON number nor a string that holds one",
    "decimal_out_of_range": "a price or size does not fit a 96-bit mantissa and a scale of 0 to 28 exactly",
    "price_not_positive": "price is zero or negative",
    "negative_value": "a size, bid or ask is negative",
    "missing_timestamp": "no ts, ts_event or timestamp",
    "invalid_timestamp": "the time stamp is in none of the accepted forms, or out of range",
    "timestamp_in_future": "the time stamp lies further in the future than quality.future_ms allows",
    "timestamp_too_old": "the time stamp lies further in the past than quality.max_age_ms allows",
    "invalid_side": "side is neither buy nor sell",
    "invalid_identity": "trade_id or event_id is neither a string of 1 to 128 bytes nor an integer",
    "invalid_exchange": "exchange is not a string of 1 to 64 bytes",
    "duplicate": "its time and event_id, or its time, venue, symbol and trade_id, were there before (quality.duplicates)",
    "out_of_order": "a trade older than one of its symbol before, or a quote older than an earlier quote (quality.out_of_order)",
    "price_anomaly": "its price lies outside of the band around those before (quality.band_pct)",
    "crossed_quote": "its best bid is higher than its best ask (quality.crossed_quotes)",
}
"""Why the pump rejects a line. The pump counts by the position in this table; a test holds its own list against this one."""


class Closing(NamedTuple):
    """How a connection ends: the close frame's code and reason, and what the subscriber should do next."""

    close_code: int
    text: str
    reconnect: bool


CLOSINGS: dict[str, Closing] = {
    "engine_stopping": Closing(1001, "the engine is stopping", reconnect=True),
    "engine_restarting": Closing(1012, "the engine is restarting", reconnect=True),
    "protocol_error": Closing(1002, "the client broke the WebSocket protocol", reconnect=False),
    "message_too_big": Closing(1009, "a request was larger than 64 KiB", reconnect=False),
    "internal_error": Closing(1011, "the engine failed to serve this connection", reconnect=True),
    "unregistered": Closing(4001, "the client was unregistered", reconnect=False),
    "replaced": Closing(4002, "another connection of the same client took over", reconnect=False),
    "slow_consumer_bytes": Closing(4003, "too many bytes were waiting for this subscriber", reconnect=True),
    "slow_consumer_age": Closing(4004, "the oldest waiting byte was older than allowed", reconnect=True),
    "unresponsive": Closing(4005, "nothing was heard from the client, not even a pong", reconnect=True),
    "disconnected_by_operator": Closing(4006, "an operator closed the connection", reconnect=True),
    "memory_pressure": Closing(4007, "memory is short, and others are more important or waited less", reconnect=True),
    # Endings in which no close frame of ours can be written:
    "client_left": Closing(1000, "the client closed the connection", reconnect=True),
    "connection_lost": Closing(1006, "the connection broke", reconnect=True),
}

STOPS: dict[str, str] = {
    "NoDemand": "nobody has wanted it for linger_s",
    "Paused": "an operator paused it",
    "RestartRequested": "an operator asked for a restart",
    "ConfigChanged": "its configuration changed",
    "ConfigRemoved": "it is no longer in the configuration",
    "EngineStopping": "the engine is stopping",
    "BackpressureOverflow": "its pipe stayed full for longer than stdout_full_s",
    "SlowSink": "it did not read its lines in time",
    "MemoryPressure": "too much waits in memory for subscribers, and others are more important",
    "MarketClosed": "its market is closed",
    "ScheduledRestart": "it is restart_at",
    "StdoutClosed": "it closed its standard output and stayed",
    "StdinClosed": "it closed its standard input and stayed",
}
"""Why the supervisor stops a child."""

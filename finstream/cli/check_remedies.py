"""What the author of an ingestor does about a rejected line; by the reasons of :mod:`finstream.vocabulary.reasons`."""

from __future__ import annotations

__all__ = ["REMEDIES"]

REMEDIES: dict[str, str] = {
    "line_too_long": "print one object a line and end each with a line feed; split what is larger than 64 KiB",
    "unterminated_line": "end the last line with a line feed too",
    "not_json": "print one JSON object a line and nothing else on stdout; logs and banners belong on stderr",
    "invalid_utf8": "write stdout as UTF-8",
    "invalid_escape": "let a JSON library write the strings; escape whole surrogate pairs, or write the character",
    "control_character": "let a JSON library write the strings: control characters need an escape such as \\u0000",
    "too_deep": "flatten the members that you pass on",
    "duplicate_member": "write each member once, and only one of its names (volume or size, ts or timestamp)",
    "reserved_member": "leave asset, seq, ts_recv, simulated, conflated, quality and via to the engine; choose other names",
    "invalid_type": "leave type out for a tick, or make it a string of 1 to 64 characters",
    "missing_symbol": 'add "symbol": BASE/QUOTE for a pair ("BTC/USDT"), the ticker for an equity ("AAPL")',
    "invalid_symbol": "make symbol a string of 1 to 64 bytes without control characters, quotes and backslashes",
    "missing_price": "add price, or at least one of bid_price, bid_volume, ask_price, ask_volume",
    "invalid_decimal": "write prices and sizes as JSON numbers, bare or quoted: no +1, .5, 5., 1,000, NaN; no blanks",
    "decimal_out_of_range": "send the digits that the venue sent; 28 decimal places and 96 bits are the most",
    "price_not_positive": "leave price out where there was no trade, instead of sending 0",
    "negative_value": "leave a size, bid or ask out where it is not known",
    "missing_timestamp": "add ts: the venue's own time of the event, or the time at which it reached you",
    "invalid_timestamp": "send epoch seconds, milliseconds, microseconds or nanoseconds, or ISO 8601 with an offset",
    "timestamp_in_future": "check the clock (is NTP running?), and that local time is not sent as UTC",
    "timestamp_too_old": "send the time of the event, not of the subscription; old data needs origin: replay",
    "invalid_side": 'write the aggressor\'s side as "buy" or "sell", or leave it out',
    "invalid_identity": "make trade_id and event_id strings of up to 128 bytes, or integers",
    "invalid_exchange": "make exchange a string of 1 to 64 bytes, or leave it out",
    "duplicate": "send each trade once; a tick that only reports a quote carries no trade_id",
    "out_of_order": "send the trades of a symbol in the order of their time, and so its quotes",
    "price_anomaly": "if the price was right, widen quality.band_pct for this asset",
    "crossed_quote": "send bid and ask of the same moment together",
}

"""Tables of lines: what each kind becomes, and which rule is the first that it breaks."""

from __future__ import annotations

import pytest
import twin
from parsers import Parser
from rejected import REJECTED

from finstream import _fastpath
from finstream.vocabulary.reasons import REJECTIONS

RECEIVED_NS = 1_716_230_000_123_812_999
TICK = b'{"symbol":"BTC/USDT","price":"67123.45","ts":1716230000123}'


def head(seq: int = 1, symbol: str = "BTC/USDT", exchange: str = "test") -> str:
    return f'{{"type":"tick","asset":"test","seq":{seq},"symbol":"{symbol}","exchange":"{exchange}"'


TIMES = ',"ts_event":1716230000123000,"ts_recv":1716230000123812'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (TICK, head() + ',"price":"67123.45"' + TIMES + "}"),
        # every member, in another order than it leaves in
        (
            (
                b'{"event_id":"e1","ask_volume":4,"ts":1716230000123,"trade_id":"t1","bid_volume":3.0,"ask_price":2.50,'
                b'"side":"buy","bid_price":"1","volume":"0.0120","exchange":"binance","price":1e3,"symbol":"BTC/USDT",'
                b'"type":"tick"}'
            ),
            head(exchange="binance") + ',"price":"1000","volume":"0.012","side":"buy","bid_price":"1","bid_volume":"3",'
            '"ask_price":"2.5","ask_volume":"4","trade_id":"t1","event_id":"e1"' + TIMES + "}",
        ),
        # other names
        (
            b'{"symbol":"BTC/USDT","bid":1,"bid_size":2,"ask":3,"ask_size":4,"size":5,"source":"x","timestamp":1716230000123}',
            head(exchange="x") + ',"volume":"5","bid_price":"1","bid_volume":"2","ask_price":"3","ask_volume":"4"'
            + TIMES + "}",
        ),
        (
            b'{"symbol":"BTC/USDT","bid":0,"ts_event":1716230000123}',
            head() + ',"bid_price":"0"' + TIMES + "}",
        ),
        # null is absent, for each member
        (
            (
                b'{"type":null,"symbol":"BTC/USDT","price":1,"volume":null,"side":null,"bid":null,"bid_size":null,'
                b'"ask":null,"ask_size":null,"trade_id":null,"event_id":null,"exchange":null,"ts":1716230000123}'
            ),
            head() + ',"price":"1"' + TIMES + "}",
        ),
        # unknown members: unchanged, in their order, white space around them dropped, inside them kept
        (
            (
                b'\t { "b" : [1, 2.0,{"x" :null}] , "symbol":"BTC/USDT" ,"a\\u0062":"\\u00e9\\/","price":1,"null":null,'
                b'"ts":1716230000123,"t":true , "n":-1.50e+400 } \r'
            ),
            head() + ',"price":"1"' + TIMES
            + ',"b":[1, 2.0,{"x" :null}],"a\\u0062":"\\u00e9\\/","null":null,"t":true,"n":-1.50e+400}',
        ),
        # names are compared decoded
        (
            b'{"s\\u0079mbol":"BTC/USDT","\\u0070rice":1,"\\u0074\\u0073":1716230000123}',
            head() + ',"price":"1"' + TIMES + "}",
        ),
        # nested members may bear any name, twice too
        (
            b'{"symbol":"BTC/USDT","price":1,"ts":1716230000123,"x":{"asset":1,"price":2,"price":3}}',
            head() + ',"price":"1"' + TIMES + ',"x":{"asset":1,"price":2,"price":3}}',
        ),
        # strings that are passed on: the symbol decoded, the others as they were written
        (
            (
                b'{"symbol":"BTC\\/\\u0055SDT","price":1,"exchange":"a\\/\\u0062","trade_id":"\\"1\\"",'
                b'"event_id":"\\u0000","ts":1716230000123}'
            ),
            head(exchange="a\\/\\u0062") + ',"price":"1","trade_id":"\\"1\\"","event_id":"\\u0000"' + TIMES + "}",
        ),
        (
            '{"symbol":"\\ud83d\\ude00é","price":1,"exchange":"ü","ts":1716230000123}'.encode(),
            head(symbol="😀é", exchange="ü") + ',"price":"1"' + TIMES + "}",
        ),
        (
            b'{"type":"t\\u0069ck","symbol":"BTC/USDT","price":1,"side":"b\\u0075y","ts":"1716230000.123"}',
            head() + ',"price":"1","side":"buy"' + TIMES + "}",
        ),
        # identities as integers
        (
            b'{"symbol":"BTC/USDT","price":1,"trade_id":-0,"event_id":12345678901234567890123,"ts":1716230000123}',
            head() + ',"price":"1","trade_id":"-0","event_id":"12345678901234567890123"' + TIMES + "}",
        ),
        # the longest that fit
        (
            b'{"symbol":"%s","price":1,"exchange":"%s","trade_id":"%s","event_id":%s,"ts":1716230000123}'
            % (b"S" * 64, b"E" * 64, b"T" * 128, b"1" * 128),
            head(symbol="S" * 64, exchange="E" * 64)
            + f',"price":"1","trade_id":"{"T" * 128}","event_id":"{"1" * 128}"' + TIMES + "}",
        ),
        # 64 levels, the line's object being the first
        (
            b'{"symbol":"BTC/USDT","price":1,"ts":1716230000123,"x":%s}' % (b"[" * 63 + b"]" * 63),
            head() + ',"price":"1"' + TIMES + f',"x":{"[" * 63 + "]" * 63}}}',
        ),
        (
            b'{"symbol":"BTC/USDT","price":1,"ts":1716230000123,"x":%s}' % (b'{"y":' * 62 + b"{}" + b"}" * 62),
            head() + ',"price":"1"' + TIMES + ',"x":' + '{"y":' * 62 + "{}" + "}" * 62 + "}",
        ),
    ],
)
def test_ticks(parse: Parser, line: bytes, message: str) -> None:
    assert parse(line, received_ns=RECEIVED_NS) == ("tick", message.encode())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b'{"type":"news","headline":"x","ts":1716230000123,"symbol":"AAPL","price":"not checked","source":null}',
            '{"type":"news","asset":"test","seq":1,"symbol":"AAPL"' + TIMES
            + ',"headline":"x","price":"not checked","source":null}',
        ),
        (
            b'{"timestamp":"2024-05-20T18:33:20.123Z","type":"a\\u0062","symbol":null}',
            '{"type":"a\\u0062","asset":"test","seq":1' + TIMES + "}",
        ),
        (
            b'{"ts_event":1716230000.123,"type":"%s"}' % (b"t" * 64),
            f'{{"type":"{"t" * 64}","asset":"test","seq":1' + TIMES + "}",
        ),
        (
            b'{"ts":1716230000123,"type":"Tick"}',
            '{"type":"Tick","asset":"test","seq":1' + TIMES + "}",
        ),
    ],
)
def test_opaque_messages(parse: Parser, line: bytes, message: str) -> None:
    assert parse(line, received_ns=RECEIVED_NS) == ("opaque", message.encode())


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"type":"heartbeat"}', "heartbeat"),
        (b'{"type":"heartbeat","symbol":5,"ts":[],"price":"x"}', "heartbeat"),
        (b'{"type":"status","state":"connected","detail":{"a":[1]}}', "status"),
        (b' {"state":1,"type" : "st\\u0061tus"} ', "status"),
        (b"", "ignored"),
        (b" \t\r", "ignored"),
    ],
)
def test_lines_that_are_not_published(parse: Parser, line: bytes, kind: str) -> None:
    assert parse(line) == (kind, b"")


def test_simulated_messages_say_so(parse: Parser) -> None:
    line = b'{"symbol":"A","price":1,"ts":1,"x":1}'
    kind, message = parse(line, asset="sim-1", seq=7, received_ns=2_000_000_999, simulated=True)
    assert kind == "tick"
    assert message == (
        b'{"type":"tick","asset":"sim-1","seq":7,"symbol":"A","exchange":"sim-1","price":"1","ts_event":1000000,'
        b'"ts_recv":2000000,"simulated":true,"x":1}'
    )
    kind, message = parse(b'{"type":"n","ts":1,"x":1}', asset="sim-1", seq=8, received_ns=2_000_000_999, simulated=True)
    assert kind == "opaque"
    assert message == (
        b'{"type":"n","asset":"sim-1","seq":8,"ts_event":1000000,"ts_recv":2000000,"simulated":true,"x":1}'
    )


@pytest.mark.parametrize(("reason", "line"), [(reason, line) for reason, lines in REJECTED.items() for line in lines])
def test_first_broken_rule_is_the_reason(parse: Parser, reason: str, line: bytes) -> None:
    assert parse(line) == ("rejected", reason.encode())


def test_every_reason_has_its_lines() -> None:
    """But for what is well formed and not believed, which test_quality has."""
    assert set(REJECTED) == set(REJECTIONS) - set(_fastpath.CHECKS_OF_QUALITY)


def test_native_pump_counts_by_the_same_table() -> None:
    assert tuple(REJECTIONS) == _fastpath.REJECTIONS


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        # Each line breaks all the rules of a tick; the rules go away one by one.
        (b'{"symbol":"","price":"x","volume":-1,"side":1,"trade_id":"","event_id":"","exchange":"","ts":"x"}',
        "invalid_symbol"),
        (b'{"symbol":"A","price":"x","volume":-1,"side":1,"trade_id":"","event_id":"","exchange":"","ts":"x"}',
        "invalid_decimal"),
        (b'{"symbol":"A","price":1e99,"volume":-1,"side":1,"trade_id":"","exchange":"","ts":"x"}',
        "decimal_out_of_range"),
        (b'{"symbol":"A","price":-1,"volume":-1,"side":1,"trade_id":"","exchange":"","ts":"x"}', "price_not_positive"),
        (b'{"symbol":"A","ask":"x","volume":-1,"side":1,"trade_id":"","exchange":"","ts":"x"}', "negative_value"),
        (b'{"symbol":"A","bid":-1,"bid_size":"x","side":1,"trade_id":"","exchange":"","ts":"x"}', "negative_value"),
        (b'{"symbol":"A","bid":1,"bid_size":"x","ask":-1,"side":1,"trade_id":"","ts":"x"}', "invalid_decimal"),
        (b'{"symbol":"A","side":1,"trade_id":"","exchange":"","ts":"x"}', "invalid_side"),
        (b'{"symbol":"A","trade_id":"","exchange":"","ts":"x"}', "invalid_identity"),
        (b'{"symbol":"A","exchange":"","ts":"x"}', "invalid_exchange"),
        (b'{"symbol":"A","ts":"x"}', "invalid_timestamp"),
        (b'{"symbol":"A","ts":null}', "missing_timestamp"),
        (b'{"symbol":"A","ts":1}', "missing_price"),
    ],
)
def test_order_of_the_rules(parse: Parser, line: bytes, reason: str) -> None:
    assert parse(line) == ("rejected", reason.encode())


@pytest.mark.parametrize("kind", [b"", b'"type":"news",'])
@pytest.mark.parametrize(
    ("ahead_ns", "bounds", "reason"),
    [
        (1_000_000, {"future_ms": 1}, None),
        (1_000_001, {"future_ms": 1}, "timestamp_in_future"),
        (1, {"future_ms": 0}, "timestamp_in_future"),
        (0, {"future_ms": 0, "max_age_ms": 0}, None),
        (10**17, {"max_age_ms": 5}, None),
        (-5_000_000, {"max_age_ms": 5}, None),
        (-5_000_001, {"max_age_ms": 5}, "timestamp_too_old"),
        (-1, {"max_age_ms": 0}, "timestamp_too_old"),
        (-(10**17), {"future_ms": 0}, None),
        (-10 * 365 * 86_400 * 10**9, {"future_ms": 60_000, "max_age_ms": 604_800_000}, "timestamp_too_old"),
        (10 * 365 * 86_400 * 10**9, {"future_ms": 60_000, "max_age_ms": 604_800_000}, "timestamp_in_future"),
        (-(10**17), {"max_age_ms": 2**62}, None),
        (10**17, {"future_ms": 2**62}, None),
    ],
)
def test_bounds_of_the_time_stamp(
    parse: Parser, kind: bytes, ahead_ns: int, bounds: dict[str, int], reason: str | None
) -> None:
    line = b'{%s"symbol":"A","price":1,"ts":%d}' % (kind, RECEIVED_NS + ahead_ns)
    outcome, text = parse(line, received_ns=RECEIVED_NS, **bounds)
    assert (outcome, text.decode() if outcome == "rejected" else None) == (
        "rejected" if reason else "opaque" if kind else "tick", reason
    )


def test_time_bound_comes_before_the_missing_price(parse: Parser) -> None:
    assert parse(b'{"symbol":"A","ts":1}', received_ns=RECEIVED_NS, max_age_ms=1) == ("rejected", b"timestamp_too_old")


def test_twin_tells_the_exact_time_and_the_decoded_symbol() -> None:
    result = twin.parse_line(b'{"symbol":"\\u0041","price":1,"ts":"1716230000.123456789"}')
    assert isinstance(result, twin.Tick)
    assert (result.symbol, result.ts_ns) == ("A", 1_716_230_000_123_456_789)

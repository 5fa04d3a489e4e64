"""Lines that break a rule, by the reason: the first rule that each breaks."""

from __future__ import annotations

__all__ = ["REJECTED"]


def with_members(members: bytes) -> bytes:
    """A tick that would be good without ``members``."""
    return b'{"symbol":"BTC/USDT","price":1,"ts":1716230000123,' + members + b"}"


def with_symbol(symbol: bytes) -> bytes:
    return b'{"price":1,"ts":1716230000123,"symbol":' + symbol + b"}"


def with_ts(stamp: bytes) -> bytes:
    return b'{"price":1,"symbol":"A","ts":' + stamp + b"}"


def with_price(price: bytes) -> bytes:
    return b'{"symbol":"A","ts":1,"price":' + price + b"}"


REJECTED: dict[str, list[bytes]] = {
    "not_json": [
        b"garbage", b"null", b"[]", b'"text"', b"1", b"{", b"}", b"{}x", b"{}{}", b"{},", b'{"a"}', b'{"a":}',
        b'{"a":1,}', b"{,}", b"{1:2}", b"{'a':1}", b'{"a" 1}', b'{"a":1 "b":2}', b'{"a":[1,]}', b'{"a":[,1]}',
        b'{"a":[1 2]}', b'{"a":{"b"}}', b'{"a":[}', b'{"a":{]}', b'{"a":{"b":1]}', b'{"a":[1}', b'{"a":tru}',
        b'{"a":True}', b'{"a":nul}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":truee}',
        b'{"a":nulll}', b'{"a":falsefalse}', b'{"a":undefined}', b'{"a":+1}', b'{"a":.5}', b'{"a":5.}', b'{"a":01}',
        b'{"a":-}', b'{"a":-a}', b'{"a":1e}', b'{"a":1e+}', b'{"a":1.e1}', b'{"a":0x10}', b'{"a":1_0}', b'{"a":--1}',
        b'{"a":1.2.3}', b'{"a":-01}', b'{"a":00}', b'\x00{"a":1}', b'{"a":1}\x00', b'{"a":\x001}', b'{\x00"a":1}',
        b"\x00", b"\x00" * 100, b'\xef\xbb\xbf{"a":1}', b'{"a":1}\xc3\xa9', b'{"a":\xff}', b'{\xff"a":1}',
        b'{"a":1\x0b}', b'{"a":1\x0c}', b'{"a"\xc2\xa0:1}', b'{"a":"', b'{"a":"b', b'{"a', b'{"', b'{"a"', b'{"a":',
        b'{"a":1', b'{"a":1,', b'{"a":"b"', b'{"a":[', b'{"a":[1', b'{"a":[1,', b'{"a":{', b'{"a":{"b', b'{"a":{"b"',
        b'{"a":{"b":', b'{"a":{"b":1', b'{"a":{"b":1,', b'{"a":t', b'{"a":-', b'{"a":1.', b'{"a":1e', b'{"a":1e-',
        b'{"a":"\\', b'{"a":"\\u', b'{"a":"\\u1', b'{"a":"\\u12', b'{"a":"\\u123', b'{"a":"\\ud800', b'{"a":"\\ud800\\',
        b'{"a":"\\ud800\\u', b'{"a":"\\ud800\\udc0', b'{"a":"\xc3', b'{"a":"\xe2\x82', b'{"a":"\xf0\x9f\x98', b'{"\xc3',
        b'{"asse', b'{"symbol":"A","symbo', b'{"a":1}//', b'{/**/"a":1}', b'{"a":1;}', b'{"a"=1}', b'{"a":(1)}',
        b'{"a":1]',
    ],
    "invalid_utf8": [
        b'{"a":"\x80"}', b'{"a":"\xbf"}', b'{"a":"\xff"}', b'{"a":"\xfe"}', b'{"a":"\xc0\x80"}', b'{"a":"\xc1\xbf"}',
        b'{"a":"\xc3"}', b'{"a":"\xc3\xc3"}', b'{"a":"\xc3\x01"}', b'{"a":"\xe0\x80\x80"}', b'{"a":"\xe0\x9f\xbf"}',
        b'{"a":"\xe2\x82"}', b'{"a":"\xe2("}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xed\xbf\xbf"}',
        b'{"a":"\xf0\x80\x80\x80"}', b'{"a":"\xf0\x8f\xbf\xbf"}', b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\xf5\x80\x80\x80"}', b'{"a":"\xf0\x9f\x98"}', b'{"\xff":1}', b'{"a":{"\xff":1}}', b'{"a":["\xff"]}',
        b'{"symbol":"\xff"}', b'{"type":"heartbeat","x":"\xff"}', b'{"a":"\xff', b'{"a":"\xff\\q"}',
        b'{"a":"\xff\x00"}',
    ],
    "invalid_escape": [
        b'{"a":"\\q"}', b'{"a":"\\U0041"}', b'{"a":"\\x41"}', b'{"a":"\\\'"}', b'{"a":"\\\x00"}', b'{"a":"\\\xc3\xa9"}',
        b'{"a":"\\u"}', b'{"a":"\\u12"}', b'{"a":"\\u123g"}', b'{"a":"\\u 123"}', b'{"a":"\\u+123"}',
        b'{"a":"\\u12\x00"}', b'{"a":"\\ud800"}', b'{"a":"\\udbff"}', b'{"a":"\\udc00"}', b'{"a":"\\udfff"}',
        b'{"a":"\\udc00\\ud800"}', b'{"a":"\\ud800x"}', b'{"a":"\\ud800\\n"}', b'{"a":"\\ud800\\u0041"}',
        b'{"a":"\\ud800\\ud800"}', b'{"a":"\\uD83d\\ue000"}', b'{"a":"\\ud800\xff"}', b'{"\\ud800":1}', b'{"\\q":1}',
        b'{"a":{"\\q":1}}', b'{"a":["\\q"]}', b'{"a":"\\q\xff"}', b'{"type":"status","x":"\\q"}',
        b'{"symbol":"\\ud800"}', b'{"a":"\\q',
    ],
    "control_character": [
        b'{"a":"\x00"}', b'{"a":"x\x1f"}', b'{"a":"\t"}', b'{"a":"\r"}', b'{"\x01":1}', b'{"a":{"\x01":1}}',
        b'{"a":["\x01"]}', b'{"symbol":"A\x00","price":1,"ts":1}', b'{"a":"\x00\xff\\q"}', b'{"a":"\x00',
    ],
    "too_deep": [
        b'{"x":' + b"[" * 64, b'{"x":' + b"[" * 64 + b"]" * 64 + b"}", b'{"x":' * 64 + b'{"x":', b"{" + b'"x":[{' * 32,
        b'{"x":' + b"[" * 60000, b'{"a":1,"x":' + b"[" * 64 + b"\xff", b'{"type":"heartbeat","x":' + b"[" * 64,
    ],
    "duplicate_member": [
        with_members(b'"price":2'), with_members(b'"symbol":null'), with_members(b'"timestamp":null'),
        with_members(b'"ts_event":1'), with_members(b'"volume":1,"size":1'), with_members(b'"size":1,"volume":1'),
        with_members(b'"bid":1,"bid_price":1'), with_members(b'"bid_volume":1,"bid_size":1'),
        with_members(b'"ask":1,"ask_price":1'), with_members(b'"ask_size":1,"ask_volume":2'),
        with_members(b'"source":1,"exchange":2'), with_members(b'"x":1,"x":2'), with_members(b'"x":1,"\\u0078":2'),
        with_members(b'"\xc3\xa9":1,"\\u00e9":2'), with_members(b'"\xf0\x9f\x98\x80":1,"\\uD83D\\uDE00":2'),
        with_members(b'"":1,"":2'), with_members(b'"pri\\u0063e":2'), with_members(b'"trade_id":1,"trade_id":2'),
        with_members(b'"event_id":1,"event_id":2'), with_members(b'"side":1,"side":2'),
        with_members(b'"type":1,"type":2'), with_members(b'"x":1,"y":2,"z":3,"y"'),
        with_members(b"".join(b'"m%d":1,' % n for n in range(300)) + b'"m7":1'), b'{"type":"heartbeat","x":1,"x":2}',
        b'{"type":"status","volume":1,"size":1}', b'{"x":1,"x"', b'{"x":1,"x"\xff', b'{"x":1,"x":"\x00"}',
        b'{"ts":1,"type":"news","timestamp":1}', b'{"a\\u0000b":1,"a\\u0000b":2}',
    ],
    "reserved_member": [
        with_members(b'"asset":"x"'), with_members(b'"seq":1'), with_members(b'"ts_recv":1'),
        with_members(b'"simulated":false'), with_members(b'"quality":null'), with_members(b'"\\u0061sset":1'),
        with_members(b'"via":"x"'), with_members(b'"conflated":7'),
        b'{"type":"heartbeat","seq":1}', b'{"seq"', b'{"seq"\xff', b'{"seq":"\xff"}',
        b'{"type":"status","asset":"x"}',
        b'{"type":"news","ts":1,"simulated":true}', b'{"seq":1,"seq":2}',
    ],
    "invalid_type": [
        b'{"type":""}', b'{"type":1}', b'{"type":true}', b'{"type":{}}', b'{"type":["tick"]}',
        b'{"type":"%s"}' % (b"t" * 65), b'{"type":"%s","symbol":5,"ts":"x"}' % ("é" * 33).encode(),
        b'{"type":"%s"}' % (b"\\u0074" * 11), b'{"type":"goodbye","ts":1}', b'{"type":"\\u0067ap","ts":1}',
        b'{"type":"welcome","ts":1}', b'{"type":"subscribed","ts":1}', b'{"type":"unsubscribed","ts":1}',
        b'{"type":"pong","ts":1}', b'{"type":"asset","ts":1}', b'{"type":"health","ts":1}', b'{"type":"gap","ts":1}',
        b'{"type":"switch","ts":1}', b'{"type":"error","ts":1}', b'{"type":"goodbye","symbol":"A","price":1,"ts":1}',
    ],
    "missing_symbol": [
        b"{}", b'{"price":1,"ts":1}', b'{"symbol":null,"price":1,"ts":1}', b'{"price":"x","side":1,"ts":"x"}',
        b'{"type":"tick"}',
    ],
    "invalid_symbol": [
        with_symbol(b'""'), with_symbol(b"1"), with_symbol(b"true"), with_symbol(b"{}"), with_symbol(b'["A"]'),
        with_symbol(b'"%s"' % (b"S" * 65)), with_symbol(b'"%s"' % ("é" * 33).encode()),
        with_symbol(b'"%s"' % (b"\\u00e9" * 33)), with_symbol(b'"a\\"b"'), with_symbol(b'"a\\\\b"'),
        with_symbol(b'"a\\nb"'), with_symbol(b'"a\\u0000b"'), with_symbol(b'"a\\u001f"'), with_symbol(b'"\\u0022"'),
        with_symbol(b'"\\u005c"'), with_symbol(b'"a\x7fb"'), with_symbol(b'"\\u007f"'), with_symbol(b'"\xc2\x80"'),
        with_symbol(b'"\\u009f"'), b'{"type":"news","ts":1,"symbol":""}', b'{"type":"news","symbol":5,"ts":"x"}',
        b'{"symbol":5,"price":"x","ts":"x"}',
    ],
    "missing_price": [
        b'{"symbol":"A","ts":1}', b'{"symbol":"A","ts":1,"volume":1,"side":"buy"}',
        b'{"symbol":"A","ts":1,"price":null,"bid":null}',
    ],
    "invalid_decimal": [
        *map(with_price, (
            b'""', b'"abc"', b'" 1"', b'"1 "', b'"+1"', b'".5"', b'"5."', b'"01"', b'"-"', b'"1e"', b'"1e+"', b'"NaN"',
            b'"Infinity"',
            b'"0x1"', b'"1_000"', b'"1,000"', b'"1.2.3"', b'"--1"', b'"1\\n"', b'"\\u0661"', '"١"'.encode(), b"true",
            b"{}", b"[1]",
            b'"1e1.5"', b'"-.5"', b'"1e 5"', b'"00"', b'"1\\u0000"',
        )),
        with_members(b'"volume":"x"'), with_members(b'"bid":"x"'), with_members(b'"bid_size":false'),
        with_members(b'"ask_price":[]'),
        with_members(b'"ask_volume":{}'), with_members(b'"side":"x","volume":"x"'),
    ],
    "decimal_out_of_range": [
        *map(with_price, (
            b"79228162514264337593543950336", b'"79228162514264337593543950336"', b"7922816251426433759354395033.6",
            b"1e29", b"1e-29",
            b"1e999999", b"1e-999999", b"1e99999999999999999999", b"-1e99", b"1.00000000000000000000000000001",
            b"0.12345678901234567890123456789",
            b"123456789012345678901234567890", b"9" * 60000, b"0." + b"0" * 60000 + b"1", b"8e28", b'"1e2147483648"',
            b'"1e-2147483649"',
            b"1e4294967296", b"1e18446744073709551616", b'"1e-18446744073709551616"', b"10e28",
        )),
        with_members(b'"volume":1e29'), with_members(b'"volume":-1e29'), with_members(b'"ask":1e29,"side":5'),
    ],
    "price_not_positive": [
        *map(with_price, (b"0", b"-1", b'"0"', b'"-0"', b"-0.0", b"0e999999999999", b"0.000", b'"-1e-28"',
        b"-79228162514264337593543950335")),
        b'{"symbol":"A","ts":1,"volume":"x","price":0}', b'{"symbol":"A","ts":1,"bid":1,"price":0}',
    ],
    "negative_value": [
        with_members(b'"volume":-1'), with_members(b'"size":"-1e-28"'), with_members(b'"bid":-1'),
        with_members(b'"bid_volume":-1'), with_members(b'"ask":-1'), with_members(b'"ask_size":-0.01'),
        with_members(b'"bid":"x","volume":-1'), with_members(b'"volume":-1,"bid":1e99,"side":1,"trade_id":""'),
    ],
    "invalid_side": [
        with_members(b'"side":""'), with_members(b'"side":"Buy"'), with_members(b'"side":"b"'),
        with_members(b'"side":1'), with_members(b'"side":true'), with_members(b'"side":"buy "'),
        with_members(b'"side":"sells"'), with_members(b'"side":"x","trade_id":""'),
    ],
    "invalid_identity": [
        *(with_members(b'"%s":%s' % (name, value)) for name in (b"trade_id", b"event_id") for value in (
            b'""', b"1.0", b"1e5", b"1.5", b"true", b"[]", b"{}", b"1" * 129, b'"%s"' % (b"1" * 129),
            b'"%s"' % (b"\\u0041" * 22),
        )),
        with_members(b'"exchange":"","event_id":""'), b'{"symbol":"A","price":1,"ts":"x","trade_id":""}',
    ],
    "invalid_exchange": [
        with_members(b'"exchange":""'), with_members(b'"source":1'), with_members(b'"exchange":true'),
        with_members(b'"exchange":["x"]'), with_members(b'"exchange":"%s"' % (b"E" * 65)),
        with_members(b'"exchange":"%s"' % (b"\\u0041" * 11)), b'{"symbol":"A","price":1,"exchange":""}',
    ],
    "missing_timestamp": [
        b'{"symbol":"A","price":1}', b'{"symbol":"A","price":1,"ts":null}', b'{"symbol":"A","price":1,"time":1}',
        b'{"symbol":"A"}', b'{"type":"news"}', b'{"type":"news","ts_event":null,"headline":1}',
    ],
    "invalid_timestamp": [
        with_ts(b'""'), with_ts(b'"now"'), with_ts(b"true"), with_ts(b"{}"), with_ts(b"[1]"),
        b'{"type":"news","ts":"x"}', b'{"symbol":"A","ts":"x"}',
    ],
    "timestamp_in_future": [],
    "timestamp_too_old": [],
    "line_too_long": [],
    "unterminated_line": [],
}
"""By reason; those that depend on a clock or on the source have tests of their own."""

from __future__ import annotations

import pickle
from decimal import Decimal

import msgspec
import pytest

from finstream_client import (
    AssetState,
    Data,
    Gap,
    Goodbye,
    Health,
    Other,
    ProtocolViolation,
    Switch,
    Tick,
    Warning,
    Welcome,
    decode,
)

TICK = (
    b'{"type":"tick","asset":"binance","seq":42,"symbol":"BTC/USDT","exchange":"binance","price":"67123.4500000000000000000001",'
    b'"volume":"0.012","bid_price":"67123.4","ask_price":"67123.5","trade_id":"123","ts_event":1716230000123000,'
    b'"ts_recv":1716230000123812,"raw_symbol":"BTCUSDT","simulated":true}'
)


def test_a_tick() -> None:
    tick = decode(TICK)
    assert isinstance(tick, Tick)
    assert (tick.type, tick.asset, tick.seq, tick.symbol, tick.simulated) == ("tick", "binance", 42, "BTC/USDT", True)
    assert tick.price == Decimal("67123.4500000000000000000001")
    assert str(tick.price) == "67123.4500000000000000000001"
    assert (tick.bid_volume, tick.side, tick.conflated) == (None, None, 0)
    assert tick.lag_us == 812
    assert tick.raw is TICK
    assert tick.members["raw_symbol"] == "BTCUSDT"
    with pytest.raises(AttributeError):
        tick.price = Decimal(1)  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(tick)) == tick


@pytest.mark.parametrize(
    ("text", "shape", "member", "value"),
    [
        ('{"type":"welcome","protocol":1,"epoch":"e","client":"u","topics":["a"],"policies":{"a":{"max_rate":4.0}}}', Welcome, "client", "u"),
        ('{"type":"asset","asset":"a","state":"backoff","reason":"Crashed"}', AssetState, "state", "backoff"),
        ('{"type":"health","asset":"a","state":"stale","cause":"mute","age_ms":4000}', Health, "state", "stale"),
        ('{"type":"gap","topic":"a","asset":"a","first_seq":1,"last_seq":4,"count":4,"reason":"slow_consumer"}', Gap, "count", 4),
        ('{"type":"warning","code":"slow_consumer","queued_bytes":1}', Warning, "queued_bytes", 1),
        ('{"type":"goodbye","code":"replaced","close_code":4002,"detail":"…","reconnect":false}', Goodbye, "reconnect", False),
        ('{"type":"switch","asset":"best","seq":4,"symbol":"X","from":"a","to":"b","reason":"lag","ts_recv":1}', Switch, "from_", "a"),
        ('{"type":"news","asset":"wire","seq":4,"ts_event":1,"ts_recv":2,"title":"…"}', Data, "seq", 4),
        ('{"type":"of a later version","asset":"a"}', Other, "type", "of a later version"),
        ('{"type":"health","state":7}', Other, "type", "health"),
        ('{"type":"tick","asset":"a","seq":4,"symbol":9}', Data, "seq", 4),
    ],
)  # fmt: skip
def test_kinds(text: str, shape: type, member: str, value: object) -> None:
    message = decode(text.encode())
    assert type(message) is shape
    assert getattr(message, member) == value
    assert message.members == msgspec.json.decode(text)
    assert message.raw == text.encode()


TICK_OF_NO_TEXT = b'{"type":"tick","asset":"a","seq":1,"symbol":"\xff","ts_event":1,"ts_recv":2}'


@pytest.mark.parametrize("text", [b"", b"not json", b"[]", b"7", b"{}", b'{"type":7}', b'{"type":"tick"', b"\xff", TICK_OF_NO_TEXT])
def test_what_is_no_message(text: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="not a message"):
        decode(text)

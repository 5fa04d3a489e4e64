"""Yahoo: its payloads as ticks, its protocol over a real socket, and its recordings against an independent decoding."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.outputs import Output, Status
from finstream_ingestors.yahoo import YahooMapper, float32_text, pricing_type
from local_venue import Session
from local_yahoo import LocalYahoo

SYMBOLS = {"BTC-USD": "BTC/USD", "AAPL": "AAPL", "BRK-B": "BRK/B"}
PRICING = pricing_type()
START_MS = 1756139880000


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def mapper(ledger: Ledger) -> YahooMapper:
    return YahooMapper(SYMBOLS, ledger)


def payload(name: str = "AAPL", price: float = 307.2, time_ms: int = START_MS, **members: Any) -> str:
    members = {"quote_type": 8, "market_hours": 0, "exchange": "NMS", "last_size": 128, "day_volume": 99, **members}
    return base64.b64encode(PRICING(id=name, price=price, time=time_ms, **members).SerializeToString()).decode()


def framed(text: str) -> str:
    return json.dumps({"type": "pricing", "message": text})


def say(mapper: YahooMapper, *messages: str) -> list[Output]:
    return [output for message in messages for output in mapper.map(message.encode(), 0)]


def lines(outputs: list[Output]) -> list[Any]:
    return [json.loads(msgspec.json.encode(output)) for output in outputs]


@pytest.mark.parametrize("wrap", [framed, str])
def test_a_price_is_told_with_what_is_known_of_it(mapper: YahooMapper, wrap: Callable[[str], str]) -> None:
    say(mapper, wrap(payload()))
    assert lines(say(mapper, wrap(payload(time_ms=START_MS + 1000, bid=307.1, bid_size=5, ask=307.3)))) == [
        {
            "symbol": "AAPL", "exchange": "yahoo", "raw_symbol": "AAPL", "price": "307.2", "volume": "128",
            "bid_price": "307.1", "bid_volume": "5", "ask_price": "307.3", "ts": START_MS + 1000,
            "listed_on": "NMS", "market_hours": "pre", "day_volume": 99,
        }
    ]


def test_the_size_of_crypto_is_the_volume_of_the_day_and_not_told(mapper: YahooMapper) -> None:
    crypto = {"quote_type": 41, "from_currency": "BTC", "currency": "USD"}
    say(mapper, payload("BTC-USD", 1.5, **crypto))
    (tick,) = lines(say(mapper, payload("BTC-USD", 1.25, **crypto)))
    assert (tick["symbol"], tick["price"], tick["currency"]) == ("BTC/USD", "1.25", "USD")
    assert "volume" not in tick


def test_the_first_price_is_the_past_and_so_is_what_goes_back_or_repeats(mapper: YahooMapper, ledger: Ledger) -> None:
    assert say(mapper, payload()) == []
    assert say(mapper, payload()) == []
    assert len(say(mapper, payload(price=307.5))) == 1
    assert len(say(mapper, payload(price=307.5, time_ms=START_MS + 1000))) == 1
    assert say(mapper, payload(price=308.0)) == []
    mapper = YahooMapper(SYMBOLS, ledger)  # of the next connection
    assert say(mapper, payload(price=308.5, time_ms=START_MS + 1000)) == []
    assert len(say(mapper, payload(price=308.5, time_ms=START_MS + 2000))) == 1
    mapper = YahooMapper(SYMBOLS, ledger)
    assert len(say(mapper, payload(price=308.6, time_ms=START_MS + 3000))) == 1


def test_a_share_with_a_dash_in_its_name_is_not_taken_for_a_pair(mapper: YahooMapper) -> None:
    (refusal,) = say(mapper, payload("BRK-B"), payload("BRK-B"))
    assert isinstance(refusal, Status)
    assert refusal.detail == "Yahoo: BRK-B is not crypto of BRK/B: write --symbols BRK-B if you mean that"
    assert mapper.tally.ignored == {"not the pair asked for": 2}


def test_what_is_no_price(mapper: YahooMapper) -> None:
    assert say(mapper, '{"type":"status"}', payload(price=0.0)) == []
    assert len(say(mapper, payload(quote_type=7))) == 1
    for broken in (framed("not base64!"), framed(base64.b64encode(b"\xff\xff\xff").decode())):
        with pytest.raises(ValueError, match="no PricingData"):
            say(mapper, broken)


def test_the_time_of_a_message(mapper: YahooMapper) -> None:
    assert mapper.time_of(payload().encode()) == START_MS * 10**6
    assert mapper.time_of(b'{"type":"status"}') is None


@pytest.mark.parametrize("value", ["307.2", "0.0001", "16777216", "1.13702", "112737.766", "1e-7", "340000000000", "0.1"])
def test_a_float_gets_its_shortest_text(value: str) -> None:
    (as_sent,) = struct.unpack("f", struct.pack("f", float(value)))
    assert float32_text(as_sent) == f"{Decimal(value):f}"


def oracle(decoded: list[dict[str, Any]], symbols: dict[str, str]) -> Iterator[dict[str, Any]]:
    """From the decoding that comes with the recordings, which is not ours. The price is compared as the float it was."""
    last: dict[str, tuple[Any, ...]] = {}
    for row in decoded:
        name = row["id"]
        told, last[name] = last.get(name), (row["time"], row["price"], row.get("last_size"), row.get("bid"))
        if told is None:
            continue
        if row["time"] < told[0] or last[name] == told:
            last[name] = told
            continue
        yield {
            "symbol": symbols[name], "raw_symbol": name, "ts": row["time"], "price": row["price"],
            "volume": None if row["quote_type"] == 41 else row.get("last_size"),
        }


def comparable(tick: dict[str, Any]) -> dict[str, Any]:
    as_float = struct.unpack("f", struct.pack("f", float(tick["price"])))[0]
    volume = int(tick["volume"]) if "volume" in tick else None
    return {**{name: tick[name] for name in ("symbol", "raw_symbol", "ts")}, "price": as_float, "volume": volume}


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("frames", "decoded", "count"),
    [
        ("streamer_v2_btcusd_2025a.jsonl", "streamer_v2_btcusd_2025a_decoded.jsonl", 19),
        ("pricing_payloads_base64.txt", "pricing_payloads_decoded.jsonl", 4),
    ],
)
def test_recorded_frames(
    frames: str, decoded: str, count: int, recordings: Path, local: Callable[..., LocalYahoo], start: Callable[..., Any]
) -> None:
    folder = recordings / "yahoo"
    rows = [json.loads(line) for line in (folder / decoded).read_text().splitlines()]
    names = sorted({row["id"] for row in rows})
    symbols = {name: "BTC/USD" if name == "BTC-USD" else name for name in names}
    expected = list(oracle(rows, symbols))
    assert len(expected) == count
    recorded = list(zip((row["id"] for row in rows), (folder / frames).read_text().splitlines(), strict=True))
    server = local(LocalYahoo, lambda session: server.play(session, recorded), listed=names)
    program = start("yahoo", "--symbols", ",".join(symbols[name] for name in names), "--url", server.url)
    assert [comparable(tick) for tick in program.ticks(count)] == expected
    assert not [line for line in program.lines if line.get("state") in {"error", "unmapped"}]
    assert program.terminate() == 0


def test_it_subscribes_as_a_browser_does_and_comes_back_when_it_is_cut_off(
    local: Callable[..., LocalYahoo], start: Callable[..., Any]
) -> None:
    def first(session: Session) -> None:
        session.send(framed(payload()))
        session.send(framed(payload(price=308.0)))
        session.cut()

    def second(session: Session) -> None:
        session.send(framed(payload(price=308.0)))
        session.send(framed(payload(price=309.0, time_ms=START_MS + 1000)))

    server = local(LocalYahoo, first, second, listed=["AAPL", "BTC-USD"])
    program = start("yahoo", "--symbols", "AAPL,BTC/USD", "--url", server.url)
    assert [tick["price"] for tick in program.ticks(2)] == ["308", "309"]
    assert [json.loads(session.requests[0]) for session in server.sessions] == [{"subscribe": ["AAPL", "BTC-USD"]}] * 2
    headers = server.handshakes[0].headers
    assert headers["Origin"] == "https://finance.yahoo.com"
    assert headers["User-Agent"].startswith("Mozilla/5.0")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from finstream_ingestors.kit.exits import MisconfiguredError

    monkeypatch.setitem(__import__("sys").modules, "google.protobuf", None)
    with pytest.raises(MisconfiguredError, match=r"finstream\[ingestors\]"):
        pricing_type()

"""Kraken: its messages as ticks, its protocol over a real socket, and its recordings digit for digit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.outputs import Heartbeat, Output, Patience, Reconnect, Status
from finstream_ingestors.kraken.__main__ import read_listing, subscribe_requests
from finstream_ingestors.kraken.mapper import KrakenMapper
from local_kraken import LocalKraken, with_tickers
from local_venue import Session

SYMBOLS = {"ABC/USD": "ABC/USD", "XYZ/EUR": "XYZ/EUR"}
RECORDING = "v2_book_trade_btc_eth_20260707.jsonl"


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def mapper(ledger: Ledger) -> KrakenMapper:
    return KrakenMapper(SYMBOLS, ledger)


def trade(trade_id: int, *, symbol: str = "ABC/USD", price: str = "0.50") -> str:
    return (
        f'{{"symbol":"{symbol}","side":"sell","price":{price},"qty":2.85085520,"ord_type":"limit","trade_id":{trade_id},'
        '"timestamp":"2026-08-02T14:19:07.241261Z"}'
    )


def trades(*rows: str, kind: str = "update") -> str:
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(rows)}]}}'


def ticker(bid: str = "1.400", ask: str = "2", *, kind: str = "update", stamp: str = '"2026-07-08T05:24:41.204829Z"') -> str:
    dated = f',"timestamp":{stamp}' if stamp else ""
    row = f'{{"symbol":"ABC/USD","bid":{bid},"bid_qty":0.0100,"ask":{ask},"ask_qty":7{dated}}}'
    return f'{{"channel":"ticker","type":"{kind}","data":[{row}]}}'


def say(mapper: KrakenMapper, message: str) -> list[Output]:
    return list(mapper.map(message.encode(), 123))


def lines(outputs: list[Output]) -> list[Any]:
    return [json.loads(msgspec.json.encode(output)) for output in outputs]


COMMON = {"symbol": "ABC/USD", "exchange": "kraken", "raw_symbol": "ABC/USD"}
QUOTED = {"bid_price": "1.400", "bid_volume": "0.0100", "ask_price": "2", "ask_volume": "7"}


def test_numbers_keep_their_text(mapper: KrakenMapper) -> None:
    assert lines(say(mapper, trades(trade(7)))) == [
        {
            **COMMON, "price": "0.50", "volume": "2.85085520", "side": "sell", "trade_id": 7,
            "ts": "2026-08-02T14:19:07.241261Z",
        }
    ]


def test_a_ticker_is_a_quote_and_a_trade_carries_it(mapper: KrakenMapper, ledger: Ledger) -> None:
    assert lines(say(mapper, ticker())) == [{**COMMON, **QUOTED, "ts": "2026-07-08T05:24:41.204829Z"}]
    (tick,) = lines(say(mapper, trades(trade(7))))
    assert QUOTED.items() <= tick.items()
    (tick,) = lines(say(KrakenMapper(SYMBOLS, ledger), trades(trade(8))))  # of the next connection
    assert "bid_price" not in tick


def test_a_ticker_without_a_time_has_ours_and_says_so(mapper: KrakenMapper) -> None:
    (quote,) = lines(say(mapper, ticker(stamp="")))
    assert (quote["ts"], quote["quote_time"]) == (123, "local")


def test_zero_means_that_there_is_no_bid_or_ask(mapper: KrakenMapper) -> None:
    (quote,) = lines(say(mapper, ticker(bid="0.0")))
    assert "bid_price" not in quote
    assert "bid_volume" not in quote
    assert say(mapper, ticker(bid="0", ask="0")) == []
    assert mapper.tally.ignored == {"ticker without a quote": 1}


def test_the_first_snapshots_are_the_past(mapper: KrakenMapper) -> None:
    assert say(mapper, trades(trade(1), trade(2), kind="snapshot")) == []
    assert say(mapper, ticker(kind="snapshot")) == []
    (tick,) = lines(say(mapper, trades(trade(3))))
    assert QUOTED.items() <= tick.items()


def test_snapshots_after_a_reconnect_tell_what_was_missed(mapper: KrakenMapper, ledger: Ledger) -> None:
    say(mapper, trades(trade(1)))
    ledger.quotes["ABC/USD"] = say(mapper, ticker())[0]  # type: ignore[assignment]  # as the pipeline does
    mapper = KrakenMapper(SYMBOLS, ledger)
    snapshot = trades(trade(3), trade(1), trade(2), trade(9, symbol="XYZ/EUR"), kind="snapshot")
    assert [line["trade_id"] for line in lines(say(mapper, snapshot))] == [2, 3]
    assert say(mapper, ticker(kind="snapshot")) == []
    assert len(say(mapper, ticker(bid="1.401", kind="snapshot"))) == 1


def test_holes_in_the_trade_ids_are_told_and_mended_by_late_trades(mapper: KrakenMapper) -> None:
    gap, tick = say(mapper, trades(trade(1), trade(4)))[1:]
    assert isinstance(gap, Status)
    assert (gap.state, gap.detail) == ("gap", "2 lost before trade 4 of ABC/USD; 2 lost in 1 gaps so far")
    assert lines([tick])[0]["trade_id"] == 4
    assert len(say(mapper, trades(trade(2), trade(2), trade(4)))) == 1
    assert (mapper.tally.lost, mapper.tally.gaps) == (1, 1)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('{"channel":"heartbeat"}', [Heartbeat()]),
        ('{"method":"pong","req_id":42,"time_in":"x","time_out":"y"}', [Heartbeat()]),
        (
            '{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD"}',
            [Status("error", "Kraken refuses to subscribe XBT/USD: Currency pair not supported XBT/USD")],
        ),
        ('{"error":"Malformed request"}', [Status("error", "Kraken refuses to answer: Malformed request")]),
        ('{"Error": "Exceeded msg rate"}', [Reconnect("Kraken: Exceeded msg rate", wait_s=5.0)]),
        (
            '{"method":"subscribe","result":{"channel":"ticker","symbol":"ABC/USD","warnings":["old"]},"success":true}',
            [Status("subscribed", "ticker ABC/USD (old)")],
        ),
        (
            '{"channel":"status","type":"update","data":[{"system":"maintenance","connection_id":18446744073709551615}]}',
            [Status("maintenance", "Kraken's trading engine: maintenance"), Patience(5.0)],
        ),
        ('{"channel":"status","data":[{"system":"online"}],"type":"update"}', [Patience(0.0)]),
        ('{"channel":"instrument","type":"update","data":{}}', []),
        ('{"method":"unsubscribe","result":{"channel":"ticker","symbol":"A/B"},"success":true}', []),
    ],
)
def test_what_is_no_tick(mapper: KrakenMapper, message: str, expected: list[Output]) -> None:
    assert say(mapper, message) == expected


def test_unmapped_pairs_are_counted_and_reported_once(mapper: KrakenMapper) -> None:
    (report,) = say(mapper, trades(trade(1, symbol="NEW/USD"), trade(2, symbol="NEW/USD")))
    assert isinstance(report, Status)
    assert mapper.tally.unmapped == {"NEW/USD": 2}


@pytest.mark.parametrize(
    ("message", "expected_ns"),
    [(trades(trade(1)), 1785680347_241261000), ('{"method":"pong","time_in":"2026-08-02T14:19:07Z"}', 1785680347 * 10**9),
     ('{"channel":"status","data":[{"system":"online"}]}', None)],
)
def test_the_time_of_a_message(mapper: KrakenMapper, message: str, expected_ns: int | None) -> None:
    assert mapper.time_of(message.encode()) == expected_ns


def test_listings_of_both_kinds(recordings: Path) -> None:
    rest = read_listing((recordings / "kraken" / "rest_AssetPairs_20210417.jsonl").read_bytes()).symbols
    assert (len(rest), rest["BTC/USD"], rest["DOGE/USD"]) == (293, "BTC/USD", "DOGE/USD")
    assert not [symbol for symbol in rest if "XBT" in symbol or "XDG" in symbol]
    assert len(read_listing((recordings / "kraken" / "v2_instrument_snapshot_202404.json").read_bytes()).symbols) == 683


def test_many_pairs_take_few_requests() -> None:
    requests = [json.loads(text) for text in subscribe_requests([f"S{number}/USD" for number in range(120)])]
    assert [(request["params"]["channel"], len(request["params"]["symbol"])) for request in requests] == [
        ("ticker", 50), ("trade", 50), ("ticker", 50), ("trade", 50), ("ticker", 20), ("trade", 20),
    ]  # fmt: skip
    assert [request["req_id"] for request in requests] == [1, 2, 3, 4, 5, 6]


def oracle(messages: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Knows nothing of the kit: plain ``json``, numbers as their text."""
    quotes: dict[str, dict[str, str]] = {}
    for line in messages:
        message = json.loads(line, parse_float=str, parse_int=str)
        if message.get("channel") not in {"trade", "ticker"}:
            continue
        for row in message["data"]:
            symbol = row["symbol"]
            common = {"symbol": symbol, "exchange": "kraken", "raw_symbol": symbol, "ts": row["timestamp"]}
            if message["channel"] == "ticker":
                quotes[symbol] = {
                    "bid_price": row["bid"], "bid_volume": row["bid_qty"],
                    "ask_price": row["ask"], "ask_volume": row["ask_qty"],
                }
                yield {**common, **quotes[symbol]}
            else:
                yield {
                    **common, **quotes.get(symbol, {}), "price": row["price"], "volume": row["qty"],
                    "side": row["side"], "trade_id": int(row["trade_id"]),
                }


@pytest.mark.recordings
def test_a_recorded_session_digit_for_digit(
    recordings: Path, local: Callable[..., LocalKraken], start: Callable[..., Any]
) -> None:
    recorded = list(with_tickers((recordings / "kraken" / RECORDING).read_text().splitlines()))
    expected = list(oracle(recorded))
    assert sum("price" in tick for tick in expected) == 17
    assert len(expected) > 100
    server = local(LocalKraken, lambda session: server.play(session, recorded), listed=["BTC/USD", "ETH/USD"])
    program = start("kraken", "--symbols", "BTC/USD,ETH/USD", "--url", server.url)
    assert program.ticks(len(expected)) == expected
    assert not [line for line in program.lines if line.get("state") in {"gap", "error", "unmapped"}]
    assert program.terminate() == 0


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["v2_frames_2024_2026", "documented_and_edge_examples"])
def test_single_frames_are_understood(name: str, recordings: Path, run: Callable[..., Any]) -> None:
    path = recordings / "kraken" / f"{name}.jsonl"
    listing = recordings / "kraken" / "v2_instrument_snapshot_202404.json"
    result = run("kraken", "--replay", str(path), "--listing", str(listing), "--speed", "max")
    assert result.returncode == 0
    end = json.loads(result.stdout.splitlines()[-1])
    assert end["state"] == "finished"
    unreadable = 0 if name.startswith("v2") else 2  # v1 sends arrays
    assert (f"{unreadable} unreadable" in end["detail"]) == (unreadable > 0)


def test_it_subscribes_and_a_refused_pair_leaves_the_others_alone(
    local: Callable[..., LocalKraken], start: Callable[..., Any]
) -> None:
    server = local(LocalKraken, lambda session: session.send(trades(trade(1))), listed=["ABC/USD"])
    program = start("kraken", "--symbols", "NOPE/USD,ABC/USD", "--url", server.url)
    assert program.next_status("error") == "Kraken refuses to subscribe NOPE/USD: Currency pair not supported NOPE/USD"
    assert program.next_tick()["trade_id"] == 1
    params = [json.loads(text)["params"] for text in server.sessions[0].requests]
    both = ["NOPE/USD", "ABC/USD"]
    assert params == [
        {"channel": "ticker", "symbol": both, "event_trigger": "bbo", "snapshot": True},
        {"channel": "trade", "symbol": both, "snapshot": True},
    ]


def test_after_a_cut_line_the_snapshot_fills_the_gap(local: Callable[..., LocalKraken], start: Callable[..., Any]) -> None:
    def first(session: Session) -> None:
        session.send(trades(trade(1), trade(2)))
        session.cut()

    def second(session: Session) -> None:
        session.send(trades(trade(1), trade(2), trade(3), trade(4), kind="snapshot"))
        session.send(trades(trade(5)))

    server = local(LocalKraken, first, second, listed=["ABC/USD"])
    program = start("kraken", "--symbols", "ABC/USD", "--url", server.url)
    assert [tick["trade_id"] for tick in program.ticks(5)] == [1, 2, 3, 4, 5]
    assert not [line for line in program.lines if line.get("state") == "gap"]


def test_beyond_the_rate_limit_it_leaves_and_comes_back_later(
    local: Callable[..., LocalKraken], start: Callable[..., Any]
) -> None:
    server = local(LocalKraken, lambda _session: None, lambda session: session.send(trades(trade(1))), listed=["ABC/USD"])
    server.requests_left = 1
    program = start("kraken", "--symbols", "ABC/USD", "--url", server.url)
    assert program.next_status("reconnecting").startswith("Kraken: Exceeded msg rate; next attempt in 5.0 s")
    assert program.next_tick()["trade_id"] == 1
    assert server.sessions[1].arrivals_s[0] - server.sessions[0].arrivals_s[-1] > 4.9


def test_without_any_frame_for_five_seconds_it_connects_again(
    local: Callable[..., LocalKraken], start: Callable[..., Any]
) -> None:
    server = local(LocalKraken, lambda _session: None, lambda session: session.send(trades(trade(1))), listed=["ABC/USD"])
    program = start("kraken", "--symbols", "ABC/USD", "--url", server.url)
    assert program.next_status("reconnecting").startswith("silent for 5 s")
    assert program.next_tick()["trade_id"] == 1

"""OKX: its messages as ticks, its protocol over a real socket, and its recordings digit for digit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from finstream_ingestors.kit.exits import MisconfiguredError
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.outputs import Heartbeat, Output, Reconnect, Status, Tick
from finstream_ingestors.okx import OkxMapper, read_listing, subscribe_requests
from local_okx import LocalOkx, OldLocalOkx
from local_venue import Session

SYMBOLS = {"ABC-USDT": "ABC/USDT", "XYZ-USDT": "XYZ/USDT"}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def mapper(ledger: Ledger) -> OkxMapper:
    return OkxMapper(SYMBOLS, ledger)


def push(channel: str, *rows: dict[str, Any], name: str = "ABC-USDT") -> str:
    return json.dumps({"arg": {"channel": channel, "instId": name}, "data": rows})


def trade(trade_id: int, name: str = "ABC-USDT") -> dict[str, Any]:
    return {
        "instId": name, "tradeId": str(trade_id), "px": "42219.90", "sz": "0.120", "side": "buy", "ts": "1630048897897",
        "count": "3", "source": "0", "seqId": 81625379835,
    }  # fmt: skip


def best(bid: str = "8888.80", ask: str = "9999.9") -> dict[str, Any]:
    def level(price: str) -> list[list[str]]:
        return [[price, "5", "0", "3"]] if price else []

    return {"bids": level(bid), "asks": level(ask), "ts": "1749044565306", "seqId": 1}


def ticker(bid: str = "8888.80", ask: str = "9999.9") -> dict[str, Any]:
    sizes = {"bidSz": "5" if bid else "", "askSz": "5" if ask else ""}
    return {"instId": "ABC-USDT", "last": "", "bidPx": bid, "askPx": ask, **sizes, "ts": "1749044565306"}


def say(mapper: OkxMapper, message: str) -> list[Output]:
    return list(mapper.map(message.encode(), 0))


def lines(outputs: list[Output]) -> list[Any]:
    return [json.loads(msgspec.json.encode(output)) for output in outputs]


COMMON = {"symbol": "ABC/USDT", "exchange": "okx", "raw_symbol": "ABC-USDT"}
QUOTED = {"bid_price": "8888.80", "bid_volume": "5", "ask_price": "9999.9", "ask_volume": "5"}


def test_a_trade_keeps_every_digit_and_carries_the_quote(mapper: OkxMapper) -> None:
    say(mapper, push("trades", trade(1)))
    say(mapper, push("bbo-tbt", best()))
    assert lines(say(mapper, push("trades", trade(2)))) == [
        {
            **COMMON, **QUOTED, "price": "42219.90", "volume": "0.120", "side": "buy", "trade_id": "2",
            "ts": "1630048897897",
        }
    ]


@pytest.mark.parametrize(("channel", "row"), [("bbo-tbt", best), ("tickers", ticker)])
def test_the_first_quote_is_the_past_and_later_ones_are_told(
    mapper: OkxMapper, channel: str, row: Callable[..., dict[str, Any]]
) -> None:
    assert say(mapper, push(channel, row())) == []
    assert lines(say(mapper, push(channel, row()))) == [{**COMMON, **QUOTED, "ts": "1749044565306"}]
    (quote,) = lines(say(mapper, push(channel, row(bid=""))))
    assert "bid_price" not in quote
    assert "bid_volume" not in quote
    assert say(mapper, push(channel, row(bid="", ask=""))) == []


def test_the_first_push_is_the_past_unless_it_lies_after_what_was_told(mapper: OkxMapper, ledger: Ledger) -> None:
    assert say(mapper, push("trades", trade(7))) == []
    assert say(mapper, push("trades", trade(7), name="XYZ-USDT")) == []
    (told,) = lines(say(mapper, push("trades", trade(8))))
    assert told["trade_id"] == "8"
    ledger.quotes["ABC-USDT"] = Tick(ts=1, **COMMON, **QUOTED)
    mapper = OkxMapper(SYMBOLS, ledger)  # of the next connection
    assert say(mapper, push("trades", trade(8))) == []
    assert say(mapper, push("bbo-tbt", best())) == []
    mapper = OkxMapper(SYMBOLS, ledger)
    assert lines(say(mapper, push("trades", trade(9))))[0]["trade_id"] == "9"
    assert len(say(mapper, push("bbo-tbt", best(bid="8888.81")))) == 1


def test_a_repeated_trade_is_told_once_and_a_step_in_its_ids_is_no_loss(mapper: OkxMapper) -> None:
    say(mapper, push("trades", trade(1)))
    outputs = lines(say(mapper, push("trades", trade(5), trade(5), trade(9))))
    assert [line["trade_id"] for line in outputs] == ["5", "9"]
    assert mapper.tally.gaps == 0


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("pong", [Heartbeat()]),
        ('{"event":"subscribe","arg":{"channel":"trades","instId":"A-B"},"connId":"x"}', [Status("subscribed", "trades A-B")]),
        ('{"event":"error","code":"60012","msg":"Invalid request"}', [Status("error", "OKX: Invalid request (code 60012)")]),
        ('{"event":"notice","code":"64008","msg":"Please reconnect."}', [Reconnect("OKX announces: Please reconnect.")]),
        ('{"event":"notice","code":"1","msg":"m"}', [Status("maintenance", "OKX announces: m (code 1)")]),
        ('{"event":"channel-conn-count","channel":"orders","connCount":"2"}', []),
        ('{"arg":{"channel":"status"},"data":[{"state":"completed"}]}', []),
    ],
)  # fmt: skip
def test_what_is_no_tick(mapper: OkxMapper, message: str, expected: list[Output]) -> None:
    assert say(mapper, message) == expected


def test_unmapped_instruments_are_counted_and_reported_once(mapper: OkxMapper) -> None:
    (report,) = say(mapper, push("trades", trade(1), name="NEW-USDT"))
    assert isinstance(report, Status)
    assert say(mapper, push("bbo-tbt", best(), name="NEW-USDT")) == []
    assert mapper.tally.unmapped == {"NEW-USDT": 2}


@pytest.mark.parametrize(
    ("message", "expected_ns"),
    [(push("trades", trade(1)), 1630048897897 * 10**6), ("pong", None), ('{"event":"error","msg":"m","code":"1"}', None)],
)
def test_the_time_of_a_message(mapper: OkxMapper, message: str, expected_ns: int | None) -> None:
    assert mapper.time_of(message.encode()) == expected_ns


@pytest.mark.recordings
def test_the_listing(recordings: Path) -> None:
    symbols = read_listing((recordings / "okx" / "rest_instruments_spot_20220513.jsonl").read_bytes()).symbols
    assert len(symbols) == 513
    assert symbols["BTC-USDT"] == "BTC/USDT"


def test_derivatives_are_not_taken_for_pairs() -> None:
    body = b'{"code":"0","data":[{"instId":"BTC-USD-SWAP","baseCcy":"","quoteCcy":"","uly":"BTC-USD"}]}'
    assert read_listing(body).symbols == {}


def test_requests_stay_below_the_venues_limits() -> None:
    requests = subscribe_requests([f"LONG{number:04}NAME-USDT" for number in range(500)])
    assert len(requests) == 5
    assert max(map(len, requests)) < 65_536
    with pytest.raises(MisconfiguredError, match="OKX"):
        subscribe_requests(["X-Y"] * 100_000)


def oracle(messages: Iterable[str], names: set[str]) -> Iterator[dict[str, Any]]:
    """Knows nothing of the kit. What a subscription brings first is the past."""
    quotes: dict[str, dict[str, str]] = {}
    begun: set[tuple[str, str]] = set()
    for line in messages:
        message = json.loads(line)
        name, channel = message["arg"]["instId"], message["arg"]["channel"]
        if "data" not in message or channel not in {"tickers", "trades"} or name not in names:
            continue
        is_first = (channel, name) not in begun
        begun.add((channel, name))
        for row in message["data"]:
            common = {"symbol": name.replace("-", "/"), "exchange": "okx", "raw_symbol": name, "ts": row["ts"]}
            if channel == "tickers":
                keys = {"bid_price": "bidPx", "bid_volume": "bidSz", "ask_price": "askPx", "ask_volume": "askSz"}
                quotes[name] = {ours: row[theirs] for ours, theirs in keys.items()}
                tick = {**common, **quotes[name]}
            else:
                trade = {"price": row["px"], "volume": row["sz"], "side": row["side"], "trade_id": row["tradeId"]}
                tick = {**common, **quotes.get(name, {}), **trade}
            if not is_first:
                yield tick


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("public_tickers_trades_books_20220513", ["BTC-USDT"]),
        ("public_tickers_trades_books_20210722", ["FUN-BTC", "AUCTION-USDT", "OKT-BTC", "PAY-BTC", "ONT-USDT", "DHT-USDT"]),
    ],
)
def test_a_recorded_session_digit_for_digit(
    name: str, pairs: list[str], recordings: Path, local: Callable[..., LocalOkx], start: Callable[..., Any]
) -> None:
    recorded = (recordings / "okx" / f"{name}.jsonl").read_text().splitlines()
    expected = list(oracle(recorded, set(pairs)))
    assert sum("price" in tick for tick in expected) == (68 if len(pairs) == 1 else 21)
    server = local(OldLocalOkx, lambda session: server.play(session, recorded), listed=pairs)
    program = start("okx", "--symbols", ",".join(pairs).replace("-", "/"), "--url", server.url)
    assert program.ticks(len(expected)) == expected
    assert not [line for line in program.lines if line.get("state") in {"gap", "error", "unmapped"}]
    assert program.terminate() == 0


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["frames_2022_2026.jsonl", "documented_examples.jsonl", "documented_pong_frame.txt"])
def test_single_frames_are_understood(name: str, recordings: Path, run: Callable[..., Any]) -> None:
    result = run("okx", "--replay", str(recordings / "okx" / name), "--symbols", "BTC/USDT", "--speed", "max")
    assert result.returncode == 0
    assert "unreadable" not in result.stdout


def test_it_subscribes_and_an_unknown_instrument_leaves_the_others_alone(
    local: Callable[..., LocalOkx], start: Callable[..., Any]
) -> None:
    def act(session: Session) -> None:
        session.send(push("trades", trade(1)))
        session.send(push("trades", trade(2)))

    server = local(LocalOkx, act, listed=["ABC-USDT"])
    program = start("okx", "--symbols", "NOPE/USDT,ABC/USDT", "--url", server.url)
    assert "NOPE-USDT doesn't exist. (code 60018)" in program.next_status("error")
    assert program.next_tick()["trade_id"] == "2"
    arguments = [{"channel": channel, "instId": name} for name in ("NOPE-USDT", "ABC-USDT") for channel in ("trades", "bbo-tbt")]
    assert json.loads(server.sessions[0].requests[0]) == {"op": "subscribe", "args": arguments}


def test_the_text_ping_is_sent_and_its_answer_keeps_the_connection(
    local: Callable[..., LocalOkx], start: Callable[..., Any]
) -> None:
    def act(session: Session) -> None:
        session.send(push("trades", trade(1)))

    class Talkative(LocalOkx):
        def answer(self, session: Session, text: str) -> None:
            super().answer(session, text)
            if text == "ping":
                session.send(push("trades", trade(2)))

    server = local(Talkative, act, listed=["ABC-USDT"])
    program = start("okx", "--symbols", "ABC/USDT", "--url", server.url, "--idle-s", "14")
    assert program.next_tick()["trade_id"] == "2"
    assert server.sessions[0].requests[1] == "ping"
    assert {"type": "heartbeat"} in program.lines
    assert server.connections == 1


def test_an_announced_upgrade_costs_no_trade(local: Callable[..., LocalOkx], start: Callable[..., Any]) -> None:
    """The notice comes 30 s before the end: the next connection opens beside the old one and takes over."""
    first: list[Session] = []

    def old(session: Session) -> None:
        first.append(session)
        session.send(push("trades", trade(1)))
        session.send(push("trades", trade(2)))
        session.send({"event": "notice", "code": "64008", "msg": "Please reconnect.", "connId": "x"})

    def new(session: Session) -> None:
        for number in (2, 3, 4):
            session.send(push("trades", trade(number)))
            first[0].send(push("trades", trade(number)))
        session.send(push("trades", trade(5)))

    server = local(LocalOkx, old, new, listed=["ABC-USDT"])
    program = start("okx", "--symbols", "ABC/USDT", "--url", server.url)
    assert [tick["trade_id"] for tick in program.ticks(4)] == ["2", "3", "4", "5"]
    assert program.terminate() == 0

"""Connections that follow one another: no trade is lost or told twice when the venue limits how long one lives, and a venue
that fails again and again is left alone for longer."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from finstream_ingestors.binance.mapper import BinanceMapper
from finstream_ingestors.kit.backoff import Backoff
from finstream_ingestors.kit.ledger import Ledger
from finstream_ingestors.kit.lines import LineWriter
from finstream_ingestors.kit.listing_watch import watch_listing
from finstream_ingestors.kit.listings import NotFetchedError
from finstream_ingestors.kit.live import Live
from finstream_ingestors.kit.mapper import Endpoint, Feed
from finstream_ingestors.kit.outputs import Tick
from finstream_ingestors.kit.symbols import Listing
from finstream_ingestors.kit.trade_ids import REMEMBERED, TradeIds
from finstream_ingestors.kraken.mapper import KrakenMapper
from local_binance import LocalBinance
from local_venue import Session
from websockets.exceptions import ConnectionClosed


def trade(number: int) -> str:
    data = {"e": "trade", "E": 1, "s": "ABCUSD", "t": number, "p": "1.50", "q": "2", "T": 1700000000000, "m": False, "M": True}
    return json.dumps({"stream": "abcusd@trade", "data": data})


def quote(number: int) -> str:
    data = {"u": number, "s": "ABCUSD", "b": str(number), "B": "5", "a": str(number + 1), "A": "6"}
    return json.dumps({"stream": "abcusd@bookTicker", "data": data})


class Market:
    """Tells all connections the same trades and quotes, numbered without a hole, each in its own thread's pace."""

    def __init__(self) -> None:
        self.number = 0
        self._changed = threading.Condition()
        self.is_over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self.is_over:
            with self._changed:
                self.number += 1
                self._changed.notify_all()
            time.sleep(0.0005)

    def tell(self, session: Session, *, behind: int = 0) -> None:
        """From now on, so many numbers behind the present."""
        told = self.number - behind
        while not self.is_over:
            with self._changed:
                self._changed.wait(5.0)
                until = self.number - behind
            for number in range(told + 1, until + 1):
                session.send(quote(number))
                session.send(trade(number))
            told = max(told, until)

    def close(self) -> None:
        with self._changed:
            self.is_over = True
            self._changed.notify_all()
        self._thread.join()


@pytest.fixture
def market() -> Iterator[Market]:
    told = Market()
    yield told
    told.close()


@pytest.mark.slow
@pytest.mark.parametrize("behind", [(0, 0, 0, 0), (0, 40, 0, 40), (40, 0, 40, 0)], ids=["level", "new one late", "old one late"])
def test_connections_that_reach_their_age_are_replaced_without_a_gap(
    behind: tuple[int, ...], market: Market, local: Callable[..., LocalBinance], start: Callable[..., Any]
) -> None:
    acts = [partial(market.tell, behind=numbers) for numbers in behind]
    server = local(LocalBinance, *acts, listed=["abcusd"])
    program = start("binance", "--symbols", "ABC/USD", "--url", server.url, "--lifetime-s", "0.5")
    ticks = []
    for _ in range(2):
        while True:
            line = program.next()
            if "type" not in line:
                ticks.append(line)
            elif line.get("state") == "succeeded":
                break
    ticks += program.ticks(200)
    market.close()
    trades = [tick["trade_id"] for tick in ticks if "price" in tick]
    quotes = [int(tick["bid_price"]) for tick in ticks if "price" not in tick]
    assert trades == list(range(trades[0], trades[0] + len(trades)))
    assert len(trades) > 1000
    assert all(later > earlier for earlier, later in itertools.pairwise(quotes))
    assert not [line for line in program.lines if line.get("state") == "gap"]
    assert server.connections >= 3
    assert program.terminate() == 0


def test_when_the_old_one_ends_early_the_new_one_takes_over_at_once(
    local: Callable[..., LocalBinance], start: Callable[..., Any]
) -> None:
    firsts: list[Session] = []

    def first(session: Session) -> None:
        firsts.append(session)
        session.send(quote(1))
        session.send(trade(1))
        session.send({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1770123456789}})

    def second(session: Session) -> None:
        session.send(quote(1))
        session.send(quote(2))
        session.send(trade(1))
        session.send(trade(2))
        firsts[0].connection.close(1001, "server shutdown")
        session.send(trade(3))

    server = local(LocalBinance, first, second, listed=["abcusd"])
    program = start("binance", "--symbols", "ABC/USD", "--url", server.url)
    began_s = time.monotonic()
    ticks = program.ticks(5)
    assert time.monotonic() - began_s < 2.5  # it does not wait for the usual overlap of 3 s
    assert [tick["trade_id"] for tick in ticks if "price" in tick] == [1, 2, 3]
    assert [tick["bid_price"] for tick in ticks if "price" not in tick] == ["1", "2"]


def test_a_new_one_that_fails_leaves_the_old_one_alone(
    local: Callable[..., LocalBinance], start: Callable[..., Any]
) -> None:
    def first(session: Session) -> None:
        session.send({"e": "serverShutdown", "E": 1770123456789})
        for number in range(1, 200):  # it goes on while two further ones fail
            session.send(trade(number))
            time.sleep(0.01)

    def fail(session: Session) -> None:
        session.connection.close(1013, "try again later")

    server = local(LocalBinance, first, fail, fail, listed=["abcusd"])
    program = start("binance", "--symbols", "ABC/USD", "--url", server.url)
    assert [tick["trade_id"] for tick in program.ticks(199)] == list(range(1, 200))
    planned, *failures = [line["detail"] for line in program.lines if line.get("state") == "reconnecting"]
    assert "next attempt in 0.0 s, beside the open connection" in planned
    assert any("try again later" in detail for detail in failures)


@pytest.fixture
def nowhere() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield fd
    os.close(fd)


class Statuses(LineWriter):
    """Keeps what is told, and sets an event at the state that is waited for."""

    def __init__(self, fd: int, state: str, times: int = 1) -> None:
        super().__init__(fd)
        self.told: list[tuple[str, str]] = []
        self.done = asyncio.Event()
        self._state = state
        self._times = times

    def status(self, state: str, detail: str) -> None:
        self.told.append((state, detail))
        if [told for told, _ in self.told].count(self._state) == self._times:
            self.done.set()


def test_after_repeated_failures_the_circuit_opens(venue: Callable[..., Any], nowhere: int) -> None:
    """Each connection ends at once: after three failures in a row there is one attempt for each rest."""

    async def stream(url: str) -> tuple[Statuses, list[float]]:
        writer = Statuses(nowhere, "circuit", times=2)
        rests: list[float] = []

        def draw(low: float, high: float) -> float:
            rests.append(low)
            return high / 1000

        backoff = Backoff(initial_s=0.001, circuit_after=3, circuit_s=60.0, draw=draw)
        endpoint = Endpoint(url=url, requests=["subscribe"], idle_s=10.0)
        live = Live(Feed(endpoint=endpoint, open_mapper=partial(BinanceMapper, {"ABCUSD": "ABC/USD"})), writer, backoff)
        task = asyncio.create_task(live.run())
        await asyncio.wait_for(writer.done.wait(), 20)
        task.cancel()
        await asyncio.wait([task])
        return writer, rests

    server = venue(*[lambda connection: connection.close()] * 10)
    writer, rests = asyncio.run(stream(server.url))
    assert rests == [0.0, 0.0, 60.0, 60.0]
    circuit = [detail for state, detail in writer.told if state == "circuit"]
    assert circuit[0].startswith("open after 3 failures in a row")
    assert circuit[1].startswith("open after 4 failures in a row")


def test_failures_before_a_good_connection_do_not_delay_the_one_after_it(
    venue: Callable[..., Any], nowhere: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An announced end leaves little time, and the venue's last outage may be a day ago."""
    monkeypatch.setattr("finstream_ingestors.kit.live._STABLE_S", 0.0)

    async def stream(url: str) -> Statuses:
        writer = Statuses(nowhere, "reconnecting")
        backoff = Backoff(circuit_after=3, circuit_s=60.0)
        backoff.attempts = 3
        endpoint = Endpoint(url=url, requests=["subscribe"], idle_s=10.0)
        live = Live(Feed(endpoint=endpoint, open_mapper=partial(BinanceMapper, {"ABCUSD": "ABC/USD"})), writer, backoff)
        task = asyncio.create_task(live.run())
        await asyncio.wait_for(writer.done.wait(), 20)
        task.cancel()
        await asyncio.wait([task])
        return writer

    def announce(connection: Any) -> None:
        connection.send(trade(1))
        connection.send(json.dumps({"e": "serverShutdown", "E": 1770123456789}))
        for _request in connection:
            pass

    server = venue(announce)
    [told] = [detail for state, detail in asyncio.run(stream(server.url)).told if state == "reconnecting"]
    assert "next attempt in 0.0 s, beside the open connection" in told


def reconnects(
    server: Any, nowhere: int, times: int, mapper: Any = BinanceMapper, *, lifetime_s: float | None = None
) -> list[str]:
    """What the statuses say, until it has been said so many times that a connection follows."""

    async def stream() -> Statuses:
        writer = Statuses(nowhere, "reconnecting", times)
        endpoint = Endpoint(url=server.url, requests=["subscribe"], idle_s=10.0, lifetime_s=lifetime_s)
        feed = Feed(endpoint=endpoint, open_mapper=partial(mapper, {"ABCUSD": "ABC/USD"}))
        live = Live(feed, writer, Backoff(initial_s=0.001))
        task = asyncio.create_task(live.run())
        await asyncio.wait_for(writer.done.wait(), 20)
        task.cancel()
        await asyncio.wait([task])
        return writer

    return [detail for state, detail in asyncio.run(stream()).told if state == "reconnecting"]


def hold(connection: Any) -> None:
    for _request in connection:
        pass


def test_a_venue_that_wants_to_be_left_alone_says_so_to_the_one_that_waits_as_well(
    venue: Callable[..., Any], nowhere: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finstream_ingestors.kit.leg._OVERLAP_S", 0.05)

    def refuse(connection: Any) -> None:
        connection.send('{"Error": "Exceeded msg rate"}')
        hold(connection)

    server = venue(hold, refuse)
    planned, refused = reconnects(server, nowhere, 2, KrakenMapper, lifetime_s=0.05)
    assert "beside the open connection" in planned
    assert "Kraken: Exceeded msg rate; next attempt in 5.0 s" in refused
    assert server.connections == 2


def test_during_a_maintenance_there_are_longer_pauses(
    venue: Callable[..., Any], nowhere: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a connection says nothing at all; until the venue says that it is back."""

    def say(*systems: str) -> Callable[[Any], None]:
        def act(connection: Any) -> None:
            for system in systems:
                connection.send(json.dumps({"channel": "status", "type": "update", "data": [{"system": system}]}))

        return act

    monkeypatch.setattr("finstream_ingestors.kraken.mapper._MAINTENANCE_PAUSE_S", 0.3)
    server = venue(say("maintenance", "online"), say("online", "maintenance"), say(), say("online"))
    pauses = [detail.partition("next attempt in ")[2][:5] for detail in reconnects(server, nowhere, 4, KrakenMapper)]
    assert pauses == ["0.0 s", "0.3 s", "0.3 s", "0.0 s"]


def test_trade_ids_count_what_lies_before_all_they_remember_as_told() -> None:
    trade_ids = TradeIds()
    for number in range(1, 3 * REMEMBERED):
        assert trade_ids.add(number)
        assert trade_ids.skipped == 0
    for number in range(1, 3 * REMEMBERED):
        assert not trade_ids.add(number)


def test_quotes_are_told_once_by_number_until_the_venue_begins_anew() -> None:
    ledger = Ledger()
    assert [ledger.admit_quote("A", number) for number in (10**9, 10**9, 10**9 - 5, 10**9 + 1, 7, 6, 8)] == [
        True, False, False, True, True, False, True,
    ]  # fmt: skip
    assert ledger.admit_quote("B", 5)


@pytest.mark.parametrize(
    ("told", "quote", "expected"),
    [
        ({"ts": "5"}, {"ts": "5"}, True), ({"ts": "5"}, {"ts": "6"}, False), ({"ts": 6}, {"ts": 5, "bid_price": "9"}, True),
        ({"ts": 6, "quote_time": "local"}, {"ts": 5, "quote_time": "local"}, True),
        ({"ts": 6, "quote_time": "local"}, {"ts": 5, "quote_time": "local", "bid_price": "9"}, False),
    ],
)  # fmt: skip
def test_which_quotes_of_another_connection_are_no_news(told: dict[str, Any], quote: dict[str, Any], expected: bool) -> None:
    ledger = Ledger()
    names = {"symbol": "A/B", "exchange": "x", "raw_symbol": "AB"}
    assert not ledger.is_superseded(Tick(**names, **quote))
    ledger.quotes["AB"] = Tick(**names, **told)
    assert ledger.is_superseded(Tick(**names, **quote)) is expected


class Daily:
    """Stands in for what is fetched from a venue."""

    def __init__(self, *answers: Listing | Exception) -> None:
        self._answers = list(answers)

    def refresh(self) -> Listing:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_while_running_the_listing_is_fetched_anew_and_what_is_gone_is_told(nowhere: int) -> None:
    async def watch() -> list[tuple[str, str]]:
        writer = Statuses(nowhere, "listing", times=3)
        both, one = Listing(symbols={"A": "A/B", "C": "C/B"}), Listing(symbols={"A": "A/B"}, halted={"A": "BREAK"})
        daily = Daily(both, NotFetchedError("no answer"), one)
        task = asyncio.create_task(watch_listing(daily, ["A", "C"], writer, period_s=0.01))  # type: ignore[arg-type]
        await asyncio.wait_for(writer.done.wait(), 10)
        task.cancel()
        await asyncio.wait([task])
        return writer.told

    assert asyncio.run(watch())[:3] == [
        ("listing", "no answer; the one of yesterday stays"), ("listing", "no longer listed: C"),
        ("listing", "not traded now: A/B (BREAK)"),
    ]  # fmt: skip


def test_the_rate_limit_of_the_local_venue_is_real(local: Callable[..., LocalBinance]) -> None:
    from websockets.sync.client import connect

    server = local(LocalBinance, listed=["abcusd"])

    def ask(client: Any) -> None:
        for number in range(20):
            client.send(json.dumps({"method": "SUBSCRIBE", "params": ["x@trade"], "id": number}))
            client.recv()

    with connect(server.url) as client, pytest.raises(ConnectionClosed) as closed:
        ask(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008

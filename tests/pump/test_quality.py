"""The checks of a tick's quality, against a model that knows them in other words."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import running, until

from finstream.pump import AssetStatistics, LineRejected
from finstream.vocabulary.settings import Finding, QualitySettings

NOW_NS = time.time_ns()
WINDOW = 64
OFF = QualitySettings(duplicates="ignore", out_of_order="ignore", crossed_quotes="ignore")


def tick(number: int = 0, **members: Any) -> dict[str, Any]:
    return {"symbol": "A", "price": "1", "ts": NOW_NS + number} | members


Outcome = tuple[list[dict[str, Any]], AssetStatistics, list[LineRejected]]


def lines(*ticks: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in ticks)


async def through(checks: QualitySettings, *ticks: dict[str, Any]) -> Outcome:
    """What becomes of these ticks: the messages, the counts, the rejected lines."""
    async with running() as rig:
        feed = rig.feed()
        rig.pump.check_quality(feed.asset, checks)
        subscriber = rig.subscriber((feed.asset, None))
        await feed.write_and_wait(lines(*ticks))
        counted = rig.pump.asset_statistics(feed.asset)
        messages = await subscriber.messages(counted.seq)
        await until(lambda: len(rig.lines) == sum(counted.rejected.values()))
        rejected = [line for line in rig.lines if isinstance(line, LineRejected)]
        return [json.loads(message) for message in messages], counted, rejected


async def test_nothing_is_checked_unless_asked_for() -> None:
    async with running() as rig:
        feed = rig.feed()
        ticks = [tick(-each, trade_id="1", price="1e6" if each % 2 else "1", bid="2", ask="1") for each in range(20)]
        await feed.write_and_wait(lines(*ticks))
        counted = rig.pump.asset_statistics(feed.asset)
        assert (counted.ticks, counted.rejected, counted.questioned) == (20, {}, {})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"trade_id": "7"}, {"trade_id": "7"}, True),
        ({"trade_id": 7}, {"trade_id": "7"}, True),
        ({"trade_id": "7", "price": "2"}, {"trade_id": "7"}, True),
        ({"trade_id": "7"}, {"trade_id": "77"}, False),
        ({"trade_id": "7", "symbol": "B"}, {"trade_id": "7"}, False),
        ({"trade_id": "7", "exchange": "x"}, {"trade_id": "7", "exchange": "y"}, False),
        ({"trade_id": "123456789"}, {"trade_id": "123456780"}, False),
        ({"trade_id": "1234567890123456"}, {"trade_id": "1234567890123457"}, False),
        ({"trade_id": "12345678901234567"}, {"trade_id": "12345678901234567"}, True),
        ({"trade_id": "12345678901234567"}, {"trade_id": "12345678901234568"}, False),
        ({"trade_id": "12345678901234567"}, {"trade_id": "12345678901234567", "symbol": "B"}, False),
        ({"event_id": "e"}, {"event_id": "e", "symbol": "B"}, True),
        ({"event_id": "e", "trade_id": "7"}, {"event_id": "f", "trade_id": "7"}, False),
        ({"event_id": "e"}, {"trade_id": "e"}, False),
        ({}, {}, False),
        ({"trade_id": "7"}, {"trade_id": "7", "ts": NOW_NS + 1}, False),
    ],
)
async def test_what_makes_two_ticks_the_same(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    checks = msgspec.structs.replace(OFF, duplicates="drop")
    messages, counted, rejected = await through(checks, tick(**one), tick(**other))
    assert len(messages) == counted.ticks == 2 - same
    assert counted.questioned == counted.rejected == ({"duplicate": 1} if same else {})
    assert [json.loads(each.line) for each in rejected] == ([tick(**other)] if same else [])
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1)), "what is dropped leaves no gap"


@pytest.mark.parametrize("choice", ["ignore", "count", "flag", "drop"])
@pytest.mark.parametrize(
    ("key", "word", "bad"),
    [
        ("duplicates", "duplicate", {"trade_id": "1", "ts": NOW_NS}),
        ("out_of_order", "out_of_order", {"ts": NOW_NS - 1}),
        ("crossed_quotes", "crossed_quote", {"bid": "1.10", "ask": "1.0999999999999999999999999999"}),
        ("price_anomalies", "price_anomaly", {"price": "1.1000001"}),
    ],
)
async def test_what_is_done_is_a_choice(choice: Finding, key: str, word: str, bad: dict[str, Any]) -> None:
    checks = msgspec.structs.replace(OFF, band_pct=10.0, **({"price_anomalies": "ignore"} | {key: choice}))
    good = {"trade_id": "1", "bid": "1.1", "ask": "1.1"}
    messages, counted, rejected = await through(checks, tick(**good), tick(1, **(good | {"trade_id": "2"} | bad)), tick(2))
    assert counted.questioned == ({} if choice == "ignore" else {word: 1})
    assert counted.rejected == ({word: 1} if choice == "drop" else {})
    assert len(rejected) == (choice == "drop")
    flags = [message.get("quality") for message in messages]
    assert flags == [None, None] if choice == "drop" else [None, "suspect" if choice == "flag" else None, None]


async def test_one_early_stamp_makes_not_all_that_follow_late() -> None:
    """A wrong clock, for one tick. What comes before it and after it is in order."""
    checks = msgspec.structs.replace(OFF, out_of_order="drop")

    def at(number: int) -> dict[str, Any]:
        return tick(number, trade_id=str(number))

    early = at(30_000_000_000)
    messages, counted, rejected = await through(checks, at(0), early, *(at(each) for each in range(1, 50)), at(7), at(50))
    assert counted.rejected == {"out_of_order": 33}
    assert [json.loads(each.line) for each in rejected] == [*(at(each) for each in range(1, 33)), at(7)]
    assert [message["trade_id"] for message in messages[2:]] == [str(each) for each in range(33, 51)]


async def test_trades_and_quotes_each_have_an_order_of_their_own() -> None:
    """A quote is stamped on receipt or on sending where the venue gives it no time: later than the trade that comes next."""
    checks = msgspec.structs.replace(OFF, out_of_order="drop")

    def quote(number: int) -> dict[str, Any]:
        return {"symbol": "A", "bid": "1", "ask": "2", "ts": NOW_NS + number}

    in_order = [quote(100), tick(90), quote(110), tick(95), quote(110), tick(95)]
    messages, counted, rejected = await through(checks, *in_order, tick(94), quote(109))
    assert [message["seq"] for message in messages] == [1, 2, 3, 4, 5, 6]
    assert counted.questioned == counted.rejected == {"out_of_order": 2}
    assert [json.loads(each.line) for each in rejected] == [tick(94), quote(109)]


@pytest.mark.parametrize(
    ("bid", "ask", "crossed"),
    [
        ("1", "1", False), ("1.1", "1.10", False), ("10", "9", True), ("9", "10", False), ("0.5", "0.49", True),
        ("100e-2", "1", False), ("67123.451", "67123.45", True), ("67123.45", "67123.451", False),
        ("1234567.8", "1234567.9", False), ("1234567.9", "1234567.8", True), ("3", "3.1", False), ("3.1", "3", True),
        ("1.23456789012345", "1.23456789012344", True), ("1.23456789012344", "1.23456789012345", False),
        ("1.234567890123456", "1.234567890123455", True), ("1.234567890123455", "1.234567890123456", False),
        ("1.00000000000000000000000001", "1", True), ("1", "1.00000000000000000000000001", False), ("0", "0", False),
        ("0", "1", False),
        ("79228162514264337593543950335", "79228162514264337593543950334", True), ("2e3", "1999.9", True), ("1999.9", "2e3", False),
    ],
)  # fmt: skip
async def test_a_bid_above_the_ask_is_found_exactly(bid: str, ask: str, crossed: bool) -> None:
    messages, counted, _rejected = await through(OFF_BUT_CROSSED, tick(bid=bid, ask=ask))
    assert len(messages) == 1
    assert counted.questioned == ({"crossed_quote": 1} if crossed else {})


OFF_BUT_CROSSED = msgspec.structs.replace(OFF, crossed_quotes="count")
BAND = msgspec.structs.replace(OFF, band_pct=5.0, band_confirmations=3)


async def flags_of(prices: list[str], checks: QualitySettings = BAND) -> list[bool]:
    messages, _counted, _rejected = await through(checks, *(tick(each, price=price) for each, price in enumerate(prices)))
    assert [message["price"] for message in messages] == [f"{Decimal(price).normalize():f}" for price in prices]
    return ["quality" in message for message in messages]


async def test_a_spike_is_suspect_and_what_follows_is_not() -> None:
    assert await flags_of(["100", "101", "150", "101", "60", "102"]) == [False, False, True, False, True, False]


async def test_a_lasting_move_is_believed_after_so_many_prices() -> None:
    assert await flags_of(["100", "120", "121", "120.5", "121", "100"]) == [False, True, True, False, False, True]


async def test_prices_that_do_not_agree_confirm_nothing() -> None:
    assert await flags_of(["100", "120", "150", "120", "150", "120"]) == [False, *[True] * 5]


async def test_a_slow_move_of_any_size_is_believed() -> None:
    prices = [f"{100 * 1.004**each:.6f}" for each in range(400)]
    assert not any(await flags_of(prices))


async def test_each_symbol_has_its_own_band_and_its_own_time() -> None:
    checks = msgspec.structs.replace(BAND, out_of_order="flag")
    messages, counted, _rejected = await through(
        checks, tick(5), tick(1, symbol="B", price="500"), tick(6, price="1.01"), tick(2, symbol="B", price="501")
    )
    assert len(messages) == 4
    assert counted.questioned == {}


async def test_of_a_quote_the_middle_counts() -> None:
    def quoted(bid: str, ask: str) -> dict[str, Any]:
        return {"symbol": "A", "bid": bid, "ask": ask, "ts": NOW_NS}

    quotes = [quoted("99", "101"), quoted("50", "150"), quoted("150", "151"), {"symbol": "A", "bid": "1", "ts": NOW_NS}]
    messages, _counted, _rejected = await through(BAND, *quotes)
    assert ["quality" in message for message in messages] == [False, False, True, False], "half a quote has no middle"


async def test_a_change_of_the_choices_keeps_what_is_known() -> None:
    async with running() as rig:
        feed = rig.feed()
        checks = msgspec.structs.replace(OFF, duplicates="count", duplicate_window=WINDOW)
        for each in (checks, msgspec.structs.replace(checks, duplicates="drop"), OFF):
            rig.pump.check_quality(feed.asset, each)
            await feed.write_and_wait(lines(tick(trade_id="1")))
        counted = rig.pump.asset_statistics(feed.asset)
        assert (counted.questioned, counted.rejected, counted.ticks) == ({"duplicate": 1}, {"duplicate": 1}, 2)
        bigger = msgspec.structs.replace(checks, duplicate_window=2 * WINDOW)
        rig.pump.check_quality(feed.asset, bigger)
        await feed.write_and_wait(2 * lines(tick(trade_id="1")))
        assert rig.pump.asset_statistics(feed.asset).questioned == {"duplicate": 2}, "a window of another size begins anew"


@given(st.lists(st.integers(0, 3 * WINDOW), max_size=1000))
async def test_the_last_identities_are_known_and_older_ones_are_forgotten(numbers: list[int]) -> None:
    checks = msgspec.structs.replace(OFF, duplicates="drop", duplicate_window=WINDOW)
    messages, counted, _rejected = await through(checks, *(tick(trade_id=number) for number in numbers))
    recent: set[int] = set()
    older: set[int] = set()
    passed = []
    for place, number in enumerate(numbers):
        if len(recent) == WINDOW:
            recent, older = set(), recent
        known = number in recent or number in older
        recent.add(number)
        if not known:
            passed.append(number)
            assert number not in numbers[max(0, place - WINDOW) : place], "what was promised"
    assert [int(message["trade_id"]) for message in messages] == passed
    assert counted.questioned.get("duplicate", 0) == len(numbers) - len(passed)


@pytest.mark.parametrize("first", [1, 10**9, 10**15])
@pytest.mark.parametrize("symbols", [1, 8, 64])
async def test_trades_of_one_moment_are_told_apart_by_symbol_and_id(first: int, symbols: int) -> None:
    """Ids that follow each other, of symbols whose memory lies side by side, all with one time stamp: what an exchange sends."""
    ticks = [tick(symbol=f"S{number % symbols}/USD", trade_id=str(first + number)) for number in range(6000)]
    async with running() as rig:
        feed = rig.feed()
        rig.pump.check_quality(feed.asset, QualitySettings(out_of_order="ignore"))
        for at in range(0, len(ticks), 500):
            await feed.write_and_wait(lines(*ticks[at : at + 500]))
        counted = rig.pump.asset_statistics(feed.asset)
        assert (counted.ticks, counted.rejected) == (6000, {})
        await feed.write_and_wait(lines(*ticks[-2048:]))
        assert rig.pump.asset_statistics(feed.asset).rejected == {"duplicate": 2048}

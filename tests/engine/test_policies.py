"""Slow subscribers with a policy, against a real engine: what they lose is told and counted, and the rest is as it was."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

BURST = """
import sys, time
count, symbols, trade_every, rate = (int(word) for word in sys.argv[1:])
filler = 'x' * 800
time.sleep(0.3)  # the subscriber's answer comes first
block = []
for n in range(count):
    symbol, bid = 'S%d' % (n % symbols), n + 1
    price = ',"price":"%d","volume":"1","trade_id":%d' % (bid, n) if trade_every and n % trade_every == 0 else ''
    block.append('{"symbol":"%s","bid_price":"%d"%s,"ts":%d,"filler":"%s"}\\n' % (symbol, bid, price, time.time_ns(), filler))
    if len(block) == 50 or rate:
        sys.stdout.write(''.join(block))
        sys.stdout.flush()
        block = []
    if rate:
        time.sleep(1 / rate)
sys.stdout.write(''.join(block))
sys.stdout.flush()
time.sleep(600)
"""
"""Messages of about a kilobyte: bids that count up, every so many of them a trade; then silence."""


def burst(engine: Any, count: int, *, symbols: int = 1, trade_every: int = 0, rate: int = 0) -> dict[str, Any]:
    """An asset; ``rate`` 0 is as fast as the pipe takes it."""
    script = Path(engine.directory) / "burst.py"
    script.write_text(BURST)
    words = [str(count), str(symbols), str(trade_every), str(rate)]
    return {"command": ["python", str(script), *words], "origin": "synthetic", "stdout_full_s": None}


def subscribe(engine: Any, uuid: str, **choices: Any) -> None:
    answer = engine.public("POST", f"/v1/clients/{uuid}/subscriptions", json={"topics": ["burst"], **choices})
    assert answer.status_code == 200, answer.text


def account(engine: Any, uuid: str) -> dict[str, int]:
    """The client's figures, which add up whenever one looks."""
    view = engine.client(uuid)
    assert view["state"] == "connected", view
    said: dict[str, int] = view["statistics"]
    parts = ("delivered", "queued_messages", "skipped", "conflated", "killed")
    assert said["published"] == sum(said[part] for part in parts), said
    return said


def messages(client: ClientConnection, quiet_s: float = 1.5) -> Iterator[dict[str, Any]]:
    """Those of the asset, gaps and warnings, until nothing comes for a while."""
    while True:
        try:
            message: dict[str, Any] = json.loads(client.recv(timeout=quiet_s))
        except TimeoutError:
            return
        if message["type"] in {"tick", "gap", "warning", "goodbye"}:
            yield message


@contextmanager
def reader(engine: Any, tools: Any, asset: dict[str, Any]) -> Iterator[tuple[ClientConnection, str]]:
    """A client of an engine with this asset, which nobody has subscribed to yet; slow, for its library buffers little."""
    engine.config["assets"]["burst"] = asset
    engine.start()
    uuid = engine.register()
    with engine.connect(uuid, max_queue=4) as client:
        tools.hear(client, "welcome")
        yield client, uuid


def when_published(engine: Any, tools: Any, uuid: str, count: int) -> dict[str, int]:
    """The client's account once so many messages have come from the asset."""
    tools.until(lambda: account(engine, uuid)["published"] == count)
    return account(engine, uuid)


@pytest.fixture
def slow(engine: Any) -> Any:
    """The engine with small outboxes."""
    engine.config["limits"] = {"outbox_bytes": 262_144, "outbox_age_ms": 60_000}
    return engine


def test_skip_jumps_to_now_and_tells_each_gap(slow: Any, tools: Any) -> None:
    count = 40_000
    with reader(slow, tools, burst(slow, count)) as (client, uuid):
        subscribe(slow, uuid, policy="skip")
        assert when_published(slow, tools, uuid, count)["skipped"] > 0
        expected, skipped, gaps, ticks = 1, 0, 0, 0
        for message in messages(client):
            if message["type"] == "tick":
                assert message["seq"] == expected
                expected, ticks = expected + 1, ticks + 1
            elif message["type"] == "gap":
                known = {"type", "topic", "asset", "first_seq", "last_seq", "count", "reason", "simulated"}
                assert message.keys() == known
                assert (message["topic"], message["asset"], message["reason"]) == ("burst", "burst", "slow_consumer")
                assert message["first_seq"] == expected
                assert message["count"] == message["last_seq"] - message["first_seq"] + 1
                expected, skipped, gaps = message["last_seq"] + 1, skipped + message["count"], gaps + 1
            else:
                assert message["type"] == "warning"
        assert gaps > 0
        assert expected == count + 1, "the last one came, or a gap told of it"
        final = account(slow, uuid)
        assert (final["skipped"], final["delivered"], final["queued_messages"]) == (skipped, ticks, 0)
        assert final["conflated"] == final["killed"] == 0


def test_skip_of_one_symbol_names_it(slow: Any, tools: Any) -> None:
    count = 60_000
    with reader(slow, tools, burst(slow, count, symbols=2)) as (client, uuid):
        client.send(json.dumps({"op": "subscribe", "topics": ["burst:S1"], "policy": "skip"}))
        assert tools.hear(client, "subscribed")["policy"] == "skip"
        when_published(slow, tools, uuid, count // 2)
        gaps = [message for message in messages(client) if message["type"] == "gap"]
        assert {(gap["topic"], gap["asset"], gap["symbol"]) for gap in gaps} == {("burst:S1", "burst", "S1")}
        assert sum(gap["count"] for gap in gaps) == account(slow, uuid)["skipped"] > 0


def test_conflate_keeps_the_newest_quote_of_each_symbol_and_every_trade(slow: Any, tools: Any) -> None:
    count, symbols, trade_every = 40_000, 3, 1000
    with reader(slow, tools, burst(slow, count, symbols=symbols, trade_every=trade_every)) as (client, uuid):
        subscribe(slow, uuid, policy="conflate")
        assert when_published(slow, tools, uuid, count)["conflated"] > 0
        seq, stands_for, trades, newest = 0, 0, [], {}
        for message in messages(client):
            assert message["type"] in {"tick", "warning"}
            if message["type"] == "tick":
                assert message["seq"] > seq, "in order"
                seq = message["seq"]
                stands_for += 1 + message.get("conflated", 0)
                newest[message["symbol"]] = int(message["bid_price"])
                if "trade_id" in message:
                    assert "conflated" not in message
                    trades.append(int(message["trade_id"]))
        assert stands_for == count, "each message came, or is counted in one that did"
        assert trades == list(range(0, count, trade_every))
        assert newest == {f"S{n % symbols}": n + 1 for n in range(count - symbols, count)}
        final = account(slow, uuid)
        assert final["delivered"] + final["conflated"] == count


def test_trades_are_merged_where_that_was_chosen(slow: Any, tools: Any) -> None:
    count = 40_000
    with reader(slow, tools, burst(slow, count, trade_every=1)) as (client, uuid):
        subscribe(slow, uuid, policy="conflate", trades="conflate")
        when_published(slow, tools, uuid, count)
        ticks = [message for message in messages(client) if message["type"] == "tick"]
        assert sum(1 + tick.get("conflated", 0) for tick in ticks) == count
        assert ticks[-1]["trade_id"] == str(count - 1)
        assert account(slow, uuid)["conflated"] > 0


def test_a_greatest_rate_bounds_each_symbol_and_keeps_the_last(engine: Any, tools: Any) -> None:
    count, symbols, rate = 600, 2, 5.0
    with reader(engine, tools, burst(engine, count, symbols=symbols, rate=300)) as (client, uuid):
        subscribe(engine, uuid, max_rate=rate)
        ticks = []
        first = last = 0.0
        for message in messages(client):
            last = time.monotonic()
            first = first or last
            ticks.append(message)
        assert sum(1 + tick.get("conflated", 0) for tick in ticks) == count
        for n in range(symbols):
            of_it = [tick for tick in ticks if tick["symbol"] == f"S{n}"]
            assert 2 < len(of_it) <= (last - first) * rate + 2
            assert of_it[-1]["bid_price"] == str(count - symbols + n + 1), "the trailing edge"
        final = account(engine, uuid)
        assert (final["published"], final["queued_messages"]) == (count, 0)
        assert final["conflated"] == count - len(ticks)


def test_another_policy_takes_over_while_connected(slow: Any, tools: Any) -> None:
    count = 40_000
    with reader(slow, tools, burst(slow, count)) as (_, uuid):
        subscribe(slow, uuid, policy="conflate")
        subscribe(slow, uuid, policy="skip")
        final = when_published(slow, tools, uuid, count)
        assert final["skipped"] > 0
        assert final["conflated"] == 0


def test_what_was_held_back_comes_before_the_answer_that_ends_it(engine: Any, tools: Any) -> None:
    """Who counts from the answer on misses nothing."""
    count = 600
    with reader(engine, tools, burst(engine, count, symbols=5, rate=300)) as (client, uuid):
        client.send(json.dumps({"op": "subscribe", "topics": ["burst"], "max_rate": 0.5, "id": 1}))
        ticks = [tools.hear(client, "tick") for _ in range(5)]
        tools.until(lambda: account(engine, uuid)["published"] >= 100)
        client.send(json.dumps({"op": "subscribe", "topics": ["burst"], "id": 2}))
        while (message := json.loads(client.recv(timeout=10)))["type"] != "subscribed":
            ticks.append(message)
        highest = max(tick["seq"] for tick in ticks)
        rest = [tools.hear(client, "tick") for _ in range(count - highest)]
        assert [tick["seq"] for tick in rest] == list(range(highest + 1, count + 1))
        assert sum(1 + tick.get("conflated", 0) for tick in ticks) == highest


def test_a_reader_at_half_of_its_bound_is_warned(engine: Any, tools: Any) -> None:
    count = 20_000
    engine.config["limits"] = {"outbox_bytes": 256 << 20, "outbox_age_ms": 8000}
    with reader(engine, tools, burst(engine, count)) as (client, uuid):
        subscribe(engine, uuid)
        tools.until(lambda: account(engine, uuid)["oldest_ms"] > 4500)
        heard = list(messages(client))
        (warning,) = [message for message in heard if message["type"] == "warning"]
        assert (warning["code"], warning["max_bytes"], warning["max_age_ms"]) == ("slow_consumer", 256 << 20, 8000)
        assert 4000 <= warning["oldest_ms"] < 8000
        assert 0 < warning["queued_bytes"] < 256 << 20
        assert warning["simulated"] is True
        assert [tick["seq"] for tick in heard if tick["type"] == "tick"] == list(range(1, count + 1)), "and nothing is lost"

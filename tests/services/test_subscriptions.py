"""Topics against the real pump: what is subscribed flows, each message once, and a request is taken whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from sessions_rig import Feed, World, refused

from finstream.vocabulary.topics import Topic


async def test_what_is_subscribed_while_waiting_flows_once_connected(world: World, feeds: tuple[Feed, Feed]) -> None:
    uuid, subscriber = world.connected("binance:BTC/USDT", "kraken")
    binance, kraken = feeds
    binance.tick("ETH/USDT")
    binance.tick("BTC/USDT")
    assert await subscriber.next() == "binance:BTC/USDT"
    kraken.tick("ETH/USDT")
    assert await subscriber.next() == "kraken:ETH/USDT"
    assert world.sessions.describe(uuid).topics == ["binance:BTC/USDT", "kraken"]


async def test_topics_are_added_removed_and_replaced_while_connected(
    world: World, feeds: tuple[Feed, Feed], eventually: Any
) -> None:
    binance, kraken = feeds
    uuid, subscriber = world.connected("binance")
    sessions = world.sessions
    assert sessions.subscribe(uuid, ["kraken"]) == [Topic("kraken", None)]
    kraken.tick()
    assert await subscriber.next() == "kraken:BTC/USDT"
    assert sessions.unsubscribe(uuid, ["binance", "binance:never/had"]) == [Topic("binance", None)]
    binance.tick()
    await eventually(lambda: world.pump.asset_statistics(binance.asset).ticks == 1)
    kraken.tick()
    assert await subscriber.next() == "kraken:BTC/USDT", "and nothing of binance before it"
    added, removed = sessions.replace(uuid, ["binance:ETH/USDT", "binance"])
    assert added == [Topic("binance", "ETH/USDT"), Topic("binance", None)]
    assert removed == [Topic("kraken", None)]
    kraken.tick()
    await eventually(lambda: world.pump.asset_statistics(kraken.asset).ticks == 3)
    binance.tick("ETH/USDT")
    binance.tick("XRP/USDT")
    assert [await subscriber.next(), await subscriber.next()] == ["binance:ETH/USDT", "binance:XRP/USDT"], "each once"
    assert sessions.describe(uuid).topics == ["binance:ETH/USDT", "binance"]


async def test_subscribing_twice_is_no_error_and_changes_nothing(world: World, feeds: tuple[Feed, Feed]) -> None:
    uuid, subscriber = world.connected("binance")
    announced: list[list[Topic]] = []
    assert world.sessions.subscribe(uuid, ["binance", "binance"], announce=announced.append) == []
    assert announced == [[]], "the answer is due all the same"
    assert world.sessions.describe(uuid).topics == ["binance"]
    assert world.demand.calls == ["+binance"]
    feeds[0].tick("A")
    feeds[0].tick("B")
    assert [await subscriber.next(), await subscriber.next()] == ["binance:A", "binance:B"]


@pytest.mark.parametrize("method", ["subscribe", "replace"])
@pytest.mark.parametrize(
    ("topics", "problem", "field"),
    [
        (["kraken", "nowhere"], "unknown-asset", "$.body[1]"),
        (["kraken", "Binance"], "invalid-topic", "$.body[1]"),
        (["binance:"], "invalid-topic", "$.body[0]"),
        (["kraken", 'binance:"'], "invalid-topic", "$.body[1]"),
        ([f"kraken:{number}" for number in range(11)], "too-many-topics", "$.body"),
    ],
)
async def test_a_request_is_carried_out_as_a_whole_or_not_at_all(
    world: World, method: str, topics: list[str], problem: str, field: str
) -> None:
    uuid, _subscriber = world.connected("binance")
    call = getattr(world.sessions, method)
    with refused(problem, field):
        call(uuid, topics, field="$.body", announce=lambda *_topics: pytest.fail("announced"))
    assert world.sessions.describe(uuid).topics == ["binance"]
    assert world.demand.calls == ["+binance"]


async def test_the_limit_of_topics_counts_what_would_be_there(world: World) -> None:
    uuid, _subscriber = world.connected(*(f"binance:{number}" for number in range(9)))
    world.sessions.subscribe(uuid, ["binance:0", "binance:1", "binance:9"])
    with refused("too-many-topics", "$.topics"):
        world.sessions.subscribe(uuid, ["binance:10"])
    assert world.sessions.replace(uuid, [f"kraken:{number}" for number in range(10)])[0] != []


async def test_an_invalid_topic_to_unsubscribe_is_refused_and_an_unknown_one_ignored(world: World) -> None:
    uuid, _subscriber = world.connected("binance")
    with refused("invalid-topic", "$.topics[1]"):
        world.sessions.unsubscribe(uuid, ["binance", "?"])
    assert world.sessions.unsubscribe(uuid, ["nowhere"]) == []
    assert world.sessions.describe(uuid).topics == ["binance"]


async def test_an_asset_that_leaves_and_comes_back(world: World, feeds: tuple[Feed, Feed]) -> None:
    uuid, subscriber = world.connected("binance")
    world.assets.remove("binance")
    world.pump.retire_asset(feeds[0].asset)
    world.sessions.replace(uuid, ["binance", "kraken"])
    assert world.sessions.describe(uuid).topics == ["binance", "kraken"], "what is there may stay"
    world.sessions.unsubscribe(uuid, ["binance"])
    with refused("unknown-asset", "$.topics[0]"):
        world.sessions.subscribe(uuid, ["binance"])
    world.assets.add("binance")
    world.pump.add_asset("binance")
    world.sessions.subscribe(uuid, ["binance"])
    feeds[0].tick()
    assert await subscriber.next() == "binance:BTC/USDT"

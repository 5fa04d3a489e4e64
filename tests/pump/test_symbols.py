"""Symbols come and go; nobody can use an asset's table of them up."""

from __future__ import annotations

from typing import Any

import pytest
from rig import running, tick, until

MORE_THAN_AN_ASSET_MAY_NAME = 70_000


async def test_symbols_that_were_only_ever_subscribed_are_forgotten() -> None:
    async with running() as rig:
        feed = rig.feed("a")
        outbox = rig.subscriber().handle
        for number in range(MORE_THAN_AN_ASSET_MAY_NAME):
            assert rig.pump.subscribe(outbox, feed.asset, f"N{number}")
            assert rig.pump.unsubscribe(outbox, feed.asset, f"N{number}")
        assert rig.pump.symbol_statistics(feed.asset) == []
        assert rig.pump.subscribe(outbox, feed.asset, "BTC/USDT")
        assert [each.symbol for each in rig.pump.symbol_statistics(feed.asset)] == ["BTC/USDT"]


async def test_a_symbol_that_ticked_is_kept() -> None:
    async with running() as rig:
        feed = rig.feed("a")
        outbox = rig.subscriber().handle
        rig.pump.subscribe(outbox, feed.asset, "A")
        await feed.write(tick(1, "A"))
        await until(lambda: rig.pump.asset_statistics(feed.asset).ticks == 1)
        rig.pump.unsubscribe(outbox, feed.asset, "A")
        (kept,) = rig.pump.symbol_statistics(feed.asset)
        assert (kept.symbol, kept.ticks, kept.subscribers) == ("A", 1, 0)


@pytest.mark.parametrize("whole_first", [True, False])
async def test_a_symbol_hidden_behind_the_whole_asset_is_not_forgotten(whole_first: bool) -> None:
    async with running() as rig:
        feed = rig.feed("a")
        subscriber: Any = rig.subscriber()
        topics = [None, "A"] if whole_first else ["A", None]
        for symbol in topics:
            rig.pump.subscribe(subscriber.handle, feed.asset, symbol)
        assert rig.pump.unsubscribe(subscriber.handle, feed.asset, None)
        await feed.write(tick(1, "B") + tick(2, "A"))
        await until(lambda: rig.pump.outbox_statistics(subscriber.handle).delivered == 1)
        assert rig.pump.unsubscribe(subscriber.handle, feed.asset, "A")

"""The pump's thread: how it starts, how it ends, and what may be done meanwhile."""

from __future__ import annotations

import os
import threading

import pytest
import trio
from rig import Feed, Subscriber, numbered, running, tick, until

from finstream.pump import Pump
from finstream.vocabulary.errors import PumpFailed


async def test_stopping() -> None:
    pump = Pump()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)
            assert pump.running
            pump.stop()
    assert not pump.running


async def test_cancelling() -> None:
    pump = Pump()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)
            nursery.cancel_scope.cancel()
    assert not pump.running


async def test_cancelling_while_ticks_flow() -> None:
    before = threading.active_count()
    pump = Pump()
    feed = Feed(pump, pump.add_asset("feed"))
    subscriber = Subscriber(pump)
    pump.subscribe(subscriber.handle, feed.asset)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)

            @nursery.start_soon
            async def write() -> None:
                while True:
                    await feed.write(tick(1) * 100)

            await until(lambda: subscriber.statistics.published > 1000)
            nursery.cancel_scope.cancel()
    statistics = subscriber.statistics
    assert statistics.published == statistics.delivered + statistics.queued_messages
    await feed.pipe.aclose()
    feed.remove()
    subscriber.close()
    assert threading.active_count() <= before + 1  # Trio keeps its worker for a while


async def test_everything_may_be_prepared_before_it_runs() -> None:
    pump = Pump()
    feed = Feed(pump, pump.add_asset("feed"))
    subscriber = Subscriber(pump)
    assert pump.subscribe(subscriber.handle, feed.asset)
    await feed.write(tick(1) + b"{\n")
    assert pump.asset_statistics(feed.asset).lines == 0
    rejected: list[object] = []
    pump.on_line(rejected.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(pump.run)
        assert numbered(await subscriber.messages(1)) == [1]
        await until(lambda: rejected)
        pump.stop()
    # What was told while it ended is not lost either, and everything can still be taken away.
    feed.remove()
    await feed.pipe.aclose()
    final = subscriber.remove()
    assert final is not None
    assert final.delivered == 1
    subscriber.socket.close()


async def test_an_end_that_nobody_asked_for_is_an_error() -> None:
    async def end_by_itself() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)
            pump._native.stop()

    pump = Pump()
    with trio.fail_after(10), pytest.raises(BaseExceptionGroup) as raised:
        await end_by_itself()
    assert raised.group_contains(PumpFailed)


async def test_calls_from_outside_do_not_wait_for_the_load_to_end() -> None:
    """Each waits for one batch at most. The load here would never end."""
    async with running() as rig:
        feed = rig.feed()
        os.set_blocking(feed.pipe.fileno(), True)
        stop = threading.Event()

        def write_without_end() -> None:
            text = tick(1) * 500
            while not stop.is_set():
                os.write(feed.pipe.fileno(), text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, write_without_end)
            ticks = 0
            for _ in range(200):
                await until(lambda ticks=ticks: rig.pump.asset_statistics(feed.asset).ticks > ticks)
                ticks = rig.pump.asset_statistics(feed.asset).ticks
                subscriber = rig.subscriber((feed.asset, None), (feed.asset, "A"))
                rig.pump.arena()
                rig.pump.symbol_statistics(feed.asset)
                assert rig.pump.statistics().lines >= ticks
                subscriber.close()
            stop.set()

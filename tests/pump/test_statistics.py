"""Snapshots: what the pump counts, against what was sent into it."""

from __future__ import annotations

import time

from rig import LITTLE, Rig, running, tick, until

from finstream.pump import AssetStatistics, Pump, StageTimes


async def test_statistics_of_an_asset(rig: Rig) -> None:
    feed = rig.feed("some-asset")
    assert rig.pump.asset_statistics(feed.asset) == AssetStatistics(
        name="some-asset", seq=0, ticks=0, opaque=0, heartbeats=0, statuses=0, lines=0, bytes=0, reads=0,
        rejected={}, last_received_ns=0, subscribers=0, symbols=0, untold=0, questioned={},
    )
    lines = (
        tick(1, "A") + tick(2, "B") + b'{"type":"news","ts":1}\n{"type":"heartbeat"}\n\n{"type":"status"}\n'
        b'{\n{"symbol":1}\n{"symbol":2}\n'
    )
    before = time.time_ns()
    await feed.write_and_wait(lines)
    after = time.time_ns()
    statistics = rig.pump.asset_statistics(feed.asset)
    assert before <= statistics.last_received_ns <= after
    assert statistics == AssetStatistics(
        name="some-asset", seq=3, ticks=2, opaque=1, heartbeats=1, statuses=1, lines=8, bytes=len(lines), reads=1,
        rejected={"not_json": 1, "invalid_symbol": 2}, last_received_ns=statistics.last_received_ns,
        subscribers=0, symbols=2, untold=0, questioned={},
    )


async def test_nobody_listening_costs_no_seq(rig: Rig) -> None:
    """The numbers go on whether somebody listens or not: who comes later sees what was missed."""
    feed = rig.feed()
    await feed.write_and_wait(tick(1) + tick(2))
    subscriber = rig.subscriber((feed.asset, "A"))
    await feed.write(tick(3))
    [message] = await subscriber.messages(1)
    assert b'"seq":3,' in message


async def test_statistics_of_symbols(rig: Rig) -> None:
    feed = rig.feed()
    rig.subscriber((feed.asset, "unseen"), (feed.asset, "A"))
    smoothed: dict[str, int] = {}
    for number in range(1, 40):
        symbol = "AB"[number % 2]
        stamp = time.time_ns() - number * 10_000_000 * (-1) ** (number // 2)
        await feed.write_and_wait(b'{"symbol":"%s","price":1,"ts":%d}\n' % (symbol.encode(), stamp))
        by_name = {each.symbol: each for each in rig.pump.symbol_statistics(feed.asset)}
        lag = by_name[symbol].lag_last_ns
        assert lag == rig.pump.asset_statistics(feed.asset).last_received_ns - stamp
        old = smoothed.get(symbol)
        smoothed[symbol] = lag if old is None else old + ((lag - old) >> 4)
        assert by_name[symbol].lag_smoothed_ns == smoothed[symbol]
        assert by_name[symbol].last_received_ns == rig.pump.asset_statistics(feed.asset).last_received_ns
    assert {name: (each.ticks, each.subscribers) for name, each in by_name.items()} == {
        "A": (19, 1), "B": (20, 0), "unseen": (0, 1),
    }


async def test_statistics_of_an_outbox_that_is_new(rig: Rig) -> None:
    statistics = rig.subscriber().statistics
    assert (statistics.published, statistics.delivered, statistics.queued_messages, statistics.killed) == (0, 0, 0, 0)
    assert (statistics.queued_bytes, statistics.oldest_ms, statistics.sent_bytes) == (0, 0, 0)
    assert (statistics.last_asset, statistics.last_seq) == (None, None)


async def test_statistics_of_the_pump(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    for number in range(1, 11):
        await feed.write_and_wait(tick(number) + b"{\n")
    await subscriber.messages(10)
    statistics = rig.pump.statistics()
    assert (statistics.lines, statistics.delivered, statistics.partial_sends) == (20, 10, 0)
    assert (statistics.sources, statistics.outboxes, statistics.events_dropped) == (1, 1, 0)
    assert statistics.sends == 10  # one a batch
    assert 10 <= statistics.batches < 100
    subscriber.remove()
    assert (rig.pump.statistics().outboxes, rig.pump.statistics().delivered) == (0, 10)


async def test_turns_are_counted_by_their_lines_and_sends(rig: Rig) -> None:
    feed = rig.feed()
    for _ in range(3):
        rig.subscriber((feed.asset, None))
    for lines in (1, 2, 3, 4, 5, 8, 9):
        await feed.write_and_wait(tick() * lines)
    # A turn is counted at its end, and whoever asks may be let in before that.
    await until(lambda: sum(rig.pump.statistics().turns_by_lines) == 7)
    statistics = rig.pump.statistics()
    assert statistics.turns_by_lines == [1, 1, 2, 2, 1, *[0] * 11]
    assert statistics.turns_by_sends == [0, 0, 7, *[0] * 13]


async def test_one_turn_in_a_thousand_has_its_time_taken(rig: Rig) -> None:
    feed = rig.feed()
    rig.subscriber((feed.asset, None))
    while rig.pump.statistics().batches < 1023:
        await feed.write_and_wait(tick())
    assert rig.pump.statistics().stages == StageTimes(0, 0, 0, 0, 0, 0)
    await feed.write_and_wait(tick() * 5)
    await until(lambda: rig.pump.statistics().stages.turns == 1)
    stages = rig.pump.statistics().stages
    assert min(stages.read_ns, stages.take_ns, stages.send_ns, stages.tend_ns) >= 0
    assert 0 < stages.read_ns + stages.take_ns + stages.send_ns + stages.tend_ns < 1_000_000_000


async def test_all_outboxes_together(rig: Rig) -> None:
    feed = rig.feed()
    readers = [rig.subscriber((feed.asset, None)) for _ in range(100)]  # more than are looked at in one go
    idle = rig.subscriber((feed.asset, None), buffer_bytes=LITTLE)
    await feed.write_and_wait(tick(pad=8000) * 30)
    for reader in readers:
        await reader.messages(30)
    totals, handles = rig.pump.outbox_totals(10)
    assert handles == [idle.handle]
    one = idle.statistics
    assert (totals.waiting, totals.queued_messages, totals.queued_bytes) == (1, one.queued_messages, one.queued_bytes)
    assert (totals.published, totals.delivered) == (3030, 3000 + one.delivered)
    assert totals.sent_bytes == sum(each.statistics.sent_bytes for each in [*readers, idle])
    assert rig.pump.outbox_totals(0)[1] == []
    idle.remove()
    totals, handles = rig.pump.outbox_totals(10)
    assert (totals.published, totals.killed, totals.waiting, handles) == (3030, one.queued_messages, 0, [])


async def test_idle_is_idle(rig: Rig) -> None:
    rig.feed()
    rig.subscriber()
    assert rig.pump.statistics().batches <= 2


async def test_simulation_marks_every_message() -> None:
    async with running(simulated=True) as rig:
        feed = rig.feed("sim")
        subscriber = rig.subscriber((feed.asset, None))
        await feed.write(tick(1) + b'{"type":"news","ts":1,"x":1}\n')
        first, second = await subscriber.messages(2)
        assert first.endswith(b',"simulated":true}')
        assert second.endswith(b',"simulated":true,"x":1}')


async def test_bounds_of_time_stamps_per_asset(rig: Rig) -> None:
    asset = rig.pump.add_asset("feed", future_ms=1000, max_age_ms=2000)
    feed = rig.feed(asset)
    now = time.time_ns()

    def stamped(seconds: int) -> bytes:
        return b'{"symbol":"A","price":1,"ts":%d}\n' % (now + seconds * 1_000_000_000)

    ten_years = 10 * 365 * 86400
    await feed.write_and_wait(stamped(30) + stamped(-30) + stamped(0) + stamped(ten_years) + stamped(-ten_years))
    assert rig.pump.asset_statistics(asset).rejected == {"timestamp_in_future": 2, "timestamp_too_old": 2}
    assert rig.pump.asset_statistics(asset).ticks == 1
    assert rig.pump.add_asset("feed") == asset  # with other settings: no bounds
    await feed.write_and_wait(stamped(30) + stamped(-30) + stamped(ten_years))
    assert rig.pump.asset_statistics(asset).ticks == 4


def test_a_pump_may_be_used_before_and_after_it_runs() -> None:
    pump = Pump()
    asset = pump.add_asset("feed")
    assert (pump.asset_handle("feed"), pump.asset_name(asset)) == (asset, "feed")
    assert pump.add_asset("feed") == asset
    assert pump.add_asset("other") != asset
    assert pump.broadcast(asset, b"{}") == 0
    assert [entry.asset for entry in pump.arena()] == ["feed", "other"]
    pump.stop()
    assert pump.statistics().batches == 0

"""The arena through the real pump: stamps chosen here, receipts that the pump takes, the order by the twin."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest
import strategies
import trio
import twin
from hypothesis import given
from hypothesis import strategies as st
from rig import Feed, Rig, running, tick, until

from finstream.pump import ArenaEntry

SECOND_NS = 1_000_000_000


class Race:
    """The same ticks for the pump's arena and for the twin's."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.twin = twin.Arena()
        self.feeds: dict[str, Feed] = {}

    def enter(self, asset: str) -> None:
        self.feeds[asset] = self.rig.feed(asset)
        self.twin.add(asset)

    async def tick(self, asset: str, lag_ns: int) -> None:
        stamp = time.time_ns() - lag_ns
        feed = self.feeds[asset]
        await feed.write_and_wait(b'{"symbol":"A","price":1,"ts":%d}\n' % stamp)
        received_ns = self.rig.pump.asset_statistics(feed.asset).last_received_ns
        self.twin.tick(asset, ts_ns=stamp, received_ns=received_ns)

    def judge(self) -> list[ArenaEntry]:
        """Every figure and the order itself."""
        before = time.time_ns()
        entries = self.rig.pump.arena()
        after = time.time_ns()
        assert [entry.rank for entry in entries] == list(range(1, len(entries) + 1))
        for entry in entries:
            place = self.twin.places[entry.asset]
            assert (entry.ticks, entry.lag_last_ns) == (place.ticks, place.lag_last_ns)
            assert entry.lag_smoothed_ns == place.lag_smoothed_ns
            assert entry.clock_error == place.clock_error
            if place.ticks:
                assert before <= place.last_received_ns + entry.silent_ns <= after
                now_ns = place.last_received_ns + entry.silent_ns
                assert entry.score_ns == place.score_ns(now_ns)
                assert entry.severity == place.severity(now_ns)
        orders = [self.twin.ranking(now_ns) for now_ns in (before, after)]
        if orders[0] == orders[1]:  # else somebody's silence changed the order at this very moment
            assert [entry.asset for entry in entries] == orders[0]
        return entries


LAGS_NS = st.one_of(
    st.integers(-2 * SECOND_NS, 2 * SECOND_NS),
    st.integers(-100_000_000, 100_000_000),
    st.sampled_from([1, 5, 15, 60, 100_000, 10**9]).map(lambda seconds: seconds * SECOND_NS),
)


@given(
    ticks=st.lists(st.tuples(st.integers(0, 5), LAGS_NS), max_size=40),
    late=st.lists(st.tuples(st.integers(0, 7), LAGS_NS), max_size=10),
)
@strategies.examples(40)
async def test_ranking_agrees_with_its_twin(ticks: list[tuple[int, int]], late: list[tuple[int, int]]) -> None:
    async with running() as rig:
        race = Race(rig)
        for number in range(6):
            race.enter(f"asset-{number}")
        race.judge()
        for number, lag_ns in ticks:
            await race.tick(f"asset-{number}", lag_ns)
            race.judge()
        race.enter("asset-6")
        race.enter("asset-7")
        race.judge()
        for number, lag_ns in late:
            await race.tick(f"asset-{number}", lag_ns)
        race.judge()


async def test_many_ticks_in_one_batch(rig: Rig) -> None:
    """The smoothed lag is that of every single tick, not of every batch; one batch has one time of receipt."""
    race = Race(rig)
    race.enter("feed")
    now = time.time_ns()
    stamps = [now - (number * 7919 % 1000) * 1_000_000 for number in range(500)]
    await race.feeds["feed"].write_and_wait(b"".join(b'{"symbol":"A","price":1,"ts":%d}\n' % stamp for stamp in stamps))
    statistics = rig.pump.asset_statistics(race.feeds["feed"].asset)
    assert statistics.reads == 1
    for stamp in stamps:
        race.twin.tick("feed", ts_ns=stamp, received_ns=statistics.last_received_ns)
    race.judge()


async def test_quotes_that_their_ingestor_has_stamped_tell_nothing_of_the_lag(rig: Rig) -> None:
    """They tick, though. Until something better is known, theirs is the lag."""
    feed = rig.feed("a")
    stamped = b'{"symbol":"A","bid":1,"ts":%d,"quote_time":"local"}\n'

    async def state_after(line: bytes) -> tuple[int, int, int]:
        await feed.write_and_wait(line)
        [entry] = rig.pump.arena()
        symbol = rig.pump.symbol(feed.asset, "A")
        assert symbol is not None
        assert (symbol.ticks, symbol.lag_last_ns, symbol.lag_smoothed_ns) == (entry.ticks, entry.lag_last_ns, entry.lag_smoothed_ns)
        lags = rig.pump.form(feed.asset).lags
        return entry.ticks, entry.lag_smoothed_ns // SECOND_NS, sum(count for _bound, count in lags.buckets)

    now = time.time_ns()
    assert await state_after(stamped % (now - 3000 * SECOND_NS)) == (1, 3000, 1)
    assert await state_after(b'{"symbol":"A","price":1,"ts":%d,"quote_time":"local"}\n' % (now - 1000 * SECOND_NS)) == (2, 1000, 1)
    for ticks in (3, 4, 5):  # read in full, then by its shape
        assert await state_after(stamped % now) == (ticks, 1000, 1)
    assert await state_after(b'{"quote_time": "local" ,"symbol":"A","bid":1,"ts":%d}\n' % now) == (6, 1000, 1)
    of_the_venue = b'{"symbol":"A","bid":1,"ts":%d,"quote_time":"envelope"}\n' % (now - 17_000 * SECOND_NS)
    assert await state_after(of_the_venue) == (7, 2000, 2)


async def test_who_goes_mute_sinks(rig: Rig) -> None:
    """Without another tick, and although the others have the greater lag."""
    race = Race(rig)
    for asset in ("quick", "slow"):
        race.enter(asset)
    await race.tick("quick", 0)
    await race.tick("slow", 300_000_000)
    assert [entry.asset for entry in race.judge()] == ["quick", "slow"]
    deadline = time.monotonic() + 20
    while [entry.asset for entry in race.judge()] == ["quick", "slow"]:
        await race.tick("slow", 300_000_000)
        assert time.monotonic() < deadline
    quick = race.judge()[1]
    assert quick.asset == "quick"
    assert quick.silent_ns >= 1_250_000_000
    await race.tick("quick", 0)
    assert [entry.asset for entry in race.judge()] == ["quick", "slow"]


async def test_only_what_says_something_breaks_a_silence(rig: Rig) -> None:
    """A feed that cannot reach its venue says so again and again, and is silent; so is one whose lines are all refused."""
    feed = rig.feed()

    async def unheard_after(line: bytes) -> tuple[int | None, int]:
        await feed.write_and_wait(line)
        [entry] = rig.pump.arena()
        return entry.unheard_ns, entry.silent_ns

    nothing = [b'{"type":"status","state":"reconnecting"}\n', b"{\n", b'{"symbol":"A","price":0,"ts":1}\n']
    for line in nothing:
        assert await unheard_after(line) == (None, 0)
    unheard_ns, silent_ns = await unheard_after(tick(1))
    assert unheard_ns == silent_ns
    for line in nothing:
        unheard_ns, silent_ns = await unheard_after(line)
        assert unheard_ns == silent_ns
    for line in (b'{"type":"heartbeat"}\n', b'{"type":"news","ts":%d}\n' % time.time_ns()):
        unheard_ns, silent_ns = await unheard_after(line)
        assert unheard_ns is not None
        assert unheard_ns < silent_ns


async def test_who_enters_and_who_leaves(rig: Rig) -> None:
    pump = rig.pump
    pump.add_asset("opinions", in_arena=False)
    for asset in ("a", "b", "c"):
        pump.add_asset(asset)
    assert [entry.asset for entry in pump.arena()] == ["a", "b", "c"]  # nobody has ticked: the order of creation
    handle = pump.asset_handle("b")
    assert handle is not None
    pump.retire_asset(handle)
    assert [(entry.rank, entry.asset) for entry in pump.arena()] == [(1, "a"), (2, "c")]
    pump.retire_asset(handle)
    pump.retire_asset(99)
    pump.add_asset("opinions", in_arena=True)
    pump.add_asset("b")
    assert [entry.asset for entry in pump.arena()] == ["opinions", "a", "b", "c"]
    pump.add_asset("a", in_arena=False)
    feed = rig.feed("c")
    await feed.write_and_wait(tick(1))
    assert [entry.asset for entry in pump.arena()] == ["c", "opinions", "b"]


async def test_nobody_has_been_silent_since_the_future(rig: Rig) -> None:
    """Ticks that come while somebody looks are not younger than the look."""
    feed = rig.feed()
    os.set_blocking(feed.pipe.fileno(), True)
    async with trio.open_nursery() as nursery:
        line = '{"symbol":"A","price":1,"ts":1}'
        nursery.start_soon(partial(trio.run_process, ["yes", line], stdout=feed.pipe.fileno()))
        await until(lambda: rig.pump.asset_statistics(feed.asset).ticks)
        for _ in range(5000):
            before = rig.pump.asset_statistics(feed.asset).ticks
            [entry] = rig.pump.arena()
            assert entry.silent_ns >= 0
        await until(lambda: rig.pump.asset_statistics(feed.asset).ticks > before)  # it went on all the time
        nursery.cancel_scope.cancel()


async def test_opaque_and_bad_lines_do_not_race(rig: Rig) -> None:
    feed = rig.feed()
    await feed.write_and_wait(b'{"type":"news","ts":1}\n{"type":"heartbeat"}\n{"symbol":"A","price":0,"ts":1}\n{\n')
    [entry] = rig.pump.arena()
    assert (entry.ticks, entry.lag_last_ns, entry.lag_smoothed_ns, entry.clock_error) == (0, 0, 0, False)


@pytest.mark.parametrize(
    ("score_ns", "severity"),
    [
        (0, 0), (SECOND_NS, 0), (SECOND_NS + 1, 1), (5 * SECOND_NS, 1), (5 * SECOND_NS + 1, 2), (15 * SECOND_NS, 2),
        (15 * SECOND_NS + 1, 3), (60 * SECOND_NS, 3), (60 * SECOND_NS + 1, 4), (10**18, 4), (-(10**18), 0),
    ],
)
def test_severity_of_the_twin(score_ns: int, severity: int) -> None:
    assert twin.Place(ticks=1, lag_smoothed_ns=score_ns, last_received_ns=5).severity(5) == severity

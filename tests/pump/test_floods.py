"""Sources that send nothing but garbage: it is counted to the last line, told in moderation, and disturbs nobody."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import time
from collections.abc import Callable

import pytest
import trio
import trio.testing
from rig import Feed, Rig, resting, until

from finstream.pump import _TURN_S as TURN_S
from finstream.pump import LineRejected, StatusLine

BURST = 1024
PER_SECOND = 1024


def status(number: int) -> bytes:
    return b'{"type":"status","number":%d}\n' % number


def statuses(rig: Rig, feed: Feed) -> list[int]:
    """The numbers of those that were told."""
    return [
        json.loads(event.line)["number"] for event in rig.lines if isinstance(event, StatusLine) and event.asset == feed.asset
    ]


def rejected(rig: Rig, feed: Feed) -> list[LineRejected]:
    return [event for event in rig.lines if isinstance(event, LineRejected) and event.asset == feed.asset]


def write_now(feed: Feed, data: bytes) -> int:
    """On the control plane's thread, which does nothing else meanwhile."""
    written = os.write(feed.pipe.fileno(), data)
    assert written == len(data)
    return written


def wait_here(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline


def within_measure(told: list[LineRejected]) -> bool:
    """As many as the burst and the time from the first to the last allow."""
    span_ns = told[-1].received_ns - told[0].received_ns
    return BURST <= len(told) <= BURST + 1 + span_ns * PER_SECOND // 1_000_000_000


async def test_garbage_is_told_in_moderation_and_counted_exactly(rig: Rig) -> None:
    feed, quiet = rig.feed("liar"), rig.feed("quiet")
    for _ in range(30):
        await feed.write_and_wait(b"y\n" * 900 + b'{"symbol":1}\n' * 100)
    await quiet.write_and_wait(b"garbage\n" * 3)
    statistics = rig.pump.asset_statistics(feed.asset)
    assert statistics.rejected == {"not_json": 27_000, "invalid_symbol": 3_000}
    assert statistics.lines == 30_000
    await until(lambda: len(rejected(rig, feed)) + statistics.untold == 30_000, "all that is told")
    assert within_measure(rejected(rig, feed))
    await until(lambda: len(rejected(rig, quiet)) == 3, "the other asset's lines")
    assert rig.pump.asset_statistics(quiet.asset).untold == 0
    assert rig.pump.statistics().events_dropped == 0


async def test_garbage_does_not_displace_status_lines(rig: Rig) -> None:
    liar, honest = rig.feed("liar"), rig.feed("honest")
    for number in range(20):
        await liar.write_and_wait(b"y\n" * 2000 + status(number) + b"y\n" * 2000)
        await honest.write_and_wait(status(number))
    assert rig.pump.asset_statistics(liar.asset).rejected == {"not_json": 80_000}
    assert rig.pump.asset_statistics(liar.asset).untold > 70_000
    await until(lambda: len(statuses(rig, liar)) + len(statuses(rig, honest)) == 40, "the status lines")
    assert statuses(rig, liar) == statuses(rig, honest) == list(range(20))


@pytest.mark.parametrize("line_bytes", [10, 4096, 6000, 60_000])
async def test_not_even_while_the_control_plane_is_away(rig: Rig, line_bytes: int) -> None:
    """It is busy elsewhere while a flood comes, and fetches what it is told only afterwards."""
    liar, honest = rig.feed("liar"), rig.feed("honest")
    text = (b"y" * line_bytes + b"\n") * (60_001 // (line_bytes + 1))
    written = 0
    while rig.pump.asset_statistics(liar.asset).rejected.get("not_json", 0) < 1.5 * BURST:
        written += write_now(liar, text)
        wait_here(lambda: rig.pump.asset_statistics(liar.asset).bytes == written)  # noqa: B023 (called at once)
    for feed in (liar, honest):
        write_now(feed, status(1))
        wait_here(lambda: rig.pump.asset_statistics(feed.asset).statuses == 1)  # noqa: B023
    assert rig.pump.asset_statistics(liar.asset).rejected == {"not_json": written // (line_bytes + 1)}
    assert rig.lines == []
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert (statuses(rig, liar), statuses(rig, honest)) == ([1], [1])


async def test_other_tasks_get_their_turn_between_events() -> None:
    """Told by how many events come between two of their turns; each event takes as long as all may that come in one turn."""
    async with resting() as rig:
        feed = rig.feed("liar")
        told = 0

        def take_long(_event: LineRejected | StatusLine) -> None:
            nonlocal told
            told += 1
            enough = time.perf_counter() + 1.1 * TURN_S
            while time.perf_counter() < enough:
                pass

        rig.pump.on_line(take_long)
        await feed.write(b"y\n" * 400)
        await rig.start()
        seen = [0]
        with trio.fail_after(30):
            while told < 400:
                await trio.lowlevel.checkpoint()
                seen.append(told)
        steps = [after - before for before, after in itertools.pairwise(seen)]
        assert max(steps) <= 2  # a turn of the scheduler runs tasks in any order


async def test_many_liars_at_once_are_told_in_moderation() -> None:
    async with resting() as rig:
        feeds = [rig.feed(f"liar-{number}") for number in range(20)]
        for feed in feeds:
            fcntl.fcntl(feed.pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 18)
            await feed.write(b"y\n" * 40_000)
        await rig.start()
        await until(lambda: all(rig.pump.asset_statistics(feed.asset).lines == 40_000 for feed in feeds))
        untold = sum(rig.pump.asset_statistics(feed.asset).untold for feed in feeds)
        await until(lambda: len(rig.lines) + untold == 800_000)
        for feed in feeds:
            assert rig.pump.asset_statistics(feed.asset).rejected == {"not_json": 40_000}
            assert within_measure(rejected(rig, feed))

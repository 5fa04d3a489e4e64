"""Views of the arena, from a pump that really ranks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from finstream.pump import Pump
from finstream.services import arena_view
from finstream.services.feed_judgement import Hours


class Status(NamedTuple):
    state: str
    since_us: int


NAMES = ("slow", "fast", "ahead", "mute", "news", "one", "two", "three", "four", "early", "late", "quiet")
ASSETS = {name: Status("running", 1 << 53) for name in NAMES}  # far from having been silent for long


@pytest.fixture
def feed(pump: Pump) -> Iterator[Callable[..., None]]:
    """Writes a tick of a source, with this lag."""
    pipes: dict[str, tuple[int, int, int]] = {}

    def tick(asset: str, symbol: str, lag_s: float) -> None:
        if asset not in pipes:
            reading, writing = os.pipe()
            source = pump.add_source(pump.add_asset(asset), reading, lambda _event: None)
            pipes[asset] = (reading, writing, source)
        stamp_ns = time.time_ns() - int(lag_s * 1e9)
        os.write(pipes[asset][1], b'{"symbol":"%s","price":"1","ts":%d}\n' % (symbol.encode(), stamp_ns))

    yield tick
    for reading, writing, source in pipes.values():
        pump.remove_source(source)
        os.close(reading)
        os.close(writing)


def ticked(pump: Pump) -> int:
    return sum(entry.ticks for entry in pump.arena())


async def test_the_overall_ranking_is_the_pumps(pump: Pump, feed: Callable[..., None], eventually: Any) -> None:
    feed("slow", "BTC/USDT", 7)
    feed("fast", "BTC/USDT", 0.001)
    feed("ahead", "BTC/USDT", -2)
    pump.add_asset("mute")
    pump.add_asset("news", in_arena=False)
    await eventually(lambda: ticked(pump) == 3)
    fast, slow, ahead, mute = msgspec.to_builtins(arena_view.overall(pump, ASSETS))
    assert [place["asset"] for place in (fast, slow, ahead, mute)] == ["fast", "slow", "ahead", "mute"]
    assert [place["rank"] for place in (fast, slow, ahead, mute)] == [1, 2, 3, 4]
    assert 1_000 <= fast["lag_us"] < 1_000_000
    assert fast["lag_smoothed_us"] == fast["lag_us"]
    assert (fast["severity"], fast["degraded"], fast["clock_error"], fast["ticks"]) == (0, False, False, 1)
    assert (slow["severity"], slow["degraded"]) == (2, True)
    assert 7_000_000 <= slow["lag_us"] < 8_000_000
    assert ahead["clock_error"] is True
    assert ahead["lag_us"] < 0
    assert mute == {
        "rank": 4, "asset": "mute", "state": "running", "ticks": 0, "clock_error": False, "severity": 0, "degraded": False
    }, "what it has not got is absent"  # fmt: skip
    assert list(fast) == [
        "rank", "asset", "state", "lag_us", "lag_smoothed_us", "ticks", "silent_ms", "clock_error", "severity", "degraded",
        "lag_p50_us", "lag_p90_us", "lag_p99_us", "lag_least_us", "lags", "ticks_per_s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "after_s", "severity"),
    [
        ("starting", 0.5, 0),
        ("running", 2.5, 1),
        ("running", 10, 2),
        ("backoff", 30, 3),
        ("tripped", 300, 4),
        ("misconfigured", 300, 4),
        ("idle", 300, None),
        ("paused", 300, None),
        ("done", 300, None),
    ],
)
async def test_without_a_tick_silence_counts_from_the_beginning_of_the_state_unless_it_is_on_purpose(
    pump: Pump, state: str, after_s: float, severity: int | None
) -> None:
    pump.add_asset("mute")
    now_ns = 1_700_000_000_000_000_000
    (place,) = arena_view.overall(pump, {"mute": Status(state, (now_ns - int(after_s * 1e9)) // 1000)}, now_ns=now_ns)
    assert (place.state, place.severity, place.degraded) == (state, severity, bool(severity))
    assert ("severity" in msgspec.to_builtins(place)) == (severity is not None)


async def test_a_source_that_rests_is_not_degraded_however_late_its_last_tick_was(
    pump: Pump, feed: Callable[..., None], eventually: Any
) -> None:
    feed("slow", "BTC/USDT", 7)
    await eventually(lambda: ticked(pump) == 1)
    resting = {"slow": Status("paused", 0)}
    for places in (arena_view.overall(pump, resting), arena_view.per_symbol(pump, "BTC/USDT", resting)):
        (place,) = places
        assert (place.state, place.severity, place.degraded) == ("paused", None, False)
        assert (place.lag_us or 0) >= 7_000_000


@pytest.mark.parametrize(("hours", "severity"), [("busy", 3), ("quiet", 1), ("closed", 1)])
async def test_silence_is_held_against_a_source_only_while_its_market_is_in_session(
    pump: Pump, feed: Callable[..., None], eventually: Any, hours: Hours, severity: int
) -> None:
    feed("late", "BTC/USDT", 2)
    pump.add_asset("mute")
    await eventually(lambda: ticked(pump) == 1)
    later_ns = time.time_ns() + 30_000_000_000
    assets = {name: Status("running", time.time_ns() // 1000) for name in ("late", "mute")}
    (late, mute) = arena_view.overall(pump, assets, hours=lambda _asset: hours, now_ns=later_ns)
    (place,) = arena_view.per_symbol(pump, "BTC/USDT", assets, hours=lambda _asset: hours, now_ns=later_ns)
    assert (late.severity, place.severity, mute.severity) == (severity, severity, 3 if hours == "busy" else 0)
    assert (late.degraded, mute.degraded) == (True, hours == "busy")


async def test_an_asset_that_has_left_the_configuration_is_left_out(
    pump: Pump, feed: Callable[..., None], eventually: Any
) -> None:
    feed("fast", "BTC/USDT", 0)
    feed("slow", "BTC/USDT", 3)
    await eventually(lambda: ticked(pump) == 2)
    left = {"slow": ASSETS["slow"]}
    for places in (arena_view.overall(pump, left), arena_view.per_symbol(pump, "BTC/USDT", left)):
        assert [(place.rank, place.asset) for place in places] == [(1, "slow")]


async def test_a_symbol_is_ranked_among_those_who_have_ticked_it(
    pump: Pump, feed: Callable[..., None], eventually: Any
) -> None:
    feed("one", "BTC/USDT", 3)
    feed("two", "BTC/USDT", 0.01)
    feed("two", "ETH/USDT", 0.02)
    feed("three", "ETH/USDT", -1)
    feed("four", "BRK-B", 0)
    await eventually(lambda: ticked(pump) == 5)

    def ranked(symbol: str) -> list[tuple[int, str, int]]:
        return [(place.rank, place.asset, place.ticks) for place in arena_view.per_symbol(pump, symbol, ASSETS)]

    assert ranked("BTC/USDT") == [(1, "two", 1), (2, "one", 1)]
    assert ranked("ETH/USDT") == [(1, "two", 1), (2, "three", 1)]
    assert ranked("BTC-USDT") == ranked("BTC/USDT"), "as a path has it"
    assert ranked("BRK-B") == [(1, "four", 1)], "a dash of its own"
    assert ranked("DOGE/USDT") == []
    (_two, three) = arena_view.per_symbol(pump, "ETH/USDT", ASSETS)
    assert three.clock_error


async def test_silence_on_a_symbol_counts_after_a_second(
    pump: Pump, feed: Callable[..., None], eventually: Any
) -> None:
    feed("early", "A", 0)
    await eventually(lambda: ticked(pump) == 1)
    feed("late", "A", 0.5)
    await eventually(lambda: ticked(pump) == 2)
    soon = arena_view.per_symbol(pump, "A", ASSETS)
    assert [place.asset for place in soon] == ["early", "late"]
    later = arena_view.per_symbol(pump, "A", ASSETS, now_ns=time.time_ns() + 30_000_000_000)
    assert [place.asset for place in later] == ["early", "late"]
    assert [place.severity for place in later] == [3, 3]
    assert all(30_000 <= (place.silent_ms or 0) < 40_000 for place in later)


async def test_a_subscribed_symbol_that_nobody_ticked_is_not_ranked(pump: Pump, socket_pairs: Any) -> None:
    asset = pump.add_asset("quiet")
    outbox = pump.add_outbox(socket_pairs()[0].fileno(), lambda _closed: None)
    pump.subscribe(outbox, asset, "BTC/USDT")
    assert arena_view.per_symbol(pump, "BTC/USDT", ASSETS) == []
    pump.remove_outbox(outbox)


@pytest.mark.parametrize(
    ("seconds", "severity"),
    [(-5, 0), (0, 0), (1, 0), (1.000000001, 1), (4.99, 1), (5, 2), (14.99, 2), (15, 3), (59.99, 3), (60, 4), (1e6, 4)],
)
def test_severity_grows_in_steps(seconds: float, severity: int) -> None:
    assert arena_view.severity(int(seconds * 1e9)) == severity

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from finstream.children.demand import Demand, until_unwanted


def test_counts_and_tells_of_every_change() -> None:
    told: list[tuple[str, bool, int]] = []
    demand = Demand(lambda asset, newly: told.append((asset, newly, demand.wanted_by(asset))))
    demand.want("binance")
    demand.want("binance")
    demand.want("kraken")
    demand.unwant("binance")
    demand.unwant("binance")
    assert told == [
        ("binance", True, 1), ("binance", True, 2), ("kraken", True, 1), ("binance", False, 1), ("binance", False, 0),
    ]
    assert demand.wanted_by("kraken") == 1
    assert demand.wanted_by("never heard of") == 0


def test_taking_back_what_was_never_wanted_is_a_bug() -> None:
    demand = Demand(lambda _asset, _newly: None)
    demand.want("binance")
    demand.unwant("binance")
    with pytest.raises(ValueError, match="nobody wants 'binance'"):
        demand.unwant("binance")
    assert demand.wanted_by("binance") == 0


@given(st.lists(st.sampled_from("abc")))
def test_what_is_given_back_is_gone(assets: list[str]) -> None:
    demand = Demand(lambda _asset, _newly: None)
    for asset in assets:
        demand.want(asset)
    assert {asset: demand.wanted_by(asset) for asset in "abc"} == {asset: assets.count(asset) for asset in "abc"}
    for asset in assets:
        demand.unwant(asset)
    assert [demand.wanted_by(asset) for asset in "abc"] == [0, 0, 0]


class Subject:
    """Something that is wanted or not, on a clock of its own."""

    def __init__(self) -> None:
        self.wanted = True
        self.linger_s = 10.0
        self.news = trio.lowlevel.ParkingLot()
        self.over_at: float | None = None

    async def watch(self) -> None:
        await until_unwanted(lambda: self.wanted, lambda: self.linger_s, self.news)
        self.over_at = trio.current_time()

    def change(self, **values: float) -> None:
        vars(self).update(values)
        self.news.unpark_all()


@pytest.mark.parametrize(
    ("changes", "over_at"),
    [
        ([(5, {"wanted": False})], 15.0),
        ([(0, {"wanted": False}), (9, {"wanted": True}), (9.5, {"wanted": False})], 19.5),
        ([(0, {"wanted": False}), (4, {}), (8, {})], 10.0),  # news of something else
        ([(0, {"wanted": False}), (4, {"linger_s": 2.0})], 6.0),
        ([(0, {"wanted": False}), (4, {"linger_s": 100.0})], 104.0),
        ([(1, {"wanted": False, "linger_s": 0.0})], 1.0),
        ([(1, {"wanted": False}), (2, {"wanted": True})], None),
    ],
)
async def test_the_linger(
    changes: list[tuple[float, dict[str, float]]], over_at: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    subject = Subject()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.watch)
        for at, values in changes:
            await trio.sleep_until(at)
            subject.change(**values)
        await trio.sleep_until(1000)
        nursery.cancel_scope.cancel()
    assert subject.over_at == over_at

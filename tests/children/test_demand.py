from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finstream.children.demand import Demand


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

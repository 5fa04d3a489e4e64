"""How lags are spread, how many ticks a second are usual, and who tells trades first."""

from __future__ import annotations

import bisect

import pytest
from course import MS, START, S, course
from hypothesis import given
from hypothesis import strategies as st

from finstream.pump import Form, Lags, Tally

BOUNDS_NS = [0, 1024, *(bound for octave in range(10, 41) for bound in (3 << octave - 1, 2 << octave))]
"""Upper bounds of the buckets but for the last: the octaves from 2^10 ns on, each in halves."""


def expected_buckets(lags: list[int]) -> list[tuple[int, int]]:
    counts: dict[int, int] = {}
    for lag in lags:
        place = bisect.bisect_right(BOUNDS_NS, lag)
        bound = BOUNDS_NS[place] if place < len(BOUNDS_NS) - 1 else -1
        counts[bound] = counts.get(bound, 0) + 1
    return sorted(counts.items(), key=lambda item: (item[0] == -1, item[0]))


@given(
    st.lists(
        st.one_of(
            st.integers(-5 * S, 5 * S),
            st.integers(0, 5000),
            st.sampled_from([bound + by for bound in BOUNDS_NS for by in (-1, 0, 1)]),
            st.integers(1 << 40, 1 << 44),
        ),
        max_size=60,
    )
)
def test_every_lag_is_counted_in_its_bucket(lags: list[int]) -> None:
    with course("feed") as race:
        for lag in lags:
            race.take("feed", 0, lag=lag)
        handle = race.pump.asset_handle("feed")
        assert handle is not None
        assert race.pump.form(handle) == Form(
            tally=Tally(0, 0, 0, 0), lags=Lags(least_ns=min(lags, default=0), buckets=expected_buckets(lags))
        )


def test_lags_are_those_of_the_last_minutes() -> None:
    with course("feed") as race:
        handle = race.pump.asset_handle("feed")
        assert handle is not None

        def lags() -> tuple[int, int]:
            """The least one, and how many are known."""
            lags = race.pump.form(handle).lags
            return lags.least_ns, sum(count for _, count in lags.buckets)

        race.take("feed", 0, lag=-5 * MS)
        race.take("feed", 59 * S, lag=20 * MS)
        assert lags() == (-5 * MS, 2)
        race.take("feed", 61 * S, lag=30 * MS)
        assert lags() == (-5 * MS, 3)
        race.take("feed", 121 * S, lag=40 * MS)
        assert lags() == (30 * MS, 2), "two minutes later the first two are forgotten"
        race.take("feed", 400 * S, lag=50 * MS)
        assert lags() == (50 * MS, 1), "after a long silence all of them are"
        race.take("feed", 100 * S, lag=60 * MS)
        assert lags()[0] == 60 * MS, "the clock was set back"


def test_the_usual_rate_and_a_collapse() -> None:
    with course("feed") as race:
        for tick in range(10 * 120):  # ten a second, two minutes
            race.take("feed", tick * S // 10)
        [entry] = race.pump.arena(START + 120 * S)
        assert entry.rate == pytest.approx(10, rel=0.02)
        assert entry.usual_rate == pytest.approx(10, rel=0.02)
        assert entry.usual_windows == 11
        for tick in range(6):  # one in five seconds
            race.take("feed", 120 * S + tick * 5 * S)
        [entry] = race.pump.arena(START + 146 * S)
        assert entry.rate < 0.5
        assert 7 < entry.usual_rate < 10, "what is usual changes slowly"


def test_a_long_silence_does_not_change_what_is_usual() -> None:
    with course("feed") as race:
        for tick in range(10 * 31):
            race.take("feed", tick * S // 10)
        [entry] = race.pump.arena(START + 31 * S)
        for tick in range(10 * 15):
            race.take("feed", 3600 * S + tick * S // 10)
        [later] = race.pump.arena(START + 3615 * S)
        assert entry.usual_rate == pytest.approx(10, rel=0.02)
        assert (later.rate, later.usual_rate) == (pytest.approx(10, rel=0.02), pytest.approx(10, rel=0.02))
        assert later.usual_windows == entry.usual_windows + 1


def test_who_is_first_to_tell_a_trade_wins_it() -> None:
    with course("a", "b", "c") as race:
        for asset in "abc":
            race.take(asset, 0)
        race.trade("a", 10 * MS, 1)
        race.trade("a", 11 * MS, 1)  # told twice: not another's
        race.trade("b", 15 * MS, 1)
        race.trade("c", 40 * MS, 1)
        race.trade("b", 41 * MS, 1)
        race.trade("b", 50 * MS, 2)
        race.trade("a", 53 * MS, 2)
        race.trade("c", 60 * MS, 3)
        forms = {asset: race.form(asset).tally for asset in "abc"}
        assert forms == {"a": Tally(2, 1, 5 * MS, 5 * MS), "b": Tally(2, 1, 3 * MS, 3 * MS), "c": Tally(1, 0, 0, 0)}
        assert {asset: race.pump.form(race.pump.asset_handle(asset) or 0).tally for asset in "abc"} == forms
        race.trade("b", 70 * MS, 4, symbol="B")
        race.trade("c", 72 * MS, 4, symbol="B")  # it names the symbol only now, so nothing is known of the first one
        race.trade("c", 80 * MS, 5, symbol="B")
        race.trade("b", 82 * MS, 5, symbol="B")
        assert race.form("c", "B").tally == Tally(1, 1, 2 * MS, 2 * MS)
        assert race.form("c").tally == forms["c"]
        assert race.pump.form(race.pump.asset_handle("c") or 0).tally == Tally(2, 1, 2 * MS, 2 * MS)


def test_an_id_that_comes_again_after_a_minute_is_another_trade() -> None:
    with course("a", "b") as race:
        for asset in "ab":
            race.take(asset, 0)
        race.trade("a", 1 * S, 1)
        race.trade("b", 62 * S, 1)
        assert race.form("a").tally == race.form("b").tally == Tally(0, 0, 0, 0)
        race.trade("a", 62 * S + MS, 1)
        assert race.form("b").tally == Tally(1, 1, MS, MS)


@pytest.mark.parametrize(
    "other",
    [
        {"exchange": "another"}, {"exchange": None}, {"trade_id": None}, {"trade_id": "2"}, {"symbol": "B"},
        {"price": None, "bid": "1"},
    ],
)  # fmt: skip
def test_other_trades_are_not_matched(other: dict[str, str | None]) -> None:
    with course("a", "b") as race:
        for symbol in "AB":
            for asset in "ab":
                race.take(asset, 0, symbol=symbol)
        race.trade("a", 1 * MS, 1)
        race.trade("b", 2 * MS, 1, **other)
        race.trade("b", 3 * MS, 1, symbol="B", **{name: value for name, value in other.items() if name != "symbol"})
        assert race.form("a").tally.matches == race.form("b").tally.matches == 0
        race.trade("b", 4 * MS, 1)
        assert race.form("a").tally.matches == race.form("b").tally.matches == 1


def test_a_symbol_is_ranked_by_lag_and_by_silence_beyond_a_second() -> None:
    with course("a", "b", "c") as race:
        race.take("a", 0, lag=10 * MS)
        race.take("b", 0, lag=3 * S)
        race.take("c", 0, lag=-MS)
        race.take("a", 0, symbol="B")
        assert race.pump.new_rankings(now_ns=START) == {"A": ["a", "b", "c"]}
        assert race.pump.new_rankings(now_ns=START + S) == {}
        race.take("b", 9 * S, lag=3 * S)
        assert race.pump.new_rankings(now_ns=START + 9 * S) == {"A": ["b", "a", "c"]}, "one that has gone mute gets worse"
        race.take("a", 9 * S)
        race.pump.retire_asset(race.pump.asset_handle("c") or 0)
        assert race.pump.new_rankings(now_ns=START + 9 * S) == {"A": ["a", "b"]}


def test_only_racing_assets_with_a_rival_are_entrants() -> None:
    with course("a", "b", "news") as race:
        race.pump.add_asset("news", in_arena=False)
        race.take("a", 0)
        race.take("news", 0)
        assert race.pump.form_on_symbol(race.pump.asset_handle("a") or 0, "A") is None
        race.take("b", 0)
        race.take("b", 1, lag=3 * MS)
        assert race.pump.form_on_symbol(race.pump.asset_handle("news") or 0, "A") is None
        assert sum(count for _, count in race.form("a").lags.buckets) == 0, "as of the second one's arrival"
        assert race.form("b").lags == Lags(0, expected_buckets([0, 3 * MS]))
        assert race.pump.form_on_symbol(race.pump.asset_handle("b") or 0, "C") is None

"""Percentiles of what was counted in buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finstream.pump import Lags
from finstream.services.percentiles import percentile_ns

MS = 1_000_000
BOUNDS = [0, 1024, *(bound for octave in range(10, 41) for bound in (3 << octave - 1, 2 << octave))][:-1]


def lags_of(values: list[int]) -> Lags:
    counts: dict[int, int] = {}
    for value in values:
        bound = next((bound for bound in BOUNDS if value < bound), -1)
        counts[bound] = counts.get(bound, 0) + 1
    order = sorted(counts, key=lambda bound: (bound == -1, bound))
    return Lags(min(values, default=0), [(bound, counts[bound]) for bound in order])


@given(
    st.lists(st.one_of(st.integers(-MS, 50 * MS), st.integers(0, 3000), st.integers(0, 1 << 43)), min_size=1),
    st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]),
)
def test_a_percentile_lies_in_the_bucket_of_the_true_one(values: list[int], share: float) -> None:
    found = percentile_ns(lags_of(values), share)
    assert found is not None
    ordered = sorted(values)
    true = ordered[max(0, -int(-share * len(values) // 1) - 1)]
    bounds = [min(values) - 1, *BOUNDS]
    place = next((i for i, bound in enumerate(BOUNDS) if true < bound), len(BOUNDS))
    assert bounds[place] <= found <= (BOUNDS[place] if place < len(BOUNDS) else found)


def test_none_of_nothing() -> None:
    assert percentile_ns(Lags(0, []), 0.5) is None


@pytest.mark.parametrize(("share", "expected_ms"), [(0.5, 50), (0.9, 90), (0.99, 99)])
def test_even_lags(share: float, expected_ms: float) -> None:
    found = percentile_ns(lags_of([n * MS // 10 for n in range(1000)]), share)
    assert found == pytest.approx(expected_ms * MS, rel=0.1)

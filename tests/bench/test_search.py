import random

from hypothesis import given
from hypothesis import strategies as st

from bench.search import Attempt, RateSearch


def found(search: RateSearch, limit: float, *, short_limit: float | None = None) -> list[Attempt]:
    """Search against a system that sustains up to ``limit``; for a short time up to ``short_limit``."""
    attempts = []
    while (attempt := search.next()) is not None:
        attempts.append(attempt)
        bound = limit if attempt.thorough or short_limit is None else short_limit
        search.tell(attempt, attempt.rate <= bound)
    return attempts


@given(st.floats(10, 1e8), st.sampled_from([60.0, 500.0, 8000.0]))
def test_finds_the_limit_to_its_precision(limit: float, first: float) -> None:
    search = RateSearch(first, most_attempts=40)
    found(search, limit)
    assert search.best is not None
    assert limit / 1.1001 <= search.best <= limit


@given(st.floats(100, 1e7), st.floats(1.0, 6.0))
def test_what_holds_for_a_short_time_only_is_not_the_answer(limit: float, optimism: float) -> None:
    search = RateSearch(1000.0, most_attempts=60)
    found(search, limit, short_limit=limit * optimism)
    assert search.best is not None
    assert limit / 1.1001 <= search.best <= limit


def test_gives_up_below_one_tick_per_second() -> None:
    search = RateSearch(100.0)
    attempts = found(search, 0.5)
    assert search.best is None
    assert [attempt.rate for attempt in attempts] == [100.0, 25.0, 6.25, 1.5625]


@given(st.floats(0.1, 1e9))
def test_attempts_are_bounded(limit: float) -> None:
    search = RateSearch(1000.0, most_attempts=12)
    assert len(found(search, limit)) <= 12


@given(st.floats(1000, 1e7), st.integers(0, 2**32))
def test_a_rate_that_fails_once_is_not_given_up(limit: float, seed: int) -> None:
    """Whatever is tried for the first time may fail, but for the first step of all; the second time it is the limit that tells."""
    chance, seen = random.Random(seed), set[float]()
    search = RateSearch(500.0, most_attempts=80)
    while (attempt := search.next()) is not None:
        hiccup = attempt.rate not in seen and len(seen) > 0 and chance.random() < 0.5
        seen.add(attempt.rate)
        search.tell(attempt, attempt.rate <= limit and not hiccup)
    assert search.best is not None
    assert limit / 1.0501 <= search.best <= limit

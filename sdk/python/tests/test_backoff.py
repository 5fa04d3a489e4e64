from __future__ import annotations

import pytest

from finstream_client import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 30)
    assert [backoff.pause_s(failures, lambda: 1.0) for failures in (1, 2, 3, 6, 7, 8, 10_000)] == [0.5, 1, 2, 16, 30, 30, 30]


def test_half_of_a_pause_is_random() -> None:
    backoff = Backoff(1, 30)
    assert backoff.pause_s(2, lambda: 0.0) == 1
    drawn = {backoff.pause_s(2) for _ in range(100)}
    assert len(drawn) > 50
    assert all(1 <= pause <= 2 for pause in drawn)


@pytest.mark.parametrize(("initial_s", "max_s"), [(0, 1), (-1, 1), (2, 1)])
def test_what_is_no_backoff(initial_s: float, max_s: float) -> None:
    with pytest.raises(ValueError, match="initial_s"):
        Backoff(initial_s, max_s)

from __future__ import annotations

import random

from finstream.cli.backoff import Backoff


def test_delays_double_up_to_the_cap_with_jitter_between_half_and_the_whole() -> None:
    backoff = Backoff(initial_s=1, max_s=8, rng=random.Random(1))
    for ceiling in [1, 2, 4, 8, 8, 8]:
        assert ceiling / 2 <= backoff.next_delay_s() <= ceiling


def test_it_differs_from_client_to_client() -> None:
    delays = {Backoff(rng=random.Random(seed)).next_delay_s() for seed in range(50)}
    assert len(delays) == 50


def test_a_success_begins_anew() -> None:
    backoff = Backoff(initial_s=1, max_s=60)
    for _ in range(10):
        backoff.next_delay_s()
    backoff.reset()
    assert backoff.next_delay_s() <= 1


def test_a_very_long_outage_does_not_overflow() -> None:
    backoff = Backoff(initial_s=0.25, max_s=15)
    assert max(backoff.next_delay_s() for _ in range(2000)) <= 15

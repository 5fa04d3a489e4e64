from __future__ import annotations

from finstream.services.rates import Rates


def test_a_rate_is_the_growth_since_the_round_before() -> None:
    rates = Rates()
    rates.begin(100.0)
    assert (rates.per_s("a", 50), rates.interval_s) == (0.0, 0.0)
    rates.begin(102.0)
    assert (rates.per_s("a", 70), rates.interval_s) == (10.0, 2.0)


def test_what_is_new_or_was_set_back_has_no_rate() -> None:
    rates = Rates()
    rates.begin(0.0)
    rates.per_s("a", 50)
    rates.begin(1.0)
    assert rates.per_s("new", 1000) == 0.0
    assert rates.per_s("a", 10) == 0.0
    rates.begin(2.0)
    assert rates.per_s("a", 11) == 1.0


def test_what_a_round_leaves_out_is_forgotten() -> None:
    rates = Rates()
    for round_number in range(3):
        rates.begin(float(round_number))
        if round_number != 1:
            assert rates.per_s("a", round_number * 100) == 0.0

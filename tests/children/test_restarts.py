"""The restart policy: pure decisions about failures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finstream.children.restarts import Decision, Restarts
from finstream.vocabulary.settings import RestartSettings

PATIENT = RestartSettings(
    initial_s=1.0, max_s=10.0, stable_s=60.0, circuit_failures=1000, circuit_window_s=60.0, circuit_cooldown_s=300.0
)
TOUCHY = RestartSettings(
    initial_s=1.0, max_s=10.0, stable_s=60.0, circuit_failures=3, circuit_window_s=60.0, circuit_cooldown_s=300.0
)


def always(value: float) -> Restarts:
    return Restarts(PATIENT, lambda: value)


def test_the_pause_doubles_up_to_the_cap() -> None:
    restarts = always(1.0)
    assert [restarts.failed(n, 0.0).wait_s for n in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_the_jitter_is_full() -> None:
    assert always(0.0).failed(0.0, 0.0).wait_s == 0.0
    assert always(0.25).failed(0.0, 0.0).wait_s == 0.25


def test_a_stable_run_starts_the_count_anew() -> None:
    restarts = always(1.0)
    for n in range(4):
        restarts.failed(n, 59.9)
    assert restarts.failed(100.0, 60.0) == Decision(1.0, tripped=False, failures=1)


def test_too_many_failures_in_the_window_open_the_circuit() -> None:
    restarts = Restarts(TOUCHY, lambda: 0.5)
    assert [restarts.failed(n, 0.0).tripped for n in (0.0, 30.0, 60.0)] == [False, False, True]


def test_failures_that_are_far_apart_do_not() -> None:
    restarts = Restarts(TOUCHY, lambda: 0.5)
    assert not any(restarts.failed(n * 30.1, 0.0).tripped for n in range(20))


def test_an_open_circuit_allows_one_attempt_after_the_cooldown() -> None:
    restarts = Restarts(TOUCHY, lambda: 0.5)
    opened = [restarts.failed(n, 0.0) for n in (0.0, 1.0, 2.0)][-1]
    assert opened == Decision(300.0, tripped=True, failures=3)
    # The attempt fails, long after the window: open again at once.
    assert restarts.failed(303.0, 1.0) == Decision(300.0, tripped=True, failures=4)
    # The next one holds for a while, then fails: an ordinary failure.
    assert restarts.failed(1000.0, 61.0) == Decision(0.5, tripped=False, failures=1)


def test_forgiving_closes_the_circuit() -> None:
    restarts = Restarts(TOUCHY, lambda: 0.5)
    for n in range(3):
        restarts.failed(n, 0.0)
    restarts.forgive()
    assert restarts.failed(4.0, 0.0) == Decision(0.5, tripped=False, failures=1)


def test_settings_may_change_under_way() -> None:
    restarts = Restarts(PATIENT, lambda: 0.5)
    restarts.failed(0.0, 0.0)
    restarts.failed(1.0, 0.0)
    restarts.settings = TOUCHY
    assert restarts.failed(2.0, 0.0).tripped


def test_many_failures_do_not_overflow() -> None:
    restarts = always(1.0)
    for n in range(5000):
        decision = restarts.failed(n * 1000.0, 0.0)
    assert decision == Decision(10.0, tripped=False, failures=5000)


@given(
    times=st.lists(st.tuples(st.floats(0, 500), st.floats(0, 100)), min_size=1, max_size=40),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_a_pause_is_never_negative_nor_longer_than_allowed(times: list[tuple[float, float]], jitter: float) -> None:
    restarts, now = Restarts(TOUCHY, lambda: jitter), 0.0
    for pause, ran_s in times:
        now += pause + ran_s
        decision = restarts.failed(now, ran_s)
        assert decision.wait_s == 300.0 if decision.tripped else 0 <= decision.wait_s < 10.0
        assert decision.failures >= 1
        if ran_s >= 60.0:
            assert decision == Decision(jitter, tripped=False, failures=1)


@pytest.mark.parametrize("failures", [1])
def test_a_circuit_of_one_failure_opens_at_once(failures: int) -> None:
    restarts = Restarts(RestartSettings(circuit_failures=failures), lambda: 0.5)
    assert restarts.failed(0.0, 0.0).tripped

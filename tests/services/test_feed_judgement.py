"""Whether a feed is well: readings in, verdicts out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finstream.services.feed_judgement import STATES, Reading, Verdict, Vigil, hours_of, judge
from finstream.vocabulary.market import Phase

WELL = Reading(
    state="running", in_state_s=1000, ticks=5000, silent_s=0.1, lag_s=0.05, rate=10, usual_rate=10, usual_windows=60,
    hours="busy",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "live None"),
        ({"lag_s": 1.0}, "live None"),
        ({"lag_s": 1.1}, "degraded lag"),
        ({"lag_s": 15.1}, "stale lag"),
        ({"lag_s": -0.001}, "degraded clock_error"),
        ({"lag_s": None}, "live None"),
        ({"lag_s": None, "rate": 0.99}, "degraded rate_collapsed"),
        ({"rate": 0.99}, "degraded rate_collapsed"),
        ({"rate": 1.0}, "live None"),
        ({"rate": 0.0, "usual_rate": 1.9}, "live None"),  # too rare to tell it from chance
        ({"rate": 0.0, "usual_windows": 5}, "live None"),  # what is usual is not known yet
        ({"rate": 0.0, "in_state_s": 9}, "live None"),  # it has just been started
        ({"silent_s": 5}, "live None"),
        ({"silent_s": 5.1}, "stale mute"),
        ({"silent_s": 60.1}, "down mute"),
        ({"silent_s": 60.1, "in_state_s": 3}, "live None"),  # before that it did not run
        ({"silent_s": 190, "usual_rate": 0.1, "rate": 0}, "live None"),  # 20 ticks take 200 s
        ({"silent_s": 210, "usual_rate": 0.1, "rate": 0}, "stale mute"),
        ({"silent_s": 1010, "in_state_s": 9999, "usual_rate": 0.1, "rate": 0}, "down mute"),
        ({"silent_s": 15, "usual_windows": 5}, "live None"),
        ({"silent_s": 15.1, "usual_windows": 5}, "stale mute"),
        ({"ticks": 0, "silent_s": 14, "usual_windows": 0, "lag_s": 0}, "live None"),
        ({"ticks": 0, "silent_s": 16, "usual_windows": 0, "lag_s": 0}, "stale mute"),
        ({"state": "starting", "silent_s": 999, "in_state_s": 1}, "live None"),
        ({"state": "backoff"}, "down not_running"),
        ({"state": "tripped"}, "down not_running"),
        ({"state": "misconfigured"}, "down not_running"),
        ({"state": "paused", "silent_s": 999}, None),
        ({"state": "idle", "silent_s": 999}, None),
        ({"state": "done", "silent_s": 999}, None),
        ({"hours": "closed", "silent_s": 999}, None),
        ({"hours": "closed", "state": "backoff"}, None),
        ({"hours": "quiet", "silent_s": 999}, "live None"),
        ({"hours": "quiet", "rate": 0.0}, "live None"),
        ({"hours": "quiet", "lag_s": 1.1, "rate": 0.0}, "degraded lag"),
        ({"hours": "quiet", "lag_s": 15.1}, "stale lag"),
        ({"hours": "quiet", "lag_s": -0.001}, "degraded clock_error"),
        ({"hours": "quiet", "state": "backoff"}, "down not_running"),
        ({"lag_s": 15.1, "rate": 0.0}, "stale lag"),
        ({"lag_s": 1.1, "rate": 0.0}, "degraded rate_collapsed"),
        ({"lag_s": 15.1, "ticks": 0}, "live None"),
    ],
)
def test_verdicts(changed: dict[str, object], verdict: str | None) -> None:
    found = judge(msgspec.structs.replace(WELL, **changed))
    assert (None if found is None else f"{found.state} {found.cause}") == verdict


@pytest.mark.parametrize(
    ("phase", "hours"),
    [(None, "closed"), ("closed", "closed"), ("pre-market", "quiet"), ("open", "busy"), ("after-hours", "quiet")],
)
def test_hours_are_those_of_the_market(phase: Phase | None, hours: str) -> None:
    assert hours_of("nasdaq", phase) == hours
    assert hours_of("always", phase) == "busy"


def test_worse_is_told_at_once_and_better_when_it_has_lasted() -> None:
    vigil = Vigil()
    live, late, mute, down = Verdict(), Verdict("degraded", "lag"), Verdict("stale", "mute"), Verdict("down", "mute")
    seen = [(live, False), (late, True), (late, False), (mute, True), (down, True)]
    assert [vigil.see(verdict, at) for at, (verdict, _) in enumerate(seen)] == [told for _, told in seen]
    assert [vigil.see(late, at) for at in (10, 11, 12)] == [False] * 3
    assert vigil.verdict == down
    assert vigil.see(late, 13)
    assert vigil.verdict == late
    assert not vigil.see(live, 14)
    assert vigil.see(Verdict("degraded", "clock_error"), 15), "another cause"
    assert [vigil.see(live, at) for at in (16, 18, 19)] == [False, False, True]
    assert vigil.see(mute, 20)
    assert not vigil.see(None, 21), "it rests: nothing is said"
    assert not vigil.see(live, 22)
    assert vigil.verdict == live


@given(st.lists(st.sampled_from([None, *(Verdict(state, None if state == "live" else "lag") for state in STATES)])))
def test_nothing_is_told_twice_and_nothing_worse_is_kept_back(verdicts: list[Verdict | None]) -> None:
    vigil = Vigil()
    believed = Verdict()
    for at, verdict in enumerate(verdicts):
        changed = vigil.see(verdict, float(at))
        if verdict is None:
            believed = Verdict()
        assert changed == (vigil.verdict != believed)
        believed = vigil.verdict
        if verdict is not None:
            assert STATES.index(vigil.verdict.state) >= STATES.index(verdict.state)

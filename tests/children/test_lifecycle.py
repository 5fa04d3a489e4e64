"""The table of states is complete, closed, and held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from finstream.children.lifecycle import (
    COMMANDS,
    REASONS,
    STATES,
    TRANSITIONS,
    IllegalTransitionError,
    Lifecycle,
    State,
)
from finstream.vocabulary.reasons import STOPS

ALL: tuple[State, ...] = get_args(State)


def life_in(state: State) -> tuple[Lifecycle, list[tuple[str, str]]]:
    """A life brought into a state by legal steps only, and its record of changes from then on."""
    paths: dict[State, list[State]] = {"idle": []}
    while state not in paths:
        for known, path in list(paths.items()):
            for after in sorted(TRANSITIONS[known]):
                paths.setdefault(after, [*path, after])
    changes: list[tuple[str, str]] = []
    life = Lifecycle(iter(range(1000)).__next__, lambda previous: changes.append((previous, life.state)))
    for step in paths[state]:
        life.enter(step, "Wanted")
    changes.clear()
    return life, changes


def test_the_tables_speak_of_the_same_states() -> None:
    assert set(ALL) == set(STATES) == set(TRANSITIONS)
    assert set().union(*TRANSITIONS.values()) <= set(ALL)
    assert set().union(*COMMANDS.values()) <= set(ALL)


def test_every_stop_is_a_reason() -> None:
    assert STOPS.items() <= REASONS.items()


@pytest.mark.parametrize("state", ALL)
def test_every_state_is_reached_and_left(state: State) -> None:
    life, _changes = life_in(state)
    assert life.state == state
    assert TRANSITIONS[state] - {state}


@pytest.mark.parametrize("after", ALL)
@pytest.mark.parametrize("before", ALL)
def test_only_what_the_table_allows_happens(before: State, after: State) -> None:
    life, changes = life_in(before)
    if after in TRANSITIONS[before]:
        life.enter(after, "Wanted", "a detail")
        assert (life.state, life.reason, life.detail) == (after, "Wanted", "a detail")
        assert changes == [(before, after)]
    else:
        with pytest.raises(IllegalTransitionError, match=f"{before} -> {after}"):
            life.enter(after, "Wanted")
        assert life.state == before
        assert changes == []


def test_a_process_is_only_ever_there_in_three_states() -> None:
    """Nothing without a process becomes running or stopping, and nothing starts but through starting."""
    for state, following in TRANSITIONS.items():
        if state not in {"starting", "running", "stopping"}:
            assert not following & {"running", "stopping"}
    assert [state for state in ALL if "running" in TRANSITIONS[state]] == ["starting"]


def test_the_time_of_a_change_is_kept() -> None:
    clock: Callable[[], int] = iter([100, 200, 300]).__next__
    life = Lifecycle(clock, lambda _previous: None)
    assert life.since_us == 100
    life.enter("starting", "Wanted")
    assert life.since_us == 200


def test_a_reason_needs_a_name_in_the_table() -> None:
    life, changes = life_in("idle")
    with pytest.raises(IllegalTransitionError, match="Because"):
        life.enter("starting", "Because")
    assert (life.state, changes) == ("idle", [])

"""Reconnection windows on Trio's own clock: no waiting, no chance."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from finstream.services.connection import Connection
from finstream.services.session import Session
from finstream.services.windows import Windows


def session(name: str) -> Session:
    return Session(name, 0)


def overdue(windows: Windows) -> list[str]:
    return [found.uuid for found in windows.overdue()]


def connect(waiting: Session) -> None:
    waiting.connection = Connection(1, "peer", 0, lambda _reason: None, lambda _asset: b"", 0)


@pytest.fixture
async def windows(mock_clock: MockClock) -> Windows:
    return Windows()


async def test_a_window_that_is_over_is_told_once(windows: Windows, mock_clock: MockClock) -> None:
    windows.open(session("a"), 10)
    windows.open(session("b"), 5)
    mock_clock.jump(4.9)
    assert overdue(windows) == []
    mock_clock.jump(0.1)
    assert overdue(windows) == ["b"]
    mock_clock.jump(10)
    assert overdue(windows) == ["a"]
    assert overdue(windows) == []


async def test_whoever_is_connected_is_not_overdue(windows: Windows, mock_clock: MockClock) -> None:
    a = session("a")
    windows.open(a, 10)
    connect(a)
    mock_clock.jump(100)
    assert overdue(windows) == []
    a.connection = None
    windows.open(a, 10)
    mock_clock.jump(10)
    assert overdue(windows) == ["a"]


async def test_waiting_anew_moves_the_deadline_back(windows: Windows, mock_clock: MockClock) -> None:
    a = session("a")
    windows.open(a, 10)
    for _ in range(5):  # connects and leaves again and again
        mock_clock.jump(9)
        windows.open(a, 10)
        assert overdue(windows) == []
    mock_clock.jump(9.9)
    assert overdue(windows) == []
    mock_clock.jump(0.1)
    assert overdue(windows) == ["a"]


async def test_whoever_is_forgotten_is_not_overdue_and_takes_no_room(
    windows: Windows, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = session("kept")
    windows.open(kept, 1e6)
    for number in range(10_000):
        gone = session(str(number))
        windows.open(gone, 1e5)
        gone.is_forgotten = True
    assert len(windows._entries) < 5000
    mock_clock.jump(1e5)
    assert overdue(windows) == []
    mock_clock.jump(1e6)
    assert overdue(windows) == ["kept"]


async def test_the_next_change_comes_with_the_deadline(autojump_clock: MockClock) -> None:
    windows = Windows()
    windows.open(session("a"), 10)
    await windows.next_change()  # told of the new window
    await windows.next_change()
    assert trio.current_time() == pytest.approx(10)
    assert overdue(windows) == ["a"]


async def test_a_window_that_is_over_sooner_is_waited_for(autojump_clock: MockClock, nursery: Any) -> None:
    windows = Windows()
    windows.open(session("later"), 10)
    await windows.next_change()
    told: list[float] = []

    async def wait() -> None:
        while not overdue(windows):
            await windows.next_change()
        told.append(trio.current_time())

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    windows.open(session("sooner"), 1)
    await trio.sleep(2)
    assert told == [pytest.approx(1)]

"""The arena as a table."""

from __future__ import annotations

import pytest
from rich.console import Console

from finstream.cli.arena import Place, arena_table


@pytest.mark.parametrize(
    ("place", "health"),
    [
        (Place(1, "a", "running", 900, 900, 5, 3, severity=0), "good"),
        (Place(1, "a", "running", 900, 900, 5, 3, severity=0, clock_ahead_us=2500), "its clock is 2.5 ms ahead or more"),
        (Place(1, "a", "running", 900, 900, 5, 9000, severity=2, degraded=True), "degraded, severity 2"),
        (Place(1, "a", "running", severity=0), "no tick yet"),
        (Place(1, "a", "tripped", severity=4, degraded=True), "no tick yet, severity 4"),
        (Place(1, "a", "paused", 900, 900, 5, 9000), "paused"),
        (Place(1, "a", "idle"), "idle"),
    ],
)
def test_the_health_of_a_source(place: Place, health: str) -> None:
    console = Console(width=160)
    with console.capture() as shown:
        console.print(arena_table([place]))
    assert shown.get().splitlines()[-1].rstrip(" │┃|").endswith(f" {health}")


def shown(places: list[Place], rates: dict[str, float] | None = None) -> list[list[str]]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(arena_table(places, rates))
    return [line.split() for line in captured.get().splitlines()]


def test_all_figures() -> None:
    known = Place(
        1, "a", "running", 900, 1100, 5000, 3, severity=0, lag_p50_us=1000, lag_p99_us=42_000, ticks_per_s=3.25,
        usual_ticks_per_s=1234.5, matches=1200, win_rate=0.625, lead_us=12_000, leads=True,
    )  # fmt: skip
    title, first, second = shown([known, Place(2, "b", "idle")])
    assert title[2:-1] == ["lag", "smoothed", "p50", "p99", "ticks/s", "usually", "won", "lead", "ticks", "silent"]
    told = " ".join(first)
    assert told.startswith("1 a (best) ")
    assert "3.2 1,234 62% of 1,200" in told
    assert second == ["2", "b", *["–"] * 8, "0", "–", "idle"]


def test_a_busy_screen_shows_fewer() -> None:
    title, first = shown([Place(1, "a", "running", 900, 1100, 5000, 3, severity=0, matches=3)], {"a": 17.4})
    assert title == ["rank", "asset", "lag", "smoothed", "ticks/s", "ticks", "silent", "health"]
    assert "17" in first

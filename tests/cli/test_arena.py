"""The arena as a table."""

from __future__ import annotations

import pytest
from rich.console import Console

from finstream.cli.arena import Place, arena_table


@pytest.mark.parametrize(
    ("place", "health"),
    [
        (Place(1, "a", "running", 900, 900, 5, 3, severity=0), "good"),
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

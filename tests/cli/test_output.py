from __future__ import annotations

import pytest

from finstream.cli.output import count, duration, microseconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0 µs"), (87, "87 µs"), (-87, "-87 µs"), (999, "999 µs"), (4210, "4.21 ms"),
        (84_600, "84.6 ms"), (1_500_000, "1.5 s"), (61_000_000, "61 s"), (120_000_000, "2 min"),
        (-9_000_000_000, "-2.5 h"), (315_532_800_000_000, "3652 d"),
    ],
)  # fmt: skip
def test_time_spans_have_the_unit_that_suits_them(value: float | None, text: str) -> None:
    assert microseconds(value) == text


def test_durations_in_seconds() -> None:
    assert [duration(0.02), duration(1), duration(90), duration(7200)] == ["20 ms", "1 s", "90 s", "2 h"]


def test_counts() -> None:
    assert [count(0, "line"), count(1, "line"), count(1024, "line")] == ["0 lines", "1 line", "1,024 lines"]

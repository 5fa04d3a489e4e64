"""``finstream market``, against a real engine and in every case there is to be shown."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from finstream.cli.market import market_lines
from finstream.vocabulary.market import MarketSession, MarketView

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def truth_again(finstream: Run) -> Iterator[None]:
    yield
    assert finstream("market", "simulate", "off").returncode == 0


@pytest.mark.parametrize("arguments", [[], ["show"]])
def test_the_market_for_people_and_for_programs(engine: Any, finstream: Run, arguments: list[str]) -> None:
    told = finstream("market", *arguments)
    assert (told.returncode, told.stderr) == (0, "")
    assert re.search(r"^nasdaq +(open|closed|pre-market|after-hours)  simulated", told.stdout, re.MULTILINE)
    assert "calendar; the market is not asked" in told.stdout
    document = json.loads(finstream("market", *arguments, "--json").stdout)
    assert (document["market"], document["source"], document["simulated"]) == ("nasdaq", "calendar", True)


def test_simulate_and_show(engine: Any, finstream: Run, truth_again: None) -> None:
    told = finstream("market", "simulate", "after-hours")
    assert (told.returncode, told.stderr) == (0, "")
    assert "after-hours  simulated" in told.stdout
    assert "nobody is asked" in finstream("market").stdout
    document = json.loads(finstream("market", "simulate", "open", "--json").stdout)
    assert (document["status"], document["source"]) == ("open", "simulation")
    document = json.loads(finstream("market", "simulate", "off", "--json").stdout)
    assert document["source"] == "calendar"


def test_wrong_usage(finstream: Run) -> None:
    told = finstream("market", "simulate", "halted")
    assert (told.returncode, told.stdout) == (2, "")
    assert "'pre-market', 'open', 'after-hours', 'closed', 'off'" in told.stderr
    assert "There are: show, simulate" in finstream("market", "shw").stderr
    assert finstream("market").returncode == 69, "no engine is there"


def test_the_market_watched(
    engine: Any, finstream_process: Callable[..., subprocess.Popen[str]], interrupt: Callable[..., tuple[int, str, str]]
) -> None:
    process = finstream_process("market", "--watch", "--every", "0.05", "--json")
    assert process.stdout is not None
    for _ in range(3):
        assert json.loads(process.stdout.readline())["market"] == "nasdaq"
    code, _, err = interrupt(process)
    assert (code, err) == (0, "")


HALF_DAY = MarketSession(
    date="2026-11-27", pre_market_us=1795770000000000, open_us=1795789800000000, close_us=1795802400000000,
    after_hours_end_us=1795816800000000, half_day=True,
)  # fmt: skip
VIEW: dict[str, Any] = {
    "market": "nasdaq", "status": "open", "source": "nasdaq", "simulated": False, "since_us": 1795789800000000,
    "next_status": "after-hours", "next_change_us": 1795802400000000, "session": HALF_DAY, "holiday": None,
    "last_known": "open", "age_ms": 42_000, "calendar": "open", "polled": True, "error": None,
    "new_york": "2026-11-27T12:00:00-05:00",
}  # fmt: skip


def shown(**changes: Any) -> dict[str, str]:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(market_lines(MarketView(**(VIEW | changes))))
    rows = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in captured.get().splitlines()[1:]]
    return {row[0]: row[1] for row in rows}


def test_a_market_that_answers_on_a_half_day() -> None:
    assert shown() == {
        "nasdaq": "open", "since": "Fri 27 Nov 09:30 EST", "source": "the market said open 42 s ago",
        "next": "after-hours, Fri 27 Nov 13:00 EST", "today": "Fri 27 Nov 09:30 EST to 13:00 EST, a half day",
        "New York": "2026-11-27T12:00:00-05:00",
    }  # fmt: skip


def test_a_market_that_is_silent() -> None:
    rows = shown(source="calendar", status="after-hours", calendar="after-hours", age_ms=7_200_000, error="HTTP 503")
    assert rows["source"] == "calendar; the market said open 2 h ago"
    assert rows["no answer"] == "HTTP 503"
    assert "has not answered yet" in shown(source="calendar", last_known=None, age_ms=None)["source"]


def test_a_market_and_a_calendar_that_disagree() -> None:
    assert shown(calendar="closed")["calendar"] == "says closed"


def test_a_day_without_trading() -> None:
    assert shown(session=None)["today"] == "no trading"
    assert shown(session=None, holiday="Thanksgiving Day")["today"] == "Thanksgiving Day"

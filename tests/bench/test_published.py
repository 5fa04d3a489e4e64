"""The figures in the project's README are those of the results that are kept beside its plots."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.results import Results, load_results, spread_of, whole
from bench.scenarios import all_scenarios

ROOT = Path(__file__).parent.parent.parent
IMAGES = ROOT / "docs" / "images"
FILE = IMAGES / "results.json"
PLOTS = {
    "parse": ("parse", "parse"),
    "latency": ("latency", "latency-1"),
    "fan-out": ("fan-out", "fan-out-1000x200"),
    "deliveries": ("deliveries", "deliveries"),
    "memory": ("idle", "memory"),
}
"""By file: scenario and plot."""
LARGEST_FILE = 1_000_000


class Row(NamedTuple):
    start: str
    scenario: str
    point: str
    figures: tuple[tuple[str, Callable[[float], str]], ...]
    systems: tuple[str | None, ...] = ("finstream", "floor", "rust")


def millions(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value / 1e6:.{digits}f} M"


def ms(us: float) -> str:
    return f"{us / 1e3:.{0 if us >= 10_000 else 1}f} ms"


FAN_OUT = (("cpu_us", "{:.1f} µs".format), ("p99_us", ms))
ROWS = (
    Row("parse, validate", "parse", "typical", (("ns_per_tick", "{:,.0f} ns".format),)),
    Row("ticks/s taken in", "pipe", "1", (("ticks_per_s", millions(2)),)),
    Row("1 subscriber, 1,000", "latency", "1", (("p50_us", "{:.0f} µs".format),)),
    Row("100 subscribers, 2,000", "fan-out", "100x2000", FAN_OUT),
    Row("1,000 subscribers, 200", "fan-out", "1000x200", FAN_OUT),
    Row("highest sustained deliveries/s, 100 ", "deliveries", "100", (("deliveries_per_s", millions(1)),)),
    Row("highest sustained deliveries/s, 1,000 ", "deliveries", "1000", (("deliveries_per_s", millions(1)),)),
    Row("the same over TLS, 100 ", "deliveries", "100", (("deliveries_per_s", millions(1)),), ("finstream-wss", "floor-wss", None)),
    Row("2,000 clients", "storm", "2000", (("reconnects_per_s", "{:,.0f}/s".format),)),
    Row("memory of an idle connection", "idle", "10000", (("kib_each", "{:.1f} KiB".format),)),
)


@pytest.fixture(scope="module")
def results() -> Results:
    return load_results(FILE)


def published() -> dict[str, list[str]]:
    """The rows of the table, by what they are about."""
    text = (ROOT / "README.md").read_text()
    table = text.split("## How fast it is")[1].split("| --- |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()[1:]]
    return {what: [*cells, ""][:3] for what, *cells in rows}


def test_every_row_of_the_table_is_known() -> None:
    assert [what for what in published() if not any(what.startswith(row.start) for row in ROWS)] == []
    assert len(published()) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.start)
def test_the_table_says_what_was_measured(row: Row, results: Results) -> None:
    def figure(system: str | None, key: str, shown: Callable[[float], str]) -> str:
        if system is None:
            return ""
        found = spread_of(whole(results.of(row.scenario, row.point)[system]), key)
        assert found is not None
        return shown(found.median)

    (cells,) = [cells for what, cells in published().items() if what.startswith(row.start)]
    assert cells == ["; ".join(figure(system, *each) for each in row.figures) for system in row.systems]


@pytest.mark.parametrize("name", PLOTS)
def test_the_plots_show_what_was_measured(name: str, results: Results) -> None:
    scenario, plot = PLOTS[name]
    drawn = all_scenarios()[scenario].plots[plot](results)
    assert (IMAGES / f"{name}.svg").read_text() == drawn, f"take {plot}.svg of `python -m bench --show {FILE}`"


def test_the_file_is_small_and_tells_nothing_of_where_it_was_made() -> None:
    content = FILE.read_text()
    assert len(content) < LARGEST_FILE
    assert re.findall(r"(?<![\w.:/])/\w+", content) == [], "a path of the machine"


def test_anyone_can_print_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--show", "docs/images/results.json", "--json", str(tmp_path / "results.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "The bars, within this run" in done.stdout
    assert load_results(tmp_path / "results.json").measurements == load_results(FILE).measurements
    assert (tmp_path / "latency-1.svg").exists()

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from bench.bars import BARS, judge
from bench.report.bars import print_bars
from bench.results import Measurement, Results
from bench.scenarios import all_scenarios
from bench.verdicts import Verdict


def row(
    scenario: str,
    point: str,
    system: str,
    repeat: int = 0,
    complete: bool | None = True,
    foreign_cores: float = 0.0,
    brief: bool = False,
    **values: float,
) -> Measurement:
    return Measurement(
        scenario=scenario, point=point, system=system, repeat=repeat, values=values, complete=complete,
        foreign_cores=foreign_cores, brief=brief,
    )  # fmt: skip


def verdict(results: Results, start: str) -> tuple[float | None, bool | None]:
    (found,) = [v for v in judge(results) if v.bar.what.startswith(start)]
    return found.measured and found.measured.median, found.met


@pytest.mark.parametrize(("floor", "met"), [(2.0e6, True), (2.6e6, False)])
def test_ratios_are_made_within_a_repeat(floor: float, met: bool) -> None:
    rows = [row("pipe", "1", "finstream", i, ticks_per_s=2e6 * (i + 1)) for i in range(3)]
    rows += [row("pipe", "1", "floor", i, ticks_per_s=floor * (i + 1)) for i in range(3)]
    assert verdict(Results(measurements=rows), "ticks/s taken in") == (pytest.approx(2e6 / floor), met)


def test_the_other_way_round() -> None:
    rows = [row("parse", "typical", "finstream", ns_per_tick=100), row("parse", "typical", "rust", ns_per_tick=500)]
    assert verdict(Results(measurements=rows), "parse to encode: Rust takes") == (5, True)


def test_what_lost_ticks_does_not_count() -> None:
    rows = [row("idle", "10000", "finstream", complete=False, kib_each=1.0)]
    assert verdict(Results(measurements=rows), "memory per idle") == (None, None)


def test_growth_is_judged_from_few_to_many() -> None:
    rows = [row("fan-out", point, "finstream", cpu_us=us) for point, us in (("10x200", 10.0), ("1000x200", 14.0))]
    assert verdict(Results(measurements=rows), "cost of a delivery") == (1.4, False)


@pytest.mark.parametrize(("more", "met"), [(60.0, True), (61.0, False)])
def test_what_is_added_is_judged_by_the_rounds_that_took_turns(more: float, met: bool) -> None:
    rows = [row("quality-and-arena", "plain", "finstream", i, ns_per_tick=100 + 10 * i) for i in range(3)]
    rows += [row("quality-and-arena", "checks", "finstream", i, ns_per_tick=150 + 50 * i, more_ns=more + i - 1) for i in range(3)]
    assert verdict(Results(measurements=rows), "all checks") == (more, met)


def test_every_connector_has_to_be_quick_enough() -> None:
    rows = [row("connectors", "okx", "ingestors", messages_per_s=49_999.0)]
    rows += [row("connectors", "okx", "json-decimal", messages_per_s=99_999.0)]
    assert verdict(Results(measurements=rows), "trade messages/s of one connector on one core, Okx") == (49_999, False)


SYSTEMS = ("finstream", "finstream-wss", "floor", "floor-wss", "rust", "msgspec-decimal", "ingestors")


def test_every_bar_is_about_something_that_is_measured() -> None:
    """With a row for each point that has each column as a figure, every bar gets a value."""
    rows = []
    for scenario in all_scenarios().values():
        for point in scenario.points:
            values = {column.key: 1.0 for column in scenario.columns}
            rows += [row(scenario.name, point.name, name, **values) for name in SYSTEMS]
    verdicts = judge(Results(measurements=rows))
    assert len(verdicts) == len(BARS)
    assert [v.bar.what for v in verdicts if v.measured is None] == []


def test_the_table_tells_what_is_met_and_what_was_not_measured() -> None:
    out = io.StringIO()
    rows = [row("storm", "2000", "finstream", reconnects_per_s=1999.0, p99_ratio=1.5)]
    print_bars(Console(file=out, width=160), Results(measurements=rows))
    text = out.getvalue()
    assert "1,999/s" in text
    assert "≥ 2,000/s" in text
    judged = sum(bar.limit is not None for bar in BARS)
    assert f"1 of 2 met; {judged - 2} not measured" in text


def test_a_figure_to_judge_by_is_shown_and_not_judged() -> None:
    out = io.StringIO()
    rows = [row("noise", "10", "finstream", p999_ratio=1.2), row("noise", "10", "floor", p999_ratio=1.9)]
    results = Results(measurements=rows)
    assert verdict(results, "… the floor's, with the same noise") == (1.9, None)
    print_bars(Console(file=out, width=160), results)
    (line,) = [line for line in out.getvalue().splitlines() if "same noise" in line]
    assert "1.90×" in line
    assert "not measured" not in line
    assert "1 of 1 met" in out.getvalue()


def ticks(system: str, repeat: int, ticks_per_s: float | None = 1e6, **more: Any) -> Measurement:
    values = {} if ticks_per_s is None else {"ticks_per_s": ticks_per_s}
    return row("pipe", "1", system, repeat, **values, **more)


def of_the_pipe(rows: list[Measurement]) -> Verdict:
    """A ratio to the floor, of at least 0.8, with what the table says in its last column and below."""
    (found,) = [v for v in judge(Results(measurements=rows)) if v.bar.what.startswith("ticks/s taken in")]
    return found


def told(rows: list[Measurement]) -> tuple[str, str]:
    """The end of the pipe's line in the table, and the sum below it."""
    out = io.StringIO()
    print_bars(Console(file=out, width=160), Results(measurements=rows))
    lines = out.getvalue().splitlines()
    (line,) = [line for line in lines if "ticks/s taken in" in line]
    (total,) = [line for line in lines if " met; " in line]
    return line.rpartition("×  ")[2].strip(), total


@pytest.mark.parametrize(
    ("flaw", "standing", "words"),
    [
        ({"foreign_cores": 0.4}, "disturbed", "1 not judged, for other programs disturbed them"),
        ({"brief": True}, "too short", "1 not judged, for they were measured too shortly"),
        ({"complete": False}, "not whole", "1 not judged, for not every repeat was whole"),
    ],
)
@pytest.mark.parametrize("spoilt", ["finstream", "floor"])
@pytest.mark.parametrize("ours", [2e6, 1.0])
def test_one_flawed_measurement_on_either_side_and_a_bar_is_neither_met_nor_missed(
    flaw: dict[str, Any], standing: str, words: str, spoilt: str, ours: float
) -> None:
    rows = [
        ticks(system, i, rate, **(flaw if system == spoilt and i == 1 else {}))
        for system, rate in (("finstream", ours), ("floor", 1e6))
        for i in range(3)
    ]
    found = of_the_pipe(rows)
    assert (found.standing, found.met) == (standing, None)
    shown, total = told(rows)
    assert shown == ("2/3 whole" if standing == "not whole" else standing)
    assert total.startswith("0 of 0 met; ")
    assert words in total


def test_what_is_whole_undisturbed_and_long_enough_is_judged() -> None:
    rows = [ticks(system, i) for system in ("finstream", "floor") for i in range(3)]
    assert (of_the_pipe(rows).standing, told(rows)[0]) == ("met", "yes")


def test_all_flaws_are_told() -> None:
    rows = [ticks("finstream", i, complete=i == 0, brief=True, foreign_cores=0.9) for i in range(3)]
    rows += [ticks("floor", i) for i in range(3)]
    assert told(rows)[0] == "1/3 whole, too short, disturbed"


def test_the_figure_is_that_of_the_whole_repeats() -> None:
    rows = [ticks("finstream", i, rate, complete=i > 0) for i, rate in enumerate((9e6, 1e6, 1e6))]
    rows += [ticks("floor", i, 1e6) for i in range(3)]
    measured = of_the_pipe(rows).measured
    assert measured is not None
    assert (measured.most, measured.count) == (1, 2)


def test_failed_is_not_the_same_as_not_measured() -> None:
    rows = [ticks("finstream", 0, None, complete=None), ticks("floor", 0)]
    assert of_the_pipe(rows).standing == "failed"
    out = io.StringIO()
    print_bars(Console(file=out, width=160), Results(measurements=rows))
    (line,) = [line for line in out.getvalue().splitlines() if "ticks/s taken in" in line]
    assert line.split()[-1] == "failed"
    assert "; 1 failed" in out.getvalue()
    assert of_the_pipe(rows[1:]).standing == "not measured"


def test_a_repeat_that_only_one_of_two_has_is_no_flaw() -> None:
    rows = [ticks("finstream", 0), ticks("floor", 0), ticks("finstream", 1, complete=False)]
    assert of_the_pipe(rows).standing == "met"


def test_a_measurement_of_quality_that_failed_is_told_and_not_stumbled_over() -> None:
    rows = [row("quality-and-arena", "checks", "finstream", i, complete=None, **{"more_ns": 50.0} if i else {}) for i in range(3)]
    rows.append(row("quality-and-arena", "matched", "finstream", complete=None))
    found = {v.bar.what: v.standing for v in judge(Results(measurements=rows)) if v.bar.figure.scenario == "quality-and-arena"}
    assert found == {
        "all checks of quality together": "not whole",
        "… the arena's contests": "failed",
        "… the best source as well": "not measured",
    }


def test_results_from_before_there_was_a_figure_have_not_measured_it() -> None:
    rows = [row("quality-and-arena", "checks", "finstream", complete=None, ns_per_tick=200.0)]
    (found,) = [v for v in judge(Results(measurements=rows)) if v.bar.what.startswith("all checks")]
    assert found.standing == "not measured"

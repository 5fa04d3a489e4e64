"""What the command line refuses before anything is measured, and where results are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench import choices, driver
from bench.cli import main
from bench.results import Measurement, Results, load_results, save_results


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def told(result: Result) -> str:
    """What it said, in one line."""
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(*_: object) -> Results:
        raise AssertionError("it went on to measure")

    monkeypatch.setattr(driver, "execute", execute)


@pytest.mark.usefixtures("nothing_is_measured")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", ""], "--scenario: names nothing; leave it out to take all"),
        (["--system", " , "], "--system: names nothing; leave it out to take all"),
        (["--scenario", "parse,,pipe"], "no scenario ''"),
        (["--json", "/proc/nowhere/results.json"], "--json: cannot write /proc/nowhere/results.json: /proc: "),
        (["--json", f"{__file__}/results.json"], "Not a directory"),
        (["--bars", "--quick", "--system", "floor"], "--bars measures nothing, so --system, --quick would be ignored"),
        (["--bars", "--json", "x.json"], "--bars measures nothing, so --json would be ignored"),
        (["--show", __file__, "--repeat", "3"], "--show measures nothing, so --repeat would be ignored"),
        (["--show", __file__, "--list"], "--list measures nothing, so --show would be ignored"),
        (["--setup", "--unbound"], "--setup measures nothing, so --unbound would be ignored"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(arguments: list[str], words: str) -> None:
    result = bench(*arguments)
    assert (result.exit_code, result.exception.__class__) == (2, SystemExit), result.output
    assert words in told(result)


@pytest.mark.usefixtures("nothing_is_measured")
def test_an_external_system_does_not_take_the_place_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "external.toml"
    file.write_text('[[system]]\nname = "floor"\nwork = "typed"\ncommand = ["/bin/true"]\n')
    result = bench("--external", str(file))
    assert result.exit_code == 2
    assert "there is a floor already; give yours another `name`" in told(result)


def test_nothing_to_measure_is_told_with_the_reason_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "results.json"
    result = bench("--scenario", "assets@10", "--system", "websockets,picows", "--json", str(file))
    assert result.exit_code == 1
    assert "nothing to measure: " in told(result)
    assert "websockets takes no part in assets@10; picows takes no part in assets@10" in told(result)
    assert not file.parent.exists()


def test_a_system_that_is_missing_is_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "external.toml"
    file.write_text('[[system]]\nname = "x"\nwork = "typed"\ncommand = ["/nonexistent/x"]\n')
    result = bench("--external", str(file), "--system", "x", "--scenario", "pipe", "--json", str(tmp_path / "results.json"))
    assert result.exit_code == 1
    assert "nothing to measure: x: there is no /nonexistent/x" in told(result)


def test_what_is_named_twice_is_measured_once() -> None:
    assert [(s.name, p.name) for s, p in choices.chosen_scenarios("latency@100,latency, latency@1")] == [
        ("latency", "100"),
        ("latency", "1"),
    ]
    assert [system.name for system in choices.chosen_systems(choices.known_systems(None), "floor, floor")] == ["floor"]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(choices, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


def test_each_run_has_a_folder_of_its_own(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short run must not take the place of a long one. The driver is stood in for; it saves as the real one does."""
    asked: list[Path] = []

    def execute(_order: object, file: Path, _told: object) -> Results:
        save_results(Results(), file)
        asked.append(file)
        return Results()

    monkeypatch.setattr(driver, "execute", execute)
    stamps = iter(["2026-01-01-000000", "2026-01-01-000001"])
    monkeypatch.setattr(choices.time, "strftime", lambda _format: next(stamps))
    for _ in range(2):
        assert bench("--scenario", "parse@short").exit_code == 0
    assert asked == [runs / "2026-01-01-000000" / "results.json", runs / "2026-01-01-000001" / "results.json"]
    assert all(file.exists() for file in asked)


def test_a_folder_stands_for_the_last_run_in_it(runs: Path) -> None:
    for age, name in ((10, "b"), (0, "a"), (20, "c")):
        save_results(Results(machine={"cpu": name}), runs / name / "results.json")
        written = 1_700_000_000 - age
        os.utime(runs / name / "results.json", (written, written))
    assert choices.results_of((runs,)).machine["cpu"] == "a"


def test_before_the_first_run_there_is_nothing_to_show(runs: Path) -> None:
    with pytest.raises(Exception, match="there is no run yet"):
        choices.results_of((runs,))


def test_merged_results_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    for name in "ab":
        row = Measurement(scenario="parse", point="short", system=name, repeat=0, values={"ns_per_tick": 1.0})
        save_results(Results(measurements=[row]), tmp_path / f"{name}.json")
    shown = bench(
        "--show", str(tmp_path / "a.json"), "--show", str(tmp_path / "b.json"), "--json", str(tmp_path / "all" / "c.json")
    )
    assert shown.exit_code == 0, shown.output
    assert [m.system for m in load_results(tmp_path / "all" / "c.json").measurements] == ["a", "b"]
    assert (tmp_path / "all" / "parse.svg").exists()

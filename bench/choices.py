"""What the command line names: scenarios and their points, systems, and the files that results are read from and go to."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from bench.results import Results, load_results, merge_results
from bench.scenarios import all_scenarios
from bench.scenarios.base import Point, Scenario
from bench.systems import all_systems
from bench.systems.base import System
from bench.systems.external import load_external

__all__ = ["RUNS", "check_writable", "chosen_scenarios", "chosen_systems", "file_of_a_new_run", "known_systems", "results_of"]

RUNS = Path(__file__).parent / "results"
"""Where each run gets a folder of its own, if not said otherwise: a short one must not take the place of a long one."""
_FILE = "results.json"


def chosen_scenarios(names: str | None) -> list[tuple[Scenario, Point]]:
    """All, or what ``A,B@POINT`` names, nothing twice. Raises BadParameter."""
    known = all_scenarios()
    chosen: dict[tuple[str, str], tuple[Scenario, Point]] = {}
    for name in _named(names, "--scenario") or known:
        scenario_name, _, point_name = name.partition("@")
        if scenario_name not in known:
            raise click.BadParameter(f"no scenario {scenario_name!r}; there are {', '.join(known)}", param_hint="--scenario")
        scenario = known[scenario_name]
        points = [point for point in scenario.points if point_name in ("", point.name)]
        if not points:
            there = ", ".join(point.name for point in scenario.points)
            raise click.BadParameter(f"{scenario_name} has no point {point_name!r}; it has {there}", param_hint="--scenario")
        chosen |= {(scenario_name, point.name): (scenario, point) for point in points}
    return list(chosen.values())


def known_systems(external: Path | None) -> dict[str, System]:
    """By name: ours, and those of the file. Raises BadParameter: there is something wrong with it."""
    known = all_systems()
    if external is None:
        return known
    try:
        described = load_external(external)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--external") from error
    if taken := [name for name in described if name in known]:
        told = f"{external}: there is a {' and a '.join(taken)} already; give yours another `name`"
        raise click.BadParameter(told, param_hint="--external")
    return known | described


def chosen_systems(known: dict[str, System], names: str | None) -> list[System]:
    """All, or what ``X,Y`` names, nothing twice. Raises BadParameter."""
    chosen = _named(names, "--system") or list(known)
    for name in chosen:
        if name not in known:
            raise click.BadParameter(f"no system {name!r}; there are {', '.join(known)}", param_hint="--system")
    return [known[name] for name in dict.fromkeys(chosen)]


def _named(names: str | None, option: str) -> list[str]:
    """Empty: the option was not given. An option that names nothing is a mistake (an unset variable), and not all there is."""
    if names is None:
        return []
    if not names.strip(" ,"):
        raise click.BadParameter("names nothing; leave it out to take all", param_hint=option)
    return [name.strip() for name in names.split(",")]


def file_of_a_new_run() -> Path:
    return RUNS / time.strftime("%Y-%m-%d-%H%M%S") / _FILE


def check_writable(file: Path) -> None:
    """Raises BadParameter: what is to be measured could not be kept there."""
    there = next(folder for folder in file.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise click.BadParameter(f"cannot write {file}: {there}: {error.strerror}", param_hint="--json") from error


def results_of(paths: tuple[Path, ...]) -> Results:
    """Of files, merged; a folder stands for the last run in it. Raises ClickException."""
    try:
        return merge_results([load_results(_last_run(path) if path.is_dir() or path == RUNS else path) for path in paths])
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _last_run(folder: Path) -> Path:
    files = [*folder.glob(f"*/{_FILE}"), *folder.glob(_FILE)]
    if not files:
        raise ValueError(f"{folder}: there is no run yet: `python -m bench` makes one")
    return max(files, key=lambda file: file.stat().st_mtime_ns)

"""The command: ``python -m bench``. :func:`main` is a click command and can be hung into another one."""

from __future__ import annotations

import time
from pathlib import Path

import click
from click.core import ParameterSource
from rich.console import Console
from rich.text import Text

from bench import driver
from bench.choices import RUNS, check_writable, chosen_scenarios, chosen_systems, file_of_a_new_run, known_systems, results_of
from bench.report.bars import print_bars
from bench.report.table import print_report
from bench.results import Results, save_results
from bench.scenarios import all_scenarios
from bench.setup import set_up
from bench.systems.base import System
from bench.toolchain import ToolchainError
from bench.workbench import usual_load_cpu

__all__ = ["main"]

_FILE_WIDTH = 150
"""Columns to print where there is no terminal, which would say how wide it is."""
_QUICK_S = 0.5
_ALONE: dict[str, tuple[str, ...]] = {"setting_up": (), "bars": (), "listing": ("external",), "show": ("file",)}
"""Parameters that do something else than measure, each with those that mean something beside it."""


@click.command(name="bench")
@click.option(
    "--scenario",
    "scenarios",
    metavar="A,B@POINT",
    help="Scenarios, or single points of them as SCENARIO@POINT. Default: all.",
)
@click.option(
    "--system",
    "systems",
    metavar="X,Y",
    help="Systems under test; the first one is what ratios refer to. Default: all that can run.",
)
@click.option("--repeat", type=click.IntRange(1), help="How often everything is measured. Default: 3.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.05),
    help="How long to measure at each point. Default: as each scenario says.",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    help="Take a measurement again, up to so often, when other programs disturbed it. Default: 2.",
)
@click.option("--quick", is_flag=True, help="A look at it: --repeat 1 --seconds 0.5 --retries 0, if not said otherwise.")
@click.option(
    "--json",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where results go, in place of what is there; plots go beside them. Default: a new folder in bench/results.",
)
@click.option("--unbound", is_flag=True, help="Do not bind client and producer to the last CPU.")
@click.option(
    "--show",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Only print and plot these earlier results, merged; --json keeps them so. A folder: the last run in it.",
)
@click.option("--list", "listing", is_flag=True, help="Only list scenarios and systems.")
@click.option("--setup", "setting_up", is_flag=True, help="Only install the peers, into bench/build.")
@click.option(
    "--external",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Measure the systems that this TOML file describes too.",
)
@click.option(
    "--bars",
    is_flag=False,
    flag_value=str(RUNS),
    type=click.Path(path_type=Path),
    help="Only print which bars are met by these results (default: those of the last run in bench/results).",
)
@click.pass_context
def main(
    context: click.Context,
    scenarios: str | None,
    systems: str | None,
    repeat: int | None,
    seconds: float | None,
    retries: int | None,
    quick: bool,
    file: Path | None,
    unbound: bool,
    show: tuple[Path, ...],
    listing: bool,
    setting_up: bool,
    external: Path | None,
    bars: Path | None,
) -> None:
    """Measure FinStream and its peers, interleaved, and compare them.

    \b
    python -m bench                                                    everything, three times
    python -m bench --quick                                            all of it, once and briefly
    python -m bench --scenario parse --repeat 5
    python -m bench --scenario latency@100 --system finstream,websockets
    python -m bench --show bench/results                               the last run again
    python -m bench --bars                                             which bars the last run meets
    """
    _refuse_what_means_nothing(context)
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    if setting_up:
        raise SystemExit(0 if set_up(lambda line: console.print(Text(line))) else 1)
    if bars is not None:
        print_bars(console, results_of((bars,)))
        return
    known = known_systems(external)
    if listing:
        _list(console, known)
        return
    if show:
        results = results_of(show)
        plots_to = (file or RUNS / "shown" / "plots").parent
        if file is not None:
            check_writable(file)
            save_results(results, file)
    else:
        order = driver.Order(
            points=chosen_scenarios(scenarios),
            systems=chosen_systems(known, systems),
            repeats=repeat or (1 if quick else 3),
            seconds=_QUICK_S if quick and seconds is None else seconds,
            retries=(0 if quick else 2) if retries is None else retries,
            load_cpu=None if unbound else usual_load_cpu(),
        )
        file = file or file_of_a_new_run()
        plots_to = file.parent
        check_writable(file)
        try:
            began = time.monotonic()
            results = driver.execute(order, file, lambda progress: console.print(_in_short(progress, time.monotonic() - began)))
        except (ToolchainError, driver.NothingToMeasure) as error:
            raise click.ClickException(str(error)) from error
    print_report(console, results)
    print_bars(console, results)
    if results.measurements:
        plots = _save_plots(results, plots_to)
        console.print(Text(f"Plots: {', '.join(map(str, plots))}" + (f"\nResults: {file}" if file else "")))


def _refuse_what_means_nothing(context: click.Context) -> None:
    """Raises UsageError: somebody who gives an option expects that it does something."""
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params if parameter.name}
    given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    for alone, beside in _ALONE.items():
        ignored = [options[name] for name in given if name != alone and name not in beside]
        if alone in given and ignored:
            raise click.UsageError(
                f"{options[alone]} measures nothing, so {', '.join(ignored)} would be ignored: leave one of them out"
            )


def _in_short(progress: driver.Progress, elapsed_s: float) -> Text:
    """``elapsed_s``: since the beginning of the run."""
    measurement = progress.measurement
    figures = [
        f"{column.heading} {measurement.values[column.key]:,.{column.digits}f}"
        for column in progress.task.scenario.columns[:3]
        if column.key in measurement.values
    ]
    remarks = [measurement.problem] if measurement.problem else []
    if measurement.disturbed:
        remarks.append(f"disturbed by {measurement.foreign_cores:.2f} cores of other load, attempt {progress.attempt}")
    return Text.assemble(
        (f"{progress.number}/{progress.of} {_minutes(elapsed_s)} ", "dim"),
        f"{measurement.scenario}@{measurement.point} {measurement.system}: {', '.join(figures)}",
        f" ({'; '.join(remarks)})" if remarks else "",
    )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _save_plots(results: Results, directory: Path) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    saved = []
    for scenario in all_scenarios().values():
        for name, plot in scenario.plots.items():
            if (document := plot(results)) is not None:
                saved.append(directory / f"{name}.svg")
                saved[-1].write_text(document, encoding="utf-8")
    return saved


def _list(console: Console, systems: dict[str, System]) -> None:
    for scenario in all_scenarios().values():
        console.print(f"[bold]{scenario.name}[/]: {scenario.title}", highlight=False)
        for point in scenario.points:
            console.print(f"  {scenario.name}@{point.name}: {point.title}", highlight=False)
    for system in systems.values():
        why = system.missing()
        console.print(Text.assemble((system.name, "bold"), f" ({system.work})" + (f" left out: {why}" if why else "")))

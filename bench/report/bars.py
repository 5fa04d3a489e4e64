"""The table of bars: measured value, bar, met or not."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.bars import judge
from bench.results import Results
from bench.verdicts import Standing, Verdict

__all__ = ["print_bars"]

_NOT_JUDGED: dict[Standing, str] = {
    "not measured": "not measured in this run",
    "failed": "failed",
    "not whole": "not judged, for not every repeat was whole",
    "too short": "not judged, for they were measured too shortly",
    "disturbed": "not judged, for other programs disturbed them",
}


def print_bars(console: Console, results: Results) -> None:
    """All bars, those that were not measured in this run too."""
    table = Table(title="The bars, within this run", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("what")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("bar", justify="right", no_wrap=True)
    table.add_column("met", no_wrap=True)
    verdicts = judge(results)
    for verdict in verdicts:
        bar = verdict.bar
        limit = "" if bar.limit is None else f"{bar.sense} {bar.limit:,.{bar.digits if bar.limit % 1 else 0}f}{bar.unit}"
        table.add_row(Text(bar.what), _measured(verdict), limit, _met(verdict))
    console.print(table)
    console.print(_in_sum([verdict.standing for verdict in verdicts if verdict.bar.limit is not None]))
    if disturbed := sum(row.disturbed for row in results.measurements):
        console.print(f"{disturbed} of {len(results.measurements)} measurements were disturbed by other programs.")


def _in_sum(standings: list[Standing]) -> str:
    """Met of those that were judged; apart from them how many were not, and why."""
    judged = sum(standing in ("met", "missed") for standing in standings)
    told = [f"{standings.count('met')} of {judged} met"]
    told += [f"{count} {words}" for standing, words in _NOT_JUDGED.items() if (count := standings.count(standing))]
    return "; ".join(told) + "."


def _measured(verdict: Verdict) -> str:
    figure, bar = verdict.measured, verdict.bar
    if figure is None:
        return "–"
    text = f"{figure.median:,.{bar.digits}f}{bar.unit}"
    return text + (f" [{figure.least:,.{bar.digits}f}–{figure.most:,.{bar.digits}f}]" if figure.count > 1 else "")


def _met(verdict: Verdict) -> Text:
    if verdict.standing == "met":
        return Text("yes", style="green")
    if verdict.standing == "missed":
        return Text("NO", style="bold red")
    if verdict.standing == "not measured":
        return Text("" if verdict.bar.limit is None else "not measured", style="dim")
    broken = verdict.standing in ("failed", "not whole")
    return Text(", ".join(verdict.flaws), style="bold red" if broken else "yellow")

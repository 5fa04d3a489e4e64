"""The table of bars: measured value, bar, met or not."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.bars import Verdict, judge
from bench.results import Results

__all__ = ["print_bars"]


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
    met = sum(verdict.met is True for verdict in verdicts)
    judged = [verdict.met is not None for verdict in verdicts if verdict.bar.limit is not None]
    console.print(f"{met} of {sum(judged)} met; {len(judged) - sum(judged)} not measured in this run.")
    if disturbed := sum(row.disturbed for row in results.measurements):
        console.print(f"{disturbed} of {len(results.measurements)} measurements were disturbed by other programs.")


def _measured(verdict: Verdict) -> str:
    figure, bar = verdict.measured, verdict.bar
    if figure is None:
        return "–"
    text = f"{figure.median:,.{bar.digits}f}{bar.unit}"
    return text + (f" [{figure.least:,.{bar.digits}f}–{figure.most:,.{bar.digits}f}]" if figure.count > 1 else "")


def _met(verdict: Verdict) -> Text:
    if verdict.met is None:
        if verdict.bar.limit is None:
            return Text("")
        return Text("not measured", style="dim")
    return Text("yes", style="green") if verdict.met else Text("NO", style="bold red")

"""Tables of medians, spread and ratios."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.results import Column, Measurement, Results, Spread, ratios, spread_of, whole
from bench.scenarios import all_scenarios
from bench.scenarios.base import Point, Scenario

__all__ = ["print_report"]

_LEGEND = """
Each figure is the median of the repeats that were whole (of all where none was), with the least and the greatest in
brackets. ×: divided by the figure of the first system in the same repeat. CPU µs: of all the system's processes, for each
delivery. load: how much of a core load client and producer took; near 1 they may be the limit. whole: in how many repeats
every tick reached every subscriber, once and in order."""


def print_report(console: Console, results: Results) -> None:
    """All of a run: what was measured on, a table for each point, notes."""
    for name, value in (results.machine | results.settings).items():
        console.print(Text.assemble((f"{name.replace('_', ' '):>20}  ", "dim"), value))
    for scenario in all_scenarios().values():
        for point in scenario.points:
            rows = results.of(scenario.name, point.name)
            if rows:
                console.print()
                console.print(_table(scenario, point, rows, results))
    console.print()
    measured = {measurement.system for measurement in results.measurements}
    for name, about in ((name, about) for name, about in results.systems.items() if name in measured):
        versions = ", ".join(f"{key} {value}" for key, value in about.items() if key not in ("work", "note"))
        console.print(_named(name, f"({about.get('work')}; {versions}) {about.get('note', '')}"))
    for name, why in results.left_out.items():
        console.print(_named(name, f"left out: {why}"))
    console.print(Text(_LEGEND, style="dim"))


def _named(name: str, text: str) -> Text:
    """Made of Text and not of markup, since brackets in a reason would be read as markup."""
    return Text.assemble((name, "bold"), " ", text)


def _table(scenario: Scenario, point: Point, rows: dict[str, list[Measurement]], results: Results) -> Table:
    order = [name for name in results.systems if name in rows] or list(rows)
    reference = order[0]
    shown = {name: whole(rows[name]) or rows[name] for name in order}
    table = Table(title=f"{scenario.title} · {point.title}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("system", no_wrap=True)
    headline = next(column for column in scenario.columns if column.key == scenario.headline)
    for column in scenario.columns:
        table.add_column(column.heading + {"lower": " ↓", "higher": " ↑", None: ""}[column.better], justify="right")
        if column is headline:
            table.add_column("×", justify="right", no_wrap=True)
    table.add_column("whole", justify="right")
    for name in order:
        cells: list[str | Text] = [name]
        for column in scenario.columns:
            cells.append(_figure(spread_of(shown[name], column.key), column, with_range=column is headline))
            if column is headline:
                cells.append(_ratio(ratios(shown[name], shown[reference], column.key)))
        cells.append(_wholeness(rows[name]))
        table.add_row(*cells)
    remarks = dict.fromkeys(f"{name}: {row.problem}" for name in order for row in rows[name] if row.problem)
    for name in order:
        if disturbed := sum(row.disturbed for row in rows[name]):
            remarks[f"{name}: disturbed by other programs in {disturbed} of {len(rows[name])} repeats"] = None
    if remarks:
        table.caption = Text("\n".join(remarks))
        table.caption_justify = "left"
    return table


def _figure(figure: Spread | None, column: Column, *, with_range: bool) -> str:
    if figure is None:
        return "–"
    text = f"{figure.median:,.{column.digits}f}"
    if with_range and figure.count > 1:
        text += f" [{figure.least:,.{column.digits}f}–{figure.most:,.{column.digits}f}]"
    return text


def _ratio(figure: Spread | None) -> str:
    if figure is None:
        return "–"
    text = f"{figure.median:.2f}"
    return text + (f" [{figure.least:.2f}–{figure.most:.2f}]" if figure.count > 1 else "")


def _wholeness(rows: list[Measurement]) -> Text:
    """In how many repeats everything reached everybody; of a system that failed, that it did."""
    checked = [row for row in rows if row.complete is not None]
    failed = sum(1 for row in rows if not row.values)
    if failed:
        return Text(f"failed {failed}/{len(rows)}", style="bold red")
    if not checked:
        return Text("–")
    whole = sum(1 for row in checked if row.complete)
    return Text(f"{whole}/{len(checked)}", style="" if whole == len(checked) else "bold red")

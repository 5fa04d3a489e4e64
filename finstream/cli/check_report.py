"""The report of ``finstream check`` for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from finstream.cli.check_observation import Lines, Observation
from finstream.cli.check_verdict import Finding, exit_meaning
from finstream.cli.output import count, duration, microseconds, printable

__all__ = ["print_report"]

_SIGNS = {"mend": ("✗", "bold red"), "look": ("!", "yellow"), "good": ("✓", "green")}
_LONGEST_EXAMPLE = 160
_INDENT = " " * 13


def print_report(console: Console, seen: Observation, findings: Sequence[Finding]) -> None:
    for name, value in _facts(seen):
        console.print(Text.assemble((f"{name:<12}", "bold"), printable(value)))
    if seen.stderr.tail:
        console.print(Text(f"\nstderr ({count(seen.stderr.lines, 'line')}, the last ones):", style="bold"))
        for line in seen.stderr.tail:
            console.print(Text(f"  {printable(line)}", style="dim"))
    console.print()
    for finding in findings:
        sign, style = _SIGNS[finding.level]
        console.print(Text.assemble((f"{sign} ", style), (f"{finding.subject:<10} ", "bold"), finding.text))
        if finding.example:
            console.print(Text(f"{_INDENT}first: {_one_line(finding.example)}", style="red"))
        if finding.remedy:
            console.print(Text(f"{_INDENT}→ {finding.remedy}", style="dim"))
    mend = sum(finding.level == "mend" for finding in findings)
    verdict = f"{count(mend, 'thing')} to mend" if mend else "fit for use"
    console.print(Text(f"\n{verdict}", style="bold red" if mend else "bold green"))


def _facts(seen: Observation) -> list[tuple[str, str]]:
    lines, arrivals, ending = seen.lines, seen.arrivals, seen.ending
    facts = [
        ("ran", duration(seen.ran_s)),
        ("lines", f"{lines.lines:,} ({lines.lines / seen.ran_s:,.1f} a second, {count(lines.bytes, 'byte')})"),
        ("kinds", _kinds(lines) + _of_a_sample(lines)),
        ("symbols", _symbols(lines)),
    ]
    if lags := seen.lags:
        low, middle, high, most = map(microseconds, (lags.min_us, lags.median_us, lags.p99_us, lags.max_us))
        spread = f"min {low}, median {middle}, 99 % {high}, max {most}"
        facts.append(("lag", f"{spread}; {count(lags.in_future, 'stamp')} in the future"))
    if arrivals.arrivals:
        first = f"first after {duration(arrivals.first_after_s or 0)}"
        at_a_time = f"{arrivals.median_messages} at a time at the median, {arrivals.most_messages} at most"
        gap = f"longest gap {microseconds((arrivals.longest_gap_ms or 0) * 1000)}"
        facts.append(("arrivals", f"{first}; {at_a_time}; {gap}"))
    how = f"signal {-ending.exit_code}" if ending.exit_code < 0 else f"exit code {ending.exit_code}"
    since = "its start" if ending.by_itself else "SIGTERM"
    meaning = exit_meaning(ending.exit_code, asked=not ending.by_itself and not ending.killed)
    facts.append(("end", f"{how}, {duration(ending.after_s)} after {since} ({meaning})"))
    return facts


def _kinds(lines: Lines) -> str:
    kinds = [
        (lines.trades, "trade"), (lines.quotes, "quote"), *((many, name) for name, many in lines.types.items()),
        (lines.heartbeats, "heartbeat"), (lines.statuses, "status line"), (lines.rejected, "rejected line"),
    ]  # fmt: skip
    return ", ".join(count(many, name) for many, name in kinds if many) or "none"


def _of_a_sample(lines: Lines) -> str:
    all_of_them = lines.looked_at >= lines.ticks + lines.opaque
    return "" if all_of_them else f" (kinds and lags of the first {lines.looked_at:,}; it prints faster than we look)"


def _symbols(lines: Lines) -> str:
    names = sorted(lines.symbols, key=lambda name: -lines.symbols[name])
    shown = ", ".join(names[:8])
    return f"{len(names):,}{f': {shown}' if names else ''}{' …' if len(names) > 8 else ''}"


def _one_line(line: str) -> str:
    return printable(line[:_LONGEST_EXAMPLE]) + ("…" if len(line) > _LONGEST_EXAMPLE else "")

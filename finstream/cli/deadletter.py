"""``finstream deadletter list | show | replay``: the rejected lines that the engine has kept."""

from __future__ import annotations

import datetime
import os
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from finstream.cli.commands import Command, LazyGroup, examples
from finstream.cli.output import count, json_option, print_json, printable, say, table, terminal
from finstream.services.config import find_default, load
from finstream.services.dead_letter_reader import Kept, kept_letters, raw_line
from finstream.vocabulary.errors import ConfigError, FinStreamError
from finstream.vocabulary.reasons import REJECTIONS

__all__ = ["deadletter", "list_letters", "replay", "show"]

_F = TypeVar("_F", bound=Callable[..., Any])
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EXCERPT = 100


class _Choice(NamedTuple):
    """Which lines are meant."""

    config: Path | None
    asset: str | None
    reason: str | None
    since_s: float | None

    def letters(self) -> Iterator[Kept]:
        settings = load(self.config or find_default()).dead_letters
        least_us = 0 if self.since_s is None else int((time.time() - self.since_s) * 1e6)
        try:
            for kept in kept_letters(settings):
                letter = kept.letter
                if letter.at < least_us or self.asset not in {None, letter.asset} or self.reason not in {None, letter.reason}:
                    continue
                yield kept
        except OSError as error:
            raise FinStreamError(
                f"the dead-letter file cannot be read: {error} (run this as the engine's user, or see dead_letters.path)"
            ) from None


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    if not (found := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value)):
        raise click.BadParameter(f"{value!r} is no span of time: write 90s, 15m, 2h or 1d")
    return float(found[1]) * _UNITS_S[found[2]]


def _choice_options(function: _F) -> _F:
    where = "The engine's configuration, which says where the file is; the default one if not given."
    reasons = click.Choice(sorted(REJECTIONS))
    options = [
        click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help=where),
        click.option("--asset", metavar="NAME", help="Only lines of this asset."),
        click.option("--reason", type=reasons, metavar="REASON", help="Only lines rejected for this reason."),
        click.option("--since", "since_s", metavar="SPAN", callback=_seconds, help="Only the newest: 90s, 15m, 2h, 1d."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.group(
    cls=LazyGroup,
    lazy={
        "list": ("finstream.cli.deadletter:list_letters", "List rejected lines, the newest last."),
        "show": ("finstream.cli.deadletter:show", "Show one rejected line in full, and what to mend."),
        "replay": ("finstream.cli.deadletter:replay", "Print rejected lines as they came, for another try."),
    },
    epilog=examples(
        "finstream deadletter list --asset binance --since 1h",
        "finstream deadletter show deadletter.jsonl:17",
        "finstream deadletter replay --reason timestamp_too_old",
    ),
)
def deadletter() -> None:
    """Look at the lines that the engine has rejected. No engine needs to run."""


@click.command(
    "list",
    cls=Command,
    epilog=examples("finstream deadletter list", "finstream deadletter list --asset binance --reason not_json --last 100"),
)
@_choice_options
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="So many of them at most.")
@json_option
def list_letters(
    config: Path | None, asset: str | None, reason: str | None, since_s: float | None, last: int, as_json: bool
) -> None:
    """List rejected lines, the newest last, and count them by reason."""
    newest: deque[Kept] = deque(maxlen=last)
    reasons: Counter[str] = Counter()
    for kept in _Choice(config, asset, reason, since_s).letters():
        newest.append(kept)
        reasons[kept.letter.reason] += 1
    if as_json:
        for kept in newest:
            print_json(msgspec.json.encode({"place": kept.place} | msgspec.to_builtins(kept.letter)))
        return
    if not newest:
        say("no rejected lines")
        return
    rows = [(kept.place, _time(kept), kept.letter.asset, kept.letter.reason, _excerpt(kept)) for kept in newest]
    terminal().print(table(["place", "received (UTC)", "asset", "reason", "line"], rows))
    counted = ", ".join(f"{number:,} {word}" for word, number in reasons.most_common())
    say(f"{count(sum(reasons.values()), 'rejected line')} kept: {counted}")


@click.command(cls=Command, epilog=examples("finstream deadletter show deadletter.jsonl:17", "finstream deadletter show"))
@click.argument("place", required=False)
@_choice_options
@json_option
def show(
    place: str | None, config: Path | None, asset: str | None, reason: str | None, since_s: float | None, as_json: bool
) -> None:
    """Show the rejected line at PLACE (as `list` names it) in full; without it the newest one."""
    found: Kept | None = None
    for kept in _Choice(config, asset, reason, since_s).letters():
        if place in {None, kept.place}:
            found = kept
    if found is None:
        what = "no such line is kept" if place is None else f"there is no rejected line at {place}"
        raise FinStreamError(f"{what}: `finstream deadletter list` shows what there is")
    letter = found.letter
    if as_json:
        print_json(msgspec.json.encode({"place": found.place} | msgspec.to_builtins(letter)))
        return
    details = [
        ("place", found.place), ("received", f"{_time(found)} UTC"), ("asset", letter.asset),
        ("reason", f"{letter.reason}: {REJECTIONS.get(letter.reason, '')}"), ("length", count(letter.line_bytes, "byte")),
    ]  # fmt: skip
    for name, value in details:
        say(f"{name:9} {value}")
    say("")
    say(raw_line(letter).decode(errors="backslashreplace"))


@click.command(
    cls=Command,
    epilog=examples(
        "finstream deadletter replay --asset binance --since 1h",
        "finstream deadletter replay --reason timestamp_too_old > lines.jsonl",
    ),
)
@_choice_options
def replay(config: Path | None, asset: str | None, reason: str | None, since_s: float | None) -> None:
    """Print rejected lines just as they came, the oldest first.

    It is an ingestor: `finstream check` says whether its lines would be accepted by now, and as the command of an asset with
    `origin: replay` it feeds them to an engine again. Lines that were cut off when they were kept are left out.
    """
    if os.environ.get("FINSTREAM_MODE") == "production":  # an engine has started it
        problem = "rejected lines are old data, which is refused in production"
        raise ConfigError("mode", problem, "feed them to an engine in mode: simulation, as an asset with origin: replay")
    cut = 0
    for kept in _Choice(config, asset, reason, since_s).letters():
        line = raw_line(kept.letter)
        if len(line) < kept.letter.line_bytes:
            cut += 1
            continue
        sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
    if cut:
        say(f"{count(cut, 'line')} left out: only the beginning had been kept", err=True)


def _time(kept: Kept) -> str:
    at = datetime.datetime.fromtimestamp(kept.letter.at / 1e6, datetime.UTC)
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"


def _excerpt(kept: Kept) -> str:
    text = printable(raw_line(kept.letter).decode(errors="backslashreplace"))
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"

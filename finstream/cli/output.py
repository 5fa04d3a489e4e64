"""How commands write: tables for people, JSON for programs, and never a stuck event loop behind a slow terminal."""

from __future__ import annotations

import math
import os
import select
import sys
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
import trio
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

__all__ = [
    "LineWriter",
    "count",
    "duration",
    "json_option",
    "microseconds",
    "print_json",
    "printable",
    "say",
    "table",
    "terminal",
]

_F = TypeVar("_F", bound=Callable[..., Any])

_WIDTH_WITHOUT_TERMINAL = 200
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, formats (also those that turn the direction of writing), surrogates, separators of lines."""


def json_option(function: _F) -> _F:
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")(function)


def printable(text: str) -> str:
    """``text`` on one line of a terminal, whatever is in it: characters that would steer the terminal are shown escaped."""
    if text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in _UNPRINTABLE else each for each in text
    )


def say(text: str, *, err: bool = False, **style: Any) -> None:
    """Write one line for people; ``style`` as in :func:`click.style`."""
    click.secho(printable(text), err=err, **style)


class _Terminal(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As Rich does, but with :func:`printable` lines."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text="\n".join(map(printable, segment.text.split("\n"))))

    def on_broken_pipe(self) -> None:
        """Rich would end the process with 1; here :func:`finstream.cli.program.run_program` decides."""
        raise BrokenPipeError


def terminal() -> Console:
    """Standard output for people: wide enough not to cut tables where it is a file or a pipe."""
    return _Terminal(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL)


def print_json(document: bytes) -> None:
    click.echo(document.decode())


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; ``right`` names the columns of figures."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in row))
    return grid


def microseconds(value: float | None) -> str:
    """A time span given in microseconds, in the unit that suits it: ``87 µs``, ``4.21 ms``, ``1.5 s``."""
    if value is None:
        return "–"
    size = abs(value)
    if size < 1000:
        return f"{value:.0f} µs"
    if size < 1_000_000:
        return f"{_three_digits(value / 1000)} ms"
    return duration(value / 1e6)


def duration(seconds: float) -> str:
    """``20 ms``, ``1.5 s``, ``3 min``, ``2.5 h``, ``11 d``."""
    if abs(seconds) < 1:
        return microseconds(seconds * 1e6)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds)} s"


def count(number: int, noun: str) -> str:
    """``1 line``, ``1,024 lines``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class LineWriter:
    """Writes lines to standard output from a thread, so that a slow reader (``less``, a stopped terminal) stops neither
    Ctrl-C nor the connection's keep-alive; whoever writes lines waits once ``capacity`` of them are waiting."""

    def __init__(self, *, capacity: int = 10_000) -> None:
        self._lines: deque[str] = deque()
        self._capacity = capacity
        self._wake = trio.Event()
        self._room = trio.Event()
        self._finished = False

    async def write(self, line: str) -> None:
        """Hand over one line, without its line feed. A checkpoint only when there is no room."""
        while len(self._lines) >= self._capacity:
            self._room = trio.Event()
            await self._room.wait()
        self._lines.append(line)
        self._wake.set()

    def finish(self) -> None:
        """Let :meth:`run` end once everything is written."""
        self._finished = True
        self._wake.set()

    async def run(self) -> None:
        """Write until :meth:`finish`.

        Raises:
          BrokenPipeError: nobody reads any more.
        """
        while True:
            while self._lines:
                block = "".join(f"{line}\n" for line in self._lines)
                self._lines.clear()
                self._room.set()
                # Abandoned, the thread may wait for its reader for ever; as a daemon it does not keep the process.
                await trio.to_thread.run_sync(_write_all, block.encode(), abandon_on_cancel=True)
            if self._finished:
                return
            self._wake = trio.Event()
            await self._wake.wait()


def _write_all(data: bytes) -> None:
    descriptor = sys.stdout.fileno()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # somebody who shares our terminal or pipe has made it non-blocking
            select.select([], [descriptor], [])

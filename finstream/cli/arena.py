"""``finstream arena``"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import click
import msgspec
import trio
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import Rest, ask
from finstream.cli.commands import Command, examples
from finstream.cli.output import duration, json_option, microseconds, print_json, table, terminal
from finstream.cli.signals import until_asked_to_stop

__all__ = ["Place", "arena", "arena_table", "fetch_arena"]


class Place(msgspec.Struct, frozen=True):
    """One source's place in the arena, as the engine serves it."""

    rank: int
    asset: str
    state: str = ""
    lag_us: int | None = None
    lag_smoothed_us: int | None = None
    ticks: int = 0
    silent_ms: int | None = None
    clock_error: bool = False
    severity: int | None = None
    """None for one that is silent on purpose."""
    degraded: bool = False


class _Arena(msgspec.Struct, frozen=True):
    arena: list[Place]


_SEVERITY_COLOURS = ["green", "yellow", "dark_orange", "red", "bold red"]


def arena_table(places: Sequence[Place], rates: dict[str, float] | None = None) -> Table:
    """The ranking, best first; ``rates`` are ticks a second, where they are known."""
    rate_column = [] if rates is None else ["ticks/s"]
    columns = ["rank", "asset", "lag", "smoothed", *rate_column, "ticks", "silent", "health"]
    rows: list[list[str | Text]] = []
    for place in places:
        quiet = place.ticks == 0
        shade = "dim" if place.severity is None else _SEVERITY_COLOURS[min(place.severity, 4)]
        row: list[str | Text] = [
            str(place.rank),
            Text(place.asset, style="bold"),
            "–" if quiet else microseconds(place.lag_us),
            "–" if quiet else Text(microseconds(place.lag_smoothed_us), style=shade),
            f"{place.ticks:,}",
            "–" if quiet or place.silent_ms is None else duration(place.silent_ms / 1000),
            _health(place),
        ]
        if rates is not None:
            row.insert(4, f"{rates.get(place.asset, 0):,.0f}")
        rows.append(row)
    return table(columns, rows, right=["rank", "lag", "smoothed", "ticks/s", "ticks", "silent"])


def _health(place: Place) -> Text:
    if place.severity is None:
        return Text(place.state, style="dim")  # silent on purpose
    if place.ticks == 0:
        said = f"no tick yet, severity {place.severity}" if place.degraded else "no tick yet"
        return Text(said, style=_SEVERITY_COLOURS[min(place.severity, 4)] if place.degraded else "dim")
    if place.clock_error:
        return Text("clock error: its stamps lie in the future", style="red")
    if place.degraded:
        return Text(f"degraded, severity {place.severity}", style=_SEVERITY_COLOURS[min(place.severity, 4)])
    return Text("good", style="green")


async def fetch_arena(rest: Rest, symbol: str | None = None) -> tuple[bytes, list[Place]]:
    """The arena as the engine wrote it, and as we read it."""
    body = await rest.call("public", "GET", "/v1/arena", query=None if symbol is None else {"symbol": symbol})
    return body, msgspec.json.decode(body, type=_Arena).arena


@click.command(
    cls=Command,
    epilog=examples(
        "finstream arena",
        "finstream arena --symbol BTC/USDT",
        "finstream arena --watch",
        "finstream arena --watch --every 5 --json | jq -c '.arena[0].asset'",
    ),
)
@click.option("--symbol", help="Rank by the lag of this symbol only, like BTC/USDT.")
@click.option("--watch", is_flag=True, help="Go on showing it until Ctrl-C.")
@click.option(
    "--every", metavar="SECONDS", type=click.FloatRange(min=0.05), default=0.5, show_default=True, help="How often."
)
@address_options("public")
@json_option
def arena(addresses: Addresses, symbol: str | None, watch: bool, every: float, as_json: bool) -> int | None:
    """Rank the sources by lag: the time from a tick's own stamp to its arrival here.

    A source that has fallen silent gets worse with every second. A source whose smoothed lag is negative has a clock
    that is ahead of ours, and ranks behind those that have not.
    """
    if watch:
        return trio.run(until_asked_to_stop, _watch, addresses, symbol, every, as_json)
    query = None if symbol is None else {"symbol": symbol}
    body = ask(addresses, "public", "GET", "/v1/arena", query=query)
    if as_json:
        print_json(body)
    else:
        terminal().print(arena_table(msgspec.json.decode(body, type=_Arena).arena))
    return None


async def _watch(addresses: Addresses, symbol: str | None, every: float, as_json: bool) -> None:
    console = terminal()
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
    async with Rest(addresses) as rest:
        body, places = await fetch_arena(rest, symbol)
        with live or nullcontext():
            while True:
                if live:
                    live.update(arena_table(places), refresh=True)
                elif as_json:
                    print_json(body)
                else:
                    console.print(arena_table(places))
                await trio.sleep(every)
                body, places = await fetch_arena(rest, symbol)

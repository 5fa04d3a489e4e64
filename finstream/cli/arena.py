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
    lag_p50_us: int | None = None
    lag_p99_us: int | None = None
    clock_ahead_us: int | None = None
    ticks_per_s: float | None = None
    usual_ticks_per_s: float | None = None
    matches: int = 0
    win_rate: float | None = None
    lead_us: int | None = None
    leads: bool = False


class _Arena(msgspec.Struct, frozen=True):
    arena: list[Place]


_SEVERITY_COLOURS = ["green", "yellow", "dark_orange", "red", "bold red"]


def arena_table(places: Sequence[Place], rates: dict[str, float] | None = None) -> Table:
    """The ranking, best first. With ``rates``, ticks a second by asset, it is a narrow one for a busy screen."""
    if rates is None:
        return _wide_table(places)
    columns = ["rank", "asset", "lag", "smoothed", "ticks/s", "ticks", "silent", "health"]
    rows: list[list[str | Text]] = []
    for place in places:
        quiet = place.ticks == 0
        shade = "dim" if place.severity is None else _SEVERITY_COLOURS[min(place.severity, 4)]
        row: list[str | Text] = [
            str(place.rank),
            Text(place.asset, style="bold"),
            "–" if quiet else microseconds(place.lag_us),
            "–" if quiet else Text(microseconds(place.lag_smoothed_us), style=shade),
            f"{rates.get(place.asset, 0):,.0f}",
            f"{place.ticks:,}",
            "–" if quiet or place.silent_ms is None else duration(place.silent_ms / 1000),
            _health(place),
        ]
        rows.append(row)
    return table(columns, rows, right=["rank", "lag", "smoothed", "ticks/s", "ticks", "silent"])


def _wide_table(places: Sequence[Place]) -> Table:
    numbers = ["lag", "smoothed", "p50", "p99", "ticks/s", "usually", "won", "lead", "ticks", "silent"]
    if not any(place.matches for place in places):
        numbers = [name for name in numbers if name not in ("won", "lead")]
    rows: list[list[str | Text]] = []
    for place in places:
        shade = "dim" if place.severity is None else _SEVERITY_COLOURS[min(place.severity, 4)]
        cells: dict[str, str | Text] = {
            "lag": _time(place.lag_us),
            "smoothed": Text(_time(place.lag_smoothed_us), style=shade if place.ticks else ""),
            "p50": _time(place.lag_p50_us),
            "p99": _time(place.lag_p99_us),
            "ticks/s": _rate(place.ticks_per_s),
            "usually": _rate(place.usual_ticks_per_s),
            "won": "–" if place.win_rate is None else f"{place.win_rate:.0%} of {place.matches:,}",
            "lead": _time(place.lead_us),
            "ticks": f"{place.ticks:,}",
            "silent": "–" if place.ticks == 0 or place.silent_ms is None else duration(place.silent_ms / 1000),
        }
        name = Text.assemble((place.asset, "bold"), " (best)" if place.leads else "")
        rows.append([str(place.rank), name, *(cells[column] for column in numbers), _health(place)])
    return table(["rank", "asset", *numbers, "health"], rows, right=["rank", *numbers])


def _time(value_us: int | None) -> str:
    return "–" if value_us is None else microseconds(value_us)


def _rate(per_s: float | None) -> str:
    return "–" if per_s is None else f"{per_s:,.1f}" if per_s < 10 else f"{per_s:,.0f}"


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
    if place.clock_ahead_us:
        return Text(f"good, but its clock is {microseconds(place.clock_ahead_us)} ahead or more", style="yellow")
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

    p50 and p99 are the lags of the last minutes that half and 99 % of the ticks did not exceed; "usually" is the rate
    of the last hour. "won" is how many of the trades that several sources told it told first, "lead" by how much.
    With --symbol the source that the topic best:SYMBOL brings is marked.
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

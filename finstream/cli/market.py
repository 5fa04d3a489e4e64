"""``finstream market``"""

from __future__ import annotations

import datetime
from contextlib import nullcontext
from typing import get_args
from zoneinfo import ZoneInfo

import click
import msgspec
import trio
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import Rest, ask
from finstream.cli.commands import Command, LazyGroup, examples
from finstream.cli.output import duration, json_option, print_json, table, terminal
from finstream.cli.signals import until_asked_to_stop
from finstream.vocabulary.market import MarketView, Phase

__all__ = ["market", "market_lines", "show", "simulate"]

_COLOURS = {"open": "green", "pre-market": "yellow", "after-hours": "yellow", "closed": "cyan"}
_NEW_YORK = ZoneInfo("America/New_York")


class _ShowByDefault(LazyGroup):
    """``finstream market`` shows it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_ShowByDefault,
    lazy={
        "show": ("finstream.cli.market:show", "Show the market's status (also without a command)."),
        "simulate": ("finstream.cli.market:simulate", "Make a status up, in mode: simulation."),
    },
    epilog=examples(
        "finstream market show",
        "finstream market show --watch",
        "finstream market show --json | jq -r .status",
        "finstream market simulate closed",
    ),
)
def market() -> None:
    """Show whether the stock market is open, or simulate that it is. Assets with market: nasdaq pause while it is closed.

    Without a command, `finstream market` shows it.
    """


@click.command(
    cls=Command,
    epilog=examples(
        "finstream market show",
        "finstream market show --watch",
        "finstream market show --watch --every 5 --json | jq -c '[.new_york, .status]'",
    ),
)
@click.option("--watch", is_flag=True, help="Go on showing it until Ctrl-C.")
@click.option(
    "--every", metavar="SECONDS", type=click.FloatRange(min=0.05), default=1.0, show_default=True, help="How often."
)
@address_options("public")
@json_option
def show(addresses: Addresses, watch: bool, every: float, as_json: bool) -> int | None:
    """Show the stock market's status, who says so, and what comes next."""
    if watch:
        return trio.run(until_asked_to_stop, _watch, addresses, every, as_json)
    _print(ask(addresses, "public", "GET", "/v1/market"), as_json)
    return None


@click.command(
    cls=Command,
    epilog=examples(
        "finstream market simulate closed",
        "finstream market simulate pre-market --json",
        "finstream market simulate off",
    ),
)
@click.argument("status", type=click.Choice([*get_args(Phase), "off"]))
@address_options("admin")
@json_option
def simulate(addresses: Addresses, status: str, as_json: bool) -> None:
    """Make up the stock market's STATUS and stop asking for the real one; off ends that. Only in mode: simulation."""
    body = {"status": None if status == "off" else status}
    _print(ask(addresses, "admin", "PUT", "/v1/market/simulation", body=body), as_json)


def _print(body: bytes, as_json: bool) -> None:
    if as_json:
        print_json(body)
    else:
        terminal().print(market_lines(msgspec.json.decode(body, type=MarketView)))


def market_lines(view: MarketView) -> Table:
    """What there is to be said, a line each."""
    status = Text(view.status, style=f"bold {_COLOURS[view.status]}")
    if view.simulated:
        status.append("  simulated", style="bold magenta")
    rows: list[tuple[str, str | Text]] = [(view.market, status), ("since", _clock(view.since_us)), ("source", _source(view))]
    if view.next_status is not None:
        rows.append(("next", f"{view.next_status}, {_clock(view.next_change_us)}"))
    rows.append(("today", _today(view)))
    if view.source != "simulation" and view.calendar != view.status:
        rows.append(("calendar", Text(f"says {view.calendar}", style="yellow")))
    if view.error is not None:
        rows.append(("no answer", Text(view.error, style="yellow")))
    rows.append(("New York", view.new_york))
    return table(["market", ""], rows)


def _source(view: MarketView) -> str:
    if view.source == "simulation":
        return "simulation: nobody is asked"
    if view.age_ms is None:
        return "calendar" + ("; the market has not answered yet" if view.polled else "; the market is not asked")
    told = f"the market said {view.last_known} {duration(view.age_ms / 1000)} ago"
    return told if view.source == "nasdaq" else f"calendar; {told}"


def _today(view: MarketView) -> str:
    if view.session is None:
        return view.holiday or ("–" if view.source == "simulation" else "no trading")
    begins, ends = _clock(view.session.open_us), _clock(view.session.close_us)
    return f"{begins} to {ends[-9:]}" + (", a half day" if view.session.half_day else "")


def _clock(at_us: int | None) -> str:
    """``Fri 27 Nov 13:00 EST``: New York's time, to the minute."""
    if not at_us:
        return "–"
    return f"{datetime.datetime.fromtimestamp(at_us // 1_000_000, _NEW_YORK):%a %d %b %H:%M %Z}"


async def _watch(addresses: Addresses, every: float, as_json: bool) -> None:
    console = terminal()
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
    async with Rest(addresses) as rest:
        body = await rest.call("public", "GET", "/v1/market")
        with live or nullcontext():
            while True:
                if live:
                    live.update(market_lines(msgspec.json.decode(body, type=MarketView)), refresh=True)
                else:
                    _print(body, as_json)
                await trio.sleep(every)
                body = await rest.call("public", "GET", "/v1/market")

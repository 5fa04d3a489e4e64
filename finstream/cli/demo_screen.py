"""The face of the demo: a live screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from finstream.cli.arena import arena_table
from finstream.cli.assets import state_text
from finstream.cli.demo_engine import DemoEngine
from finstream.cli.demo_state import DemoState
from finstream.cli.messages import message_line
from finstream.cli.output import count, microseconds, table

__all__ = ["attach_hints", "show_lines", "show_screen"]

_FRAME_S = 0.2
_CHARACTERS = {
    "steady": "as it should be",
    "slow": "its ticks are old when they arrive",
    "flaky": "falls silent, crashes, is started again",
    "liar": "some of its lines break the protocol",
}


def attach_hints(engine: DemoEngine, assets: list[str]) -> list[str]:
    """Commands for a second terminal."""
    options = engine.addresses.differing_options
    return [
        f"finstream subscribe {assets[0]} {assets[-1]}:BTC/USDT{options('public', 'stream')}",
        f"finstream arena --watch{options('public')}",
        f"finstream pause {assets[0]}{options('admin')}",
        f"curl -s {engine.addresses.public}/v1/arena",
    ]


async def show_screen(console: Console, engine: DemoEngine, state: DemoState) -> None:
    """Redraw until cancelled."""
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            live.update(_screen(engine, state, console.height), refresh=True)
            await trio.sleep(_FRAME_S)


async def show_lines(console: Console, state: DemoState) -> None:
    """A line of the ranking and the latest tick, every second, until cancelled."""
    while True:
        await trio.sleep(1)
        ranked = "  ".join(
            f"{place.rank} {place.asset} {microseconds(place.lag_smoothed_us) if place.ticks else '–'}"
            f"{' degraded' if place.degraded else ''}"
            for place in state.places
        )
        console.print(f"{datetime.datetime.now(datetime.UTC):%H:%M:%S} arena  {ranked}", soft_wrap=True)
        if trouble := "  ".join(_trouble(state)):
            console.print(f"         also   {trouble}", soft_wrap=True)
        if state.ticks:
            console.print(f"         tick   {message_line(state.ticks[-1])}", soft_wrap=True)


def _trouble(state: DemoState) -> Iterator[str]:
    for asset, view in state.views.items():
        if view.state != "running":
            yield f"{asset} is in {view.state}"
        if rejected := sum(view.statistics.rejected.values()):
            yield f"{asset}: {count(rejected, 'line')} rejected"


def _screen(engine: DemoEngine, state: DemoState, height: int) -> RenderableType:
    # A heading, and a frame of two lines around each of the four panels, two of which have column titles.
    left = height - (1 + 8 + 2 + 2 * len(state.assets))
    commands = attach_hints(engine, state.assets)[: max(1, left - 6)]
    shown = max(1, left - len(commands))
    hints = Text("\n").join(Text(command, style="bold") for command in commands)
    lines = (message_line(tick, colour=True) for tick in state.ticks[-shown:])
    ticks = Text("\n", no_wrap=True, overflow="ellipsis").join(map(Text.from_ansi, lines))
    told = "  simulated: nothing here is real  "
    page = f"NOC in a browser: {engine.addresses.admin}"
    return Group(
        Text.assemble(("FinStream demo", "bold"), told, (page, "bold"), "  ", ("Ctrl-C ends it", "dim")),
        Panel(arena_table(state.places, state.rates), title="the arena: lag, best first", title_align="left"),
        Panel(_sources(state), title="the sources", title_align="left"),
        Panel(ticks, title=f"ticks, {state.total:,} so far", title_align="left", height=shown + 2),
        Panel(hints, title="in a second terminal", title_align="left"),
    )


def _sources(state: DemoState) -> RenderableType:
    rows = []
    for asset in state.assets:
        if view := state.views.get(asset):
            rejected = view.statistics.rejected
            reasons = ", ".join(sorted(rejected, key=lambda reason: -rejected[reason])[:3])
            rows.append((
                asset,
                state_text(view.state),
                f"{view.restarts:,}",
                f"{sum(rejected.values()):,}",
                Text(reasons or _CHARACTERS.get(asset, ""), style="dim"),
            ))
    columns = ["asset", "state", "restarts", "rejected", ""]
    return table(columns, rows, right=["restarts", "rejected"])

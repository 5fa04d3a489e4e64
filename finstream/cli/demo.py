"""``finstream demo``"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path

import click
import trio

from finstream.cli.client import Rest
from finstream.cli.commands import Command, examples
from finstream.cli.demo_engine import DemoEngine, running_engine
from finstream.cli.demo_screen import attach_hints, show_lines, show_screen
from finstream.cli.demo_state import DemoState
from finstream.cli.output import terminal
from finstream.cli.signals import until_asked_to_stop
from finstream.services.config import load

__all__ = ["demo"]


@click.command(cls=Command, epilog=examples("finstream demo", "finstream demo --seconds 20"))
@click.option("--seconds", metavar="N", type=click.FloatRange(min=0, min_open=True), help="End after N seconds.")
@click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Show another configuration.")
def demo(seconds: float | None, config: Path | None) -> int:
    """See it work: an engine in simulation, four sources of the same symbols; one is slow, one flaky, one lies.

    The arena ranks them live while their ticks pass; the address of the NOC, for a browser, and commands for a second
    terminal are shown. The engine, its state and its sources end with the demo. No network is needed.
    """
    file = config or Path(str(resources.files("finstream.defaults").joinpath("demo.yaml")))
    code = trio.run(until_asked_to_stop, _demo, file, seconds)
    click.echo("the demo has ended, and its engine with it")
    return code


async def _demo(config: Path, seconds: float | None) -> None:
    console = terminal()
    assets = list(load(config).assets)
    with tempfile.TemporaryDirectory(prefix="finstream-demo-") as directory:
        async with running_engine(config, Path(directory)) as engine:
            if engine.taken:
                console.print(f"{', '.join(engine.taken)} in use (another engine?): listening on free ports instead")
            if not console.is_terminal:
                console.print(f"the NOC, in a browser: {engine.addresses.admin}", soft_wrap=True)
                console.print("in a second terminal:", *attach_hints(engine, assets), sep="\n  ")
            with trio.move_on_after(math.inf if seconds is None else seconds):
                await _show(engine, assets)


async def _show(engine: DemoEngine, assets: list[str]) -> None:
    """Raises:
    EngineFailed: the engine ended.
    """
    console = terminal()
    state = DemoState(assets)
    failures: list[Exception] = []

    async def part(function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        try:
            await function(*arguments)
        except Exception as failure:  # whatever it is, it is told below: most likely the engine is gone
            failures.append(failure)
        nursery.cancel_scope.cancel()

    async with Rest(engine.addresses) as rest, trio.open_nursery() as nursery:
        nursery.start_soon(part, engine.ended)
        nursery.start_soon(part, state.follow_arena, rest)
        nursery.start_soon(part, state.follow_ticks, engine.addresses)
        if console.is_terminal:
            nursery.start_soon(part, show_screen, console, engine, state)
        else:
            nursery.start_soon(part, show_lines, console, state)
    # Reached only when a part has ended, which none does by itself.
    why = f" ({failures[0]})" if failures else ""
    raise engine.failure(f"the demo's engine does not answer any more{why}")

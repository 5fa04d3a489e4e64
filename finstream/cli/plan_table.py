"""What a change of configuration starts, stops and restarts, as people read it."""

from __future__ import annotations

import click
import msgspec

__all__ = ["PlanView", "print_plan"]


class PlanView(msgspec.Struct, frozen=True):
    """The engine's plan, as far as it is shown."""

    started: list[str] = []
    stopped: list[str] = []
    restarted: list[str] = []
    unchanged: list[str] = []
    needs_engine_restart: list[str] = []


_WORDS = {
    "started": ("+", "green", "start", "started"),
    "stopped": ("-", "red", "stop", "stopped"),
    "restarted": ("~", "yellow", "restart", "restarted"),
    "unchanged": (" ", None, "leave as it is", "left as it was"),
}


def print_plan(plan: PlanView, *, done: bool) -> None:
    for name, (sign, colour, will, did) in _WORDS.items():
        for child in getattr(plan, name):
            click.secho(f"{sign} {did if done else will:<15} {child}", fg=colour)
    if plan.needs_engine_restart:
        keys = ", ".join(plan.needs_engine_restart)
        click.secho(f"! takes effect only when the engine restarts (`finstream reboot`): {keys}", fg="yellow")
    if not (plan.started or plan.stopped or plan.restarted or plan.needs_engine_restart):
        click.echo("nothing changed" if done else "nothing would change")

"""What a change of configuration starts, stops and restarts, as people read it."""

from __future__ import annotations

import click

from finstream.services.config_plan import Plan

__all__ = ["print_plan"]


_WORDS = {
    "started": ("+", "green", "start", "started"),
    "stopped": ("-", "red", "stop", "stopped"),
    "restarted": ("~", "yellow", "restart", "restarted"),
    "unchanged": (" ", None, "leave as it is", "left as it was"),
}


def print_plan(plan: Plan, *, done: bool) -> None:
    for name, (sign, colour, will, did) in _WORDS.items():
        for child in getattr(plan, name):
            click.secho(f"{sign} {did if done else will:<15} {child}", fg=colour)
    for key in plan.hot:
        click.secho(f"~ {'changed' if done else 'change':<15} {key}", fg="yellow")
    if plan.needs_engine_restart:
        keys = ", ".join(plan.needs_engine_restart)
        click.secho(f"! takes effect only when the engine restarts (`finstream reboot`): {keys}", fg="yellow")
    if not (plan.started or plan.stopped or plan.restarted or plan.hot or plan.needs_engine_restart):
        click.echo("nothing changed" if done else "nothing would change")

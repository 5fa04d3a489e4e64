"""What a change of configuration starts, stops and restarts, as people read it."""

from __future__ import annotations

from finstream.cli.output import say
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
            say(f"{sign} {did if done else will:<15} {child}", fg=colour)
    for key in plan.hot:
        say(f"~ {'changed' if done else 'change':<15} {key}", fg="yellow")
    if plan.needs_engine_restart:
        keys = ", ".join(plan.needs_engine_restart)
        say(f"! takes effect only when the engine restarts (`finstream reboot`): {keys}", fg="yellow")
    if not (plan.started or plan.stopped or plan.restarted or plan.hot or plan.needs_engine_restart):
        say("nothing changed" if done else "nothing would change")

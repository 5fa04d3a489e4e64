"""``finstream logs level``"""

from __future__ import annotations

from typing import get_args

import click
import msgspec

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import ask
from finstream.cli.commands import Command, LazyGroup, examples
from finstream.cli.output import json_option, print_json
from finstream.vocabulary.settings import LogLevel

__all__ = ["level", "logs"]


@click.group(
    cls=LazyGroup,
    lazy={"level": ("finstream.cli.logs:level", "Change the level of the engine's log.")},
    epilog=examples("finstream logs level debug"),
)
def logs() -> None:
    """Change how much the engine logs. The log itself is JSON lines on the engine's standard error."""


@click.command(cls=Command, epilog=examples("finstream logs level debug", "finstream logs level info --json"))
@click.argument("level", type=click.Choice(get_args(LogLevel)))
@address_options("admin")
@json_option
def level(addresses: Addresses, level: str, as_json: bool) -> None:
    """Change the level of the engine's log at once, until its next start."""
    body = ask(addresses, "admin", "PUT", "/v1/logs/level", body={"level": level})
    if as_json:
        print_json(body)
        return
    answer = msgspec.json.decode(body)
    click.echo(f"{answer['previous']} → {answer['level']}")

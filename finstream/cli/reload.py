"""``finstream reload``"""

from __future__ import annotations

import click
import msgspec

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import ask
from finstream.cli.commands import Command, examples
from finstream.cli.output import json_option, print_json
from finstream.cli.plan_table import print_plan
from finstream.services.config_plan import Plan

__all__ = ["reload"]


@click.command(cls=Command, epilog=examples("finstream reload", "finstream reload --json | jq .restarted"))
@address_options("admin")
@json_option
def reload(addresses: Addresses, as_json: bool) -> None:
    """Make the engine read its configuration file again, and say what that changed.

    The engine watches the file and does so by itself; this tells you at once, and why a new configuration was rejected.
    """
    body = ask(addresses, "admin", "POST", "/v1/config/reload")
    if as_json:
        print_json(body)
    else:
        print_plan(msgspec.json.decode(body, type=Plan), done=True)

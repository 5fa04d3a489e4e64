"""``finstream reboot``"""

from __future__ import annotations

import click

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import ask
from finstream.cli.commands import Command, examples
from finstream.cli.output import json_option, print_json

__all__ = ["reboot"]


@click.command(cls=Command, epilog=examples("finstream reboot", "finstream reboot --yes --json"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@address_options("admin")
@json_option
def reboot(addresses: Addresses, yes: bool, as_json: bool) -> None:
    """Stop the engine cleanly and start it anew, with the configuration as it is in the file now.

    Subscribers are told to come back; their registrations and subscriptions are kept.
    """
    if not yes and not as_json:
        click.confirm("Restart the whole engine?", abort=True)
    body = ask(addresses, "admin", "POST", "/v1/reboot")
    if as_json:
        print_json(body)
    else:
        click.echo("the engine is restarting")

"""``finstream pause | start | restart ASSET``: an operator's hand on one ingestor."""

from __future__ import annotations

from urllib.parse import quote

import click
import msgspec

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import ask
from finstream.cli.commands import Command, examples
from finstream.cli.output import json_option, print_json, say

__all__ = ["pause", "restart", "start"]


def _command(action: str, does: str) -> click.Command:
    lines = examples(f"finstream {action} binance", f"finstream {action} binance --json")

    @click.command(action, cls=Command, help=does, epilog=lines)
    @click.argument("asset")
    @address_options("admin")
    @json_option
    def command(addresses: Addresses, asset: str, as_json: bool) -> None:
        body = ask(addresses, "admin", "POST", f"/v1/assets/{quote(asset, safe='')}/{action}")
        if as_json:
            print_json(body)
        else:
            say(f"{asset}: {msgspec.json.decode(body)['state']}")

    return command


pause = _command("pause", "Stop the ingestor of ASSET; it stays stopped, whoever subscribes, until started again.")
start = _command("start", "Start ASSET again after a pause, or after it has given up (done, misconfigured, tripped).")
restart = _command("restart", "Stop the ingestor of ASSET and start it again at once.")

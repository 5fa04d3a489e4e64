"""``finstream assets``"""

from __future__ import annotations

import click
import msgspec
from rich.text import Text

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import ask
from finstream.cli.commands import Command, examples
from finstream.cli.output import json_option, print_json, table, terminal

__all__ = ["assets", "state_text"]

_COLOURS = {
    "running": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "backoff": "yellow",
    "paused": "cyan",
    "misconfigured": "red",
    "tripped": "red",
}


class _Asset(msgspec.Struct, frozen=True):
    name: str
    state: str
    reason: str = ""
    detail: str = ""
    kind: str = ""
    origin: str = ""
    pid: int | None = None
    restarts: int = 0
    wanted_by: int = 0


class _Assets(msgspec.Struct, frozen=True):
    assets: list[_Asset]


def state_text(state: str) -> Text:
    """The state of an asset, coloured by how well that is."""
    return Text(state, style=_COLOURS.get(state, ""))


@click.command(
    cls=Command,
    epilog=examples("finstream assets", "finstream assets --json | jq '.assets[].name'", "finstream assets binance"),
)
@click.argument("asset", required=False)
@address_options("public")
@json_option
def assets(addresses: Addresses, asset: str | None, as_json: bool) -> None:
    """List the assets and the state of their ingestors, or show one ASSET."""
    body = ask(addresses, "public", "GET", "/v1/assets" if asset is None else f"/v1/assets/{asset}")
    if as_json:
        print_json(body)
        return
    if asset is None:
        listed = msgspec.json.decode(body, type=_Assets).assets
    else:
        listed = [msgspec.json.decode(body, type=_Asset)]
    columns = ["asset", "state", "reason", "wanted by", "restarts", "pid", "kind", "origin", "detail"]
    rows = [
        (
            each.name,
            state_text(each.state),
            each.reason,
            str(each.wanted_by),
            str(each.restarts),
            "–" if each.pid is None else str(each.pid),
            each.kind,
            each.origin,
            each.detail,
        )
        for each in listed
    ]
    terminal().print(table(columns, rows, right=["wanted by", "restarts", "pid"]))

"""``finstream clients show | delete UUID``"""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import quote

import click
import msgspec
from rich.text import Text

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import ask
from finstream.cli.commands import Command, LazyGroup, examples
from finstream.cli.output import json_option, print_json, printable, say, terminal

__all__ = ["clients", "delete", "show"]

_UUID = "3f0c5b1e-8d55-4a50-9f7a-3b1f0d2c9a11"


@click.group(
    cls=LazyGroup,
    lazy={
        "show": ("finstream.cli.clients:show", "Show a client: state, topics, statistics, how it was last closed."),
        "delete": ("finstream.cli.clients:delete", "Unregister a client; its connection is closed."),
    },
    epilog=examples(f"finstream clients show {_UUID}"),
)
def clients() -> None:
    """Show or delete a registered client by its UUID."""


@click.command(cls=Command, epilog=examples(f"finstream clients show {_UUID}"))
@click.argument("uuid")
@address_options("public")
@json_option
def show(addresses: Addresses, uuid: str, as_json: bool) -> None:
    """Show a client: state, topics, statistics, and the receipt of its last connection."""
    body = ask(addresses, "public", "GET", f"/v1/clients/{quote(uuid, safe='')}")
    if as_json:
        print_json(body)
        return
    console = terminal()
    for name, value in _flat(msgspec.json.decode(body)):
        console.print(Text.assemble((f"{name:<28}", "bold"), " ", printable(_readable(name, value))))


@click.command(cls=Command, epilog=examples(f"finstream clients delete {_UUID}"))
@click.argument("uuid")
@address_options("public")
@json_option
def delete(addresses: Addresses, uuid: str, as_json: bool) -> None:
    """Unregister a client. Its connection, if it has one, is closed; its subscriptions are gone."""
    ask(addresses, "public", "DELETE", f"/v1/clients/{quote(uuid, safe='')}")
    if as_json:
        print_json(msgspec.json.encode({"deleted": uuid}))
    else:
        say(f"unregistered {uuid}")


def _flat(members: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in members.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{name}.")
        else:
            flat.append((prefix + name, value))
    return flat


def _readable(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    last = name.rpartition(".")[2]
    if isinstance(value, int) and (last == "at" or last.endswith(("_at", "_since", "_us"))):
        return datetime.datetime.fromtimestamp(value / 1e6, datetime.UTC).isoformat(sep=" ", timespec="milliseconds")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

"""``finstream assets``"""

from __future__ import annotations

import shlex
import time
from urllib.parse import quote

import click
import msgspec
from rich.table import Table
from rich.text import Text

from finstream.cli.addresses import Addresses, address_options
from finstream.cli.client import ask
from finstream.cli.commands import Command, examples
from finstream.cli.output import count, duration, json_option, print_json, say, table, terminal

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


class _Statistics(msgspec.Struct, frozen=True):
    ticks: int = 0
    lines: int = 0
    subscribers: int = 0
    symbols: int = 0
    rejected: dict[str, int] = {}
    questioned: dict[str, int] = {}


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
    since_us: int = 0
    command: list[str] = []
    statistics: _Statistics | None = None
    """Only of an asset that is asked for by its name."""


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
    body = ask(addresses, "public", "GET", "/v1/assets" if asset is None else f"/v1/assets/{quote(asset, safe='')}")
    if as_json:
        print_json(body)
        return
    if asset is None:
        terminal().print(_table(msgspec.json.decode(body, type=_Assets).assets))
    else:
        one = msgspec.json.decode(body, type=_Asset)
        terminal().print(_table([one]))
        for name, value in _details(one):
            say(f"{name:<12}{value}")


def _table(listed: list[_Asset]) -> Table:
    columns = ["asset", "state", "for", "reason", "wanted by", "restarts", "pid", "kind", "origin", "detail"]
    now_us = time.time_ns() // 1000
    rows = [
        (
            each.name,
            state_text(each.state),
            duration(max(1, (now_us - each.since_us) // 1_000_000)),
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
    return table(columns, rows, right=["for", "wanted by", "restarts", "pid"])


def _details(asset: _Asset) -> list[tuple[str, str]]:
    details = [("command", shlex.join(asset.command))]
    if counted := asset.statistics:
        details.append(("lines", f"{counted.lines:,}, of them {count(counted.ticks, 'tick')}"))
        details.append(("symbols", f"{counted.symbols:,}"))
        details.append(("subscribers", f"{counted.subscribers:,}"))
        reasons = sorted(counted.rejected.items(), key=lambda item: -item[1])
        details.append(("rejected", ", ".join(f"{number:,} {reason}" for reason, number in reasons) or "none"))
        checks = sorted(counted.questioned.items(), key=lambda item: -item[1])
        details.append(("questioned", ", ".join(f"{number:,} {check}" for check, number in checks) or "none"))
    return details

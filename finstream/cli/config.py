"""``finstream config check | plan``: configuration files, without an engine."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from finstream.cli import exits
from finstream.cli.commands import Command, LazyGroup, examples
from finstream.cli.output import count, json_option, print_json, say
from finstream.cli.plan_table import print_plan
from finstream.services.config import find_default, load
from finstream.services.config_plan import plan as plan_change
from finstream.vocabulary.addresses import split_address
from finstream.vocabulary.errors import ConfigError
from finstream.vocabulary.settings import Settings

__all__ = ["check", "config", "plan"]

_FILE = click.Path(path_type=Path)


@click.group(
    cls=LazyGroup,
    lazy={
        "check": ("finstream.cli.config:check", "Say whether a configuration can be used."),
        "plan": ("finstream.cli.config:plan", "Say what a changed configuration would start, stop and restart."),
    },
    epilog=examples("finstream config check config/config.yaml", "finstream config plan new.yaml"),
)
def config() -> None:
    """Check a configuration file, or plan a change. No engine needs to run."""


@click.command(cls=Command, epilog=examples("finstream config check config/config.yaml"))
@click.argument("file", type=_FILE)
@json_option
def check(file: Path, as_json: bool) -> int:
    """Say whether FILE can be used, and if not: where it is wrong and what to write instead.

    The exit code is 0 if it can be used, 78 if not.
    """
    try:
        settings = load(file)
    except ConfigError as error:
        if not as_json:
            raise
        wrong = {"ok": False, "file": str(file), "where": error.where, "problem": error.problem, "remedy": error.remedy}
        print_json(msgspec.json.encode(wrong))
        return exits.MISCONFIGURED
    warnings = _warnings(settings)
    if as_json:
        found = {"ok": True, "file": str(file), "mode": settings.mode, "warnings": warnings}
        print_json(msgspec.json.encode(found | {"assets": list(settings.assets), "sinks": list(settings.sinks)}))
    else:
        parts = f"{settings.mode} mode, {count(len(settings.assets), 'asset')}, {count(len(settings.sinks), 'sink')}"
        say(f"{file}: good ({parts})")
        for warning in warnings:
            say(f"warning: {warning}", fg="yellow", err=True)
    return exits.OK


@click.command(
    cls=Command,
    epilog=examples("finstream config plan new.yaml", "finstream config plan new.yaml --against old.yaml --json"),
)
@click.argument("file", type=_FILE)
@click.option("--against", metavar="FILE", type=_FILE, help="The configuration in use; the default one if not given.")
@json_option
def plan(file: Path, against: Path | None, as_json: bool) -> None:
    """Say what would start, stop and restart if FILE took the place of the configuration in use.

    What is not named goes on untouched.
    """
    change = plan_change(_load(against or find_default()), _load(file))
    if as_json:
        print_json(msgspec.json.encode(change))
    else:
        print_plan(change, done=False)


def _warnings(settings: Settings) -> list[str]:
    """What an engine with our environment would refuse; the real one may be given another."""
    if split_address(settings.listen.admin).is_loopback:
        return []
    # Not at the top: it is slow to load, and hardly ever needed.
    from finstream.servers.admin import admin_token

    try:
        admin_token(settings, os.environ)
    except ConfigError as error:
        return [f"`finstream run` refuses this in the environment as it is here: {error}"]
    return []


def _load(file: Path) -> Settings:
    """As :func:`load`, but its errors name the file: there may be two."""
    try:
        return load(file)
    except ConfigError as error:
        names_it = error.where == str(file) or error.where.startswith(f"{file}, ")
        where = error.where if names_it else f"{file}: {error.where}"
        raise ConfigError(where, error.problem, error.remedy) from None

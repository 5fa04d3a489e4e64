"""Every command explains itself, with examples that work."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator

import click
import pytest

from finstream.cli.program import program


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None, f"{name} cannot be loaded"
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = list(_commands(program))


def _examples(command: click.Command) -> list[str]:
    assert command.epilog is not None
    return [line.strip() for line in command.epilog.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) or "finstream" for path, _ in ALL])
def test_help_has_a_purpose_and_examples(path: tuple[str, ...], command: click.Command) -> None:
    text = command.get_help(click.Context(command, info_name="finstream"))
    assert command.help
    assert command.help.strip()[0].isupper()
    assert "Examples:" in text
    for example in _examples(command):
        assert example in text, "cut or wrapped"


@pytest.mark.parametrize(
    ("path", "example"), [(path, example) for path, command in ALL for example in _examples(command)]
)
def test_examples_parse(path: tuple[str, ...], example: str) -> None:
    words = shlex.split(example.split(" | ")[0].split(" > ")[0].split(" 2>> ")[0])
    assert words[: len(path) + 1] == ["finstream", *path]
    command: click.Command = program
    arguments = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments.pop(0))
        assert found is not None
        command = found
    command.make_context("finstream", arguments)  # raises for an option that it does not know


def test_the_overview_names_every_command(finstream: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    told = finstream("--help")
    assert told.returncode == 0
    for path, command in ALL:
        if len(path) == 1:
            assert f"\n  {path[0]} " in told.stdout, command


def test_the_version(finstream: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert finstream("--version").stdout.startswith("finstream, version 0.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "There are: run, demo"),
        (["subscribe"], "Name a topic"),
        (["subscribe", "a", "--policy", "skip", "--trades", "conflate"], "needs --policy conflate"),
        (["subscribe", "--client", "x", "--policy", "skip"], "name them"),
        (["subscribe", "a", "--max-rate", "0"], "0.01<=x<=1000"),
        (["subscribe", "Not A Topic"], "a topic is asset or asset:SYMBOL"),
        (["assets", "--public", "ftp://x"], "write host:port or http://host:port"),
        (["logs", "level", "loud"], "'debug'"),
        (["check"], "Missing argument"),
        (["check", "--", "no-such-program-anywhere"], "no-such-program-anywhere"),
    ],
)
def test_wrong_usage_is_explained(
    finstream: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], said: str
) -> None:
    told = finstream(*arguments)
    assert (told.returncode, told.stdout) == (2, "")
    assert said in told.stderr

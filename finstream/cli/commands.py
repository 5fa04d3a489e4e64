"""The click classes of this command line: examples in every help, failures told in one place, loading on demand."""

from __future__ import annotations

import importlib
from typing import Any

import click

from finstream.cli import exits
from finstream.cli.failures import report
from finstream.vocabulary.errors import FinStreamError

__all__ = ["Command", "LazyGroup", "examples"]


def examples(*lines: str) -> str:
    """The epilog of a command: lines to copy. A test holds them against the command's real options."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Command(click.Command):
    """A command that returns its exit code (None for 0), and whose failures are told as its ``--json`` asks for."""

    def invoke(self, ctx: click.Context) -> int:
        try:
            code = super().invoke(ctx)
        except FinStreamError as failure:
            return report(failure, as_json=ctx.params.get("as_json", False))
        return exits.OK if code is None else int(code)


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported once they are named: ``finstream --help`` stays quick.

    ``lazy`` maps each command's name to ``module:attribute`` and its line in the overview.
    """

    command_class = Command

    def __init__(self, *arguments: Any, lazy: dict[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._lazy.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            ctx.fail(f"No such command {args[0]!r}. There are: {', '.join(self._lazy)}.")

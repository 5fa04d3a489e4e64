"""``finstream run``"""

from __future__ import annotations

from pathlib import Path

import click

from finstream.cli.commands import Command, examples
from finstream.services.config import find_default

__all__ = ["run"]


@click.command(
    cls=Command,
    epilog=examples(
        "finstream run",
        "finstream run --config config/demo.yaml",
        "finstream run 2>> finstream.log",
    ),
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The configuration; config/config.yaml here if not given, else the one that is installed with the program.",
)
def run(config: Path | None) -> int:
    """Run the engine in the foreground, until Ctrl-C or SIGTERM.

    Once it is up it prints one line of JSON on standard output, with the addresses that it listens on. Its log is JSON
    lines on standard error. It watches its configuration file, and applies what changes in it.

    \b
    Exit codes: 0 ended as asked, 69 an address cannot be listened on,
    70 and 71 faults of its own, 78 the configuration cannot be used.
    """
    # Not at the top: the help needs no engine.
    from finstream.engine import main

    return main(config or find_default())

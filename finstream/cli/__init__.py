"""The ``finstream`` command: one file per command, over the same REST and WebSocket interfaces that everybody uses."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line (``sys.argv`` by default) and leave the process with one of :mod:`finstream.cli.exits`."""
    # Not at the top: whoever imports a part of this package need not load all commands.
    from finstream.cli.program import run_program

    sys.exit(run_program(arguments))

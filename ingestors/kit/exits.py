"""Exit codes of the ingestor protocol, and a command line that keeps to them."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import Final, NoReturn

__all__ = [
    "CRASHED", "DONE", "MISCONFIGURED", "IngestorParser", "MisconfiguredError", "complain", "refuse_in_production",
]

DONE: Final = 0
CRASHED: Final = 1
MISCONFIGURED: Final = 78
"""The supervisor does not try again until the configuration changes."""


class MisconfiguredError(Exception):
    """What was asked for can never work. The message names the option and the remedy; the program exits with 78."""


class IngestorParser(argparse.ArgumentParser):
    """Exits with 78 on a wrong command line: argparse's own 2 would have the supervisor try it again and again."""

    def __init__(self, *, prog: str, description: str, examples: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        complain(f"{self.prog}: error: {message}\n{self.prog}: --help shows the options")
        sys.exit(MISCONFIGURED)


def complain(message: str) -> None:
    """Print to standard error, also when nobody reads it any more."""
    with contextlib.suppress(OSError):  # the reader of our log is gone; the exit code still tells
        print(message, file=sys.stderr, flush=True)


def refuse_in_production(what: str) -> None:
    """Raises MisconfiguredError where the engine runs in production, for data that are not live."""
    if os.environ.get("FINSTREAM_MODE") == "production":
        raise MisconfiguredError(f"{what} is refused in production: set `mode: simulation` in the configuration")

"""``finstream bench``"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

import finstream
from finstream.cli.commands import Command, examples

__all__ = ["bench"]

_CHECKOUT = Path(finstream.__file__).parent.parent
_ABSENT = """the benchmarks are not installed, they are part of the source tree (they build C programs and fetch peers):
  git clone https://github.com/finstream/finstream && cd finstream && make bench"""


@click.command(
    cls=Command,
    options_metavar="",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "finstream bench --list",
        "finstream bench --scenario parse --repeat 5",
        "finstream bench --scenario latency@100 --system finstream,websockets",
        "finstream bench --bars",
    ),
)
@click.argument("arguments", metavar="[OPTIONS]", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure FinStream and its peers on this machine, and compare them.

    The same as `python -m bench` in the source tree; its options are listed by `finstream bench -- --help`.
    """
    if not (_CHECKOUT / "bench" / "__main__.py").exists():
        raise click.ClickException(_ABSENT)
    search = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
    # In place of this process: what is measured has its own, and a Ctrl-C reaches the driver alone.
    command = [sys.executable, "-m", "bench", *(word for word in arguments if word != "--")]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": search})  # noqa: S606 - no shell is what we want

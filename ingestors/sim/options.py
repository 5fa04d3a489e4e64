"""The simulation's command line."""

from __future__ import annotations

import argparse
import math
import os
import re
from pathlib import Path
from typing import Final

from ..kit.exits import IngestorParser

__all__ = ["parser"]

_NAME: Final = re.compile(r"[^\s,\"\\\x00-\x1f\x7f]{1,64}")

EXAMPLES: Final = """\
  python -m finstream_ingestors.sim --symbols BTC/USDT,ETH/USDT --rate 100
  python -m finstream_ingestors.sim --rate 50 --lag-ms 1500 --lag-jitter-ms 400      a slow venue
  python -m finstream_ingestors.sim --stall-every 20 --stall-for 5 --crash-after 60  a flaky one
  python -m finstream_ingestors.sim --garbage 0.05                                   one that lies
  python -m finstream_ingestors.sim --rate 10 --control sim.fifo
commands for the --control pipe, one a line, as in: echo 'stall 5' > sim.fifo
  stall SECONDS | burst TICKS | garbage LINES | crash [CODE] | rate TICKS_PER_S | lag MS"""


def parser() -> argparse.ArgumentParser:
    """All options, in the units of their names."""
    whole = IngestorParser(
        prog="finstream_ingestors.sim",
        description="Synthetic trades and quotes, with faults on demand. Refused in mode production.",
        examples=EXAMPLES,
    )
    add = whole.add_argument
    add("--symbols", type=_names, default="BTC/USDT,ETH/USDT", metavar="SYMBOL,...", help="default BTC/USDT,ETH/USDT")
    add("--exchange", type=_name, default=os.environ.get("FINSTREAM_ASSET", "sim"), metavar="NAME",
        help="the venue's name in the ticks; default: the asset's name, or sim")
    add("--rate", type=_number, default=10.0, metavar="N", help="ticks a second over all symbols, 0: none (default 10)")
    add("--count", type=_count, metavar="N", help="leave after so many ticks (default: never)")
    add("--trade-share", type=_fraction, default=0.5, metavar="FRACTION",
        help="trades among the ticks; the others are quotes (default 0.5)")
    add("--first-trade-id", type=_count, metavar="N", help="default: from the clock, so that it rises over restarts")
    add("--shared-trades", action="store_true",
        help="ten trades a second and all prices by the clock alone: sims of the same --exchange tell the same trades")
    add("--seed", type=int, metavar="N", help="the same prices each time (default: always others)")
    add("--lag-ms", type=_number, default=0.0, metavar="MS", help="how old the ticks are (default 0)")
    add("--lag-jitter-ms", type=_number, default=0.0, metavar="MS", help="and by up to how much older (default 0)")
    add("--clock-offset-ms", type=_offset, default=0.0, metavar="MS",
        help="how far the venue's clock is ahead, or behind if negative (default 0)")
    add = whole.add_argument_group("faults").add_argument
    add("--stall-every", type=_number, metavar="S", help="fall silent every S seconds")
    add("--stall-for", type=_number, default=5.0, metavar="S", help="and for how long (default 5)")
    add("--burst-every", type=_number, metavar="S", help="print a burst every S seconds")
    add("--burst-size", type=_count, default=1000, metavar="N", help="and of how many ticks (default 1000)")
    add("--garbage", type=_fraction, default=0.0, metavar="FRACTION",
        help="this part of the lines breaks the protocol, in many ways")
    add("--crash-after", type=_number, metavar="S", help="exit with code 1 after S seconds")
    add("--control", type=Path, metavar="PATH", help="a named pipe for commands, made if it is not there; see below")
    return whole


def _offset(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _number(text: str) -> float:
    value = _offset(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below zero")
    return value


def _fraction(text: str) -> float:
    value = _number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text.encode()) > 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no name: up to 64 bytes, no spaces, commas, quotes, backslashes")
    return text


def _names(text: str) -> list[str]:
    return [_name(part.strip()) for part in text.split(",")]

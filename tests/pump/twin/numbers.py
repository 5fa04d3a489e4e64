"""JSON numbers, exactly, however many digits they have."""

from __future__ import annotations

import re
from typing import NamedTuple

NUMBER = re.compile(
    r"(?P<sign>-?)(?P<whole>0|[1-9][0-9]*)(?:\.(?P<fraction>[0-9]+))?(?:[eE](?P<exponent>[+-]?[0-9]+))?"
)
EXPONENT_LIMIT = 10**9
"""Far beyond anything that fits anywhere, also after the 65,536 digits that a line may hold."""


class Number(NamedTuple):
    """``digits`` × 10 ^ ``exponent``, negative or not. The digits neither begin nor end with a zero; zero has none."""

    negative: bool
    digits: str
    exponent: int


def read_number(text: str) -> Number | None:
    """None when the text is not a number by JSON's grammar."""
    match = NUMBER.fullmatch(text)
    if match is None:
        return None
    fraction = match["fraction"] or ""
    significant = (match["whole"] + fraction).rstrip("0")
    exponent = _bounded(match["exponent"] or "0") - len(fraction) + len(match["whole"] + fraction) - len(significant)
    return Number(match["sign"] == "-", significant.lstrip("0"), exponent)


def _bounded(exponent: str) -> int:
    magnitude = exponent.lstrip("+-").lstrip("0")
    value = EXPONENT_LIMIT if len(magnitude) > 9 else int(magnitude or "0")
    return -value if exponent.startswith("-") else value

"""Prices and sizes: an integer mantissa of up to 96 bits and a scale of 0 to 28, or a reason why not. Never rounded."""

from __future__ import annotations

from .json_text import LineError
from .numbers import read_number

LARGEST_MANTISSA = 2**96 - 1
LARGEST_SCALE = 28
MOST_DIGITS = len(str(LARGEST_MANTISSA))


def read_decimal(text: str) -> str:
    """The canonical text of a decimal: no exponent, no trailing zeros after the point, no negative zero."""
    number = read_number(text)
    if number is None:
        raise LineError("invalid_decimal")
    if not number.digits:
        return "0"
    if len(number.digits) + max(0, number.exponent) > MOST_DIGITS:
        raise LineError("decimal_out_of_range")
    mantissa = int(number.digits) * 10 ** max(0, number.exponent)
    scale = max(0, -number.exponent)
    if mantissa > LARGEST_MANTISSA or scale > LARGEST_SCALE:
        raise LineError("decimal_out_of_range")
    return ("-" if number.negative else "") + _point(str(mantissa), scale)


def _point(digits: str, scale: int) -> str:
    if scale == 0:
        return digits
    digits = digits.rjust(scale + 1, "0")
    return f"{digits[:-scale]}.{digits[-scale:]}"

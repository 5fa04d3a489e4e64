"""A readable twin of the pump's parser and ranking: docs/ingestor-protocol.md as plain Python.

It is written for clarity and shares no code with the native pump. Property tests and the fuzzer hold the two together;
where they differ, the document decides. From the bytes of a line to its message:

    json_text.read_members   bytes -> members, or the first rule of JSON that is broken, from left to right
    lines.parse_line         members -> what kind of line it is -> the message, member by member
      numbers, decimals        the exact value of a price or size and its canonical text
      timestamps               the time stamp in nanoseconds
    arena.Arena              lags -> the ranking
"""

from .arena import Arena, Place
from .decimals import LARGEST_MANTISSA, LARGEST_SCALE, read_decimal
from .json_text import LineError, read_members
from .lines import Heartbeat, Ignored, Opaque, Rejected, Result, Status, Tick, parse_line
from .timestamps import read_timestamp

__all__ = [
    "LARGEST_MANTISSA", "LARGEST_SCALE", "Arena", "Heartbeat", "Ignored", "LineError", "Opaque", "Place", "Rejected",
    "Result", "Status", "Tick", "parse_line", "read_decimal", "read_members", "read_timestamp",
]

"""Reading the dead-letter files back, the oldest line first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from finstream.services.dead_letters import DeadLetter
from finstream.vocabulary.settings import DeadLetterSettings

__all__ = ["Kept", "kept_letters", "raw_line"]

_decoder = msgspec.json.Decoder(DeadLetter)


class Kept(NamedTuple):
    """``place`` is where it stands: ``FILE:LINE``, which stays as it is until the files are rotated."""

    place: str
    letter: DeadLetter


def kept_letters(settings: DeadLetterSettings) -> Iterator[Kept]:
    """All that is kept, the oldest file first. A line that the engine did not finish is left out.

    Raises:
      OSError: a file is there but cannot be read. No file at all is no error: then nothing was rejected.
    """
    path = Path(settings.path)
    older = [Path(f"{path}.{number}") for number in range(settings.files - 1, 0, -1)]
    for file in [*older, path]:
        try:
            lines = file.open("rb")
        except FileNotFoundError:
            continue
        with lines:
            for number, line in enumerate(lines, 1):
                try:
                    letter = _decoder.decode(line)
                except msgspec.DecodeError:
                    continue
                yield Kept(f"{file.name}:{number}", letter)


def raw_line(letter: DeadLetter) -> bytes:
    """The line as it came, without its line feed; of one that was too long, its beginning."""
    if letter.line is not None:
        return letter.line.encode()
    return letter.line_base64 or b""

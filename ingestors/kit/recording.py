"""Recorded venue messages on disk.

A recording is a text file with one raw message a line, plain or gzip. When each of them was received is told by a
neighbour, ``NAME.recv.txt`` beside ``NAME.jsonl``, whose same-numbered lines hold seconds with a fraction or
nanoseconds; or, as some recorders write it, by nanoseconds and a space in front of each message.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from .exits import MisconfiguredError
from .times import seconds_text_ns

__all__ = ["Recorded", "Recording"]


@dataclass(frozen=True, slots=True)
class Recorded:
    message: bytes
    received_ns: int | None
    """UTC nanoseconds by the recorder's clock; None where the recorder did not note it."""


class Recording:
    """A file that is read anew, line by line, at each iteration.

    Raises:
        MisconfiguredError: On opening and while reading: the file cannot be read, or its receive times do not fit it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        stem = path.with_suffix("") if path.suffix == ".gz" else path
        neighbour = stem.with_suffix(".recv.txt")
        self._times_path = neighbour if neighbour.is_file() else None
        try:
            _open(path).close()
        except OSError as error:
            raise MisconfiguredError(f"--replay {path}: {error.strerror or error}") from error

    def __iter__(self) -> Iterator[Recorded]:
        try:
            with _open(self.path) as file:
                if self._times_path is None:
                    yield from (_split_prefix(line) for line in file if not line.isspace())
                else:
                    yield from self._with_times(file, self._times_path)
        except (OSError, EOFError) as error:
            raise MisconfiguredError(f"--replay {self.path}: {error}") from error

    def _with_times(self, file: BinaryIO, times_path: Path) -> Iterator[Recorded]:
        with times_path.open(encoding="ascii") as times:
            for number, line in enumerate(file, 1):
                text = times.readline().strip()
                try:
                    yield Recorded(line.rstrip(b"\r\n"), seconds_text_ns(text))
                except ValueError:
                    raise MisconfiguredError(
                        f"{times_path} line {number}: {text!r} is no receive time: it needs one for each message"
                    ) from None


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _split_prefix(line: bytes) -> Recorded:
    line = line.rstrip(b"\r\n")
    prefix, space, rest = line.partition(b" ")
    if space and prefix.isdigit():
        return Recorded(rest, int(prefix))
    return Recorded(line, None)

"""Faults on demand: commands written into a named pipe, one a line.

    echo 'stall 5' > sim.fifo

    stall SECONDS     silence
    burst TICKS       so many at once
    garbage LINES     so many bad lines at once
    crash [CODE]      exit with this code (1)
    rate TICKS        ticks a second from now on
    lag MS            lag from now on
"""

from __future__ import annotations

import math
import os
import select
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..kit.exits import MisconfiguredError, complain

__all__ = ["Command", "Control", "parse_command"]


@dataclass(frozen=True, slots=True)
class Command:
    verb: str
    value: float


_LONGEST_WAIT_S: Final = 3600.0
"""For waits without an end, which the system's calls do not take."""

_DEFAULTS: Final[dict[str, float | None]] = {
    "stall": None, "burst": None, "garbage": None, "crash": 1.0, "rate": None, "lag": None,
}


def parse_command(line: str) -> Command:
    """Raises ValueError, with what is wrong."""
    verb, *values = line.split()
    if verb not in _DEFAULTS:
        raise ValueError(f"unknown command {verb!r}; there are {', '.join(_DEFAULTS)}")
    default = _DEFAULTS[verb]
    if not values and default is not None:
        return Command(verb, default)
    if len(values) != 1:
        raise ValueError(f"{verb} takes one number")
    value = float(values[0])
    if not 0 <= value < math.inf:
        raise ValueError(f"{verb} takes a number that is not below zero")
    return Command(verb, value)


class Control:
    """The named pipe, made if it is not there and then removed on close. Without a path it only waits.

    Raises:
        MisconfiguredError: On opening: the path is something else than a named pipe, or cannot be made one.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._is_ours = False
        self._fd: int | None = None
        self._rest = b""
        if path is None:
            return
        try:
            if not path.exists():
                os.mkfifo(path, 0o600)
                self._is_ours = True
            if not stat.S_ISFIFO(path.stat().st_mode):
                raise MisconfiguredError(f"--control {path} is not a named pipe: name a path that is free")
            # For writing too, so that it does not end whenever a writer closes it.
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise MisconfiguredError(f"--control {path}: {error.strerror}") from error

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if self._is_ours and self._path is not None:
            self._path.unlink(missing_ok=True)

    def wait(self, seconds: float) -> list[Command]:
        """Wait for so long, or until there are commands; returns them. Wrong ones are reported on standard error."""
        if self._fd is None:
            time.sleep(min(seconds, _LONGEST_WAIT_S))
            return []
        readable, _, _ = select.select([self._fd], [], [], min(seconds, _LONGEST_WAIT_S))
        return self._read(self._fd) if readable else []

    def _read(self, fd: int) -> list[Command]:
        *lines, self._rest = (self._rest + os.read(fd, 4096)).split(b"\n")
        commands = []
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if not text:
                continue
            try:
                commands.append(parse_command(text))
            except ValueError as error:
                complain(f"sim: --control: {text!r}: {error}")
        return commands

"""The file of rejected lines, rotated by size: ``path`` is the newest, then ``path.1``, ``path.2`` and so on."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from finstream.vocabulary.settings import DeadLetterSettings

__all__ = ["DeadLetterFile"]


class DeadLetterFile:
    """Opened anew for every piece, so it may be moved or removed at any time. What is no regular file is not rotated.

    Blocks; to be used by one thread.
    """

    def __init__(self, settings: DeadLetterSettings) -> None:
        self._path = Path(settings.path)
        self._max_bytes = settings.max_bytes
        self._files = settings.files
        self.last_error = ""

    def append(self, lines: bytes) -> bool:
        """Write whole lines. Returns False if that failed; then nothing of them is left in the file."""
        try:
            fd = self._open_for(len(lines))
            try:
                self._write(fd, lines)
            finally:
                os.close(fd)
        except OSError as error:
            self.last_error = str(error)
            return False
        return True

    def _open_for(self, size: int) -> int:
        fd = self._open()
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not status.st_size or status.st_size + size <= self._max_bytes:
            return fd
        os.close(fd)
        self._rotate()
        return self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, flags, 0o640)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, flags, 0o640)

    def _rotate(self) -> None:
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, self._files))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)
        if self._files == 1:
            self._path.unlink(missing_ok=True)

    def _write(self, fd: int, lines: bytes) -> None:
        status = os.fstat(fd)
        is_regular = stat.S_ISREG(status.st_mode)
        if is_regular and status.st_size and os.pread(fd, 1, status.st_size - 1) != b"\n":
            lines = b"\n" + lines  # the engine before us died in the middle of a line
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            if is_regular:
                os.ftruncate(fd, status.st_size)
            raise

"""WebSocket frames (RFC 6455) as a client reads and writes them. Bytes in, bytes out; no I/O.

Nearly everything that comes is a complete text frame, unmasked: those are cut by :func:`split`, which is compiled where
a compiler was there at installation. What is rare (fragments, control frames) is left to Python.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeAlias

from finstream_client.errors import ProtocolViolation

__all__ = [
    "CLOSE", "MAX_MESSAGE_BYTES", "PING", "PONG", "TEXT", "FrameReader", "encode", "is_compiled", "split_in_python",
]  # fmt: skip

TEXT: Final = 0x1
_CONTINUATION: Final = 0x0
_BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""A tick has at most 64 KiB; a welcome names all topics, of which an operator may allow many."""

Found: TypeAlias = bytes | tuple[int, bytes]
"""The payload of a complete text frame, or the first byte and the payload of any other frame."""


def split_in_python(data: bytes, max_bytes: int) -> tuple[list[Found], int]:
    """Cut ``data`` into frames; returns them, and where the first incomplete one begins.

    Raises:
      ValueError: A frame is masked, or larger than ``max_bytes``.
    """
    found: list[Found] = []
    start, end = 0, len(data)
    while end - start >= 2:
        first, length = data[start], data[start + 1]
        if length & 0x80:
            raise ValueError("a frame of the engine is masked")
        at = start + 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if end - at < size:
                break
            length = int.from_bytes(data[at : at + size])
            at += size
        if length > max_bytes:
            raise ValueError(f"a frame of {length} bytes; at most {max_bytes} are taken")
        if length > end - at:
            break
        payload = data[at : at + length]
        found.append(payload if first == 0x81 else (first, payload))
        start = at + length
    return found, start


split: Callable[[bytes, int], tuple[list[Found], int]]
try:
    from finstream_client._splitter import split
except ImportError:  # installed without a compiler
    split = split_in_python

is_compiled: Final = split is not split_in_python


class FrameReader:
    """Messages and control frames out of a stream of bytes."""

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._rest = b""
        self._parts: list[bytes] | None = None

    def feed(self, data: bytes) -> list[Found]:
        """Take up what came; returns text messages as bytes, control frames as ``(opcode, payload)``, in order.

        Raises:
          ProtocolViolation: The stream is broken.
        """
        if self._rest:
            data = self._rest + data
        try:
            found, start = split(data, self._max_bytes)
        except ValueError as error:
            raise ProtocolViolation(str(error)) from None
        self._rest = data[start:]
        if self._parts is None and all(type(one) is bytes for one in found):
            return found
        return self._join(found)

    def _join(self, found: list[Found]) -> list[Found]:
        joined: list[Found] = []
        for one in found:
            first, payload = (0x80 | TEXT, one) if isinstance(one, bytes) else one
            opcode, final = first & 0x0F, bool(first & 0x80)
            if first & 0x70:
                raise ProtocolViolation("a frame uses an extension that was not agreed upon")
            if opcode >= CLOSE:
                if not final or len(payload) > 125 or opcode > PONG:
                    raise ProtocolViolation("a broken control frame")
                joined.append((opcode, payload))
                continue
            if (opcode == _CONTINUATION) != (self._parts is not None) or opcode not in (TEXT, _CONTINUATION):
                raise ProtocolViolation("frames that do not follow each other, or are not text")
            parts = [*(self._parts or ()), payload]
            if sum(map(len, parts)) > self._max_bytes:
                raise ProtocolViolation(f"a message of more than {self._max_bytes} bytes")
            self._parts = None if final else parts
            if final:
                joined.append(b"".join(parts))
        return joined


def encode(opcode: int, payload: bytes, mask: bytes | None = None) -> bytes:
    """One frame as a client sends it, with a random mask unless one is given (four bytes)."""
    mask = os.urandom(4) if mask is None else mask
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    elif length < 1 << 16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2)
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + length.to_bytes(8)
    key = int.from_bytes((mask * (length // 4 + 1))[:length])
    return head + mask + (int.from_bytes(payload) ^ key).to_bytes(length)

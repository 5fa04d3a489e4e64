"""One WebSocket connection as its client sees it, without I/O: the handshake, then frames, then the closing
handshake."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Final

from finstream_client._frames import CLOSE, PING, TEXT, FrameReader, encode
from finstream_client._problems import read_problem
from finstream_client.errors import ProtocolViolation

__all__ = ["Wire"]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_HEAD_BYTES: Final = 65536
_NORMAL: Final = 1000


class Wire:
    """Give it what comes, send what it wants sent.

    ``is_closed`` is true once the peer's close frame was seen; ``close_reason`` is its word.
    """

    def __init__(self, host: str, target: str) -> None:
        key = base64.b64encode(os.urandom(16))
        self._accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        lines = [
            f"GET {target} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}", "Sec-WebSocket-Version: 13",
            "", "",
        ]  # fmt: skip
        self._to_send = bytearray("\r\n".join(lines).encode())
        self._head: bytes | None = b""
        self._frames = FrameReader()
        self._said_close = False
        self.is_closed = False
        self.close_code: int | None = None
        self.close_reason = ""

    @property
    def is_open(self) -> bool:
        """Whether the handshake is over, and nobody has closed."""
        return self._head is None and not self._said_close

    def data_to_send(self) -> bytes:
        data = bytes(self._to_send)
        self._to_send.clear()
        return data

    def send_text(self, text: bytes) -> None:
        if not self._said_close:
            self._to_send += encode(TEXT, text)

    def close(self) -> None:
        self._say_close(_NORMAL.to_bytes(2))

    def feed(self, data: bytes) -> list[bytes]:
        """Take up what came; returns the text messages in it.

        Raises:
          Refused: The handshake was answered with anything but an upgrade.
          ProtocolViolation: It is no WebSocket.
        """
        if self._head is not None:
            data = self._shake_hands(self._head + data)
            if not data:
                return []
        found = self._frames.feed(data)
        texts = [one for one in found if isinstance(one, bytes)]
        if len(texts) != len(found):
            for one in found:
                if not isinstance(one, bytes):
                    self._control(*one)
        return texts

    def eof(self) -> None:
        """The connection ended.

        Raises:
          Refused: It ended within the answer to a handshake that was refused.
        """
        if self._head:
            head, _, body = self._head.partition(b"\r\n\r\n")
            self._refuse(head, body)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if not self._said_close:
                self._to_send += encode(opcode + 1, payload)
        elif opcode == CLOSE:
            self.is_closed = True
            if len(payload) >= 2:
                self.close_code = int.from_bytes(payload[:2])
                self.close_reason = payload[2:].decode(errors="replace")
            self._say_close(payload[:2])

    def _say_close(self, payload: bytes) -> None:
        if not self._said_close:
            self._to_send += encode(CLOSE, payload)
            self._said_close = True

    def _shake_hands(self, data: bytes) -> bytes:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end and len(data) <= _MAX_HEAD_BYTES:
            self._head = data
            return b""
        status_line, headers = _read_head(head)
        if status_line[9:12] != b"101":
            length = headers.get(b"content-length", b"")
            if length.isdigit() and len(rest) < min(int(length[:9]), _MAX_HEAD_BYTES):
                self._head = data
                return b""
            self._refuse(head, rest)
        if headers.get(b"sec-websocket-accept") != self._accept:
            raise ProtocolViolation("what answered is no WebSocket server")
        self._head = None
        return rest

    @staticmethod
    def _refuse(head: bytes, body: bytes) -> None:
        status_line, headers = _read_head(head)
        raise read_problem(int(status_line[9:12]), body, headers.get(b"retry-after", b"").decode("latin-1"))


def _read_head(head: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    status_line, *lines = head.split(b"\r\n")
    if not (status_line.startswith(b"HTTP/1.") and status_line[9:12].isdigit()):
        raise ProtocolViolation("what answered does not speak HTTP")
    pairs = (line.partition(b":") for line in lines)
    return status_line, {name.strip().lower(): value.strip() for name, _, value in pairs}

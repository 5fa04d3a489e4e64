"""The opening handshake of a WebSocket connection (RFC 6455, 4.2), read from the request head that the pump collected.

Only what a handshake needs is understood, and strictly: a GET without a body. It faces the open network, and a thousand of them
may come at once, so it knows no more of HTTP than that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import Counter
from operator import itemgetter
from typing import NamedTuple

__all__ = ["Handshake", "NotAHandshakeError", "accepting", "read_handshake"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_HEADERS = 100
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token (RFC 9110, 5.6.2)."""
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class NotAHandshakeError(ValueError):
    """The request is something else, or broken; the text says what is the matter."""


class Handshake(NamedTuple):
    target: str
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    key: bytes


def read_handshake(head: bytes) -> Handshake:
    """Raises NotAHandshakeError."""
    if not head.endswith(b"\r\n\r\n"):
        raise NotAHandshakeError("the request's head is too long")
    request, *lines = head[:-4].split(b"\r\n")
    parts = request.split(b" ")
    if len(parts) != 3 or parts[0] != b"GET" or parts[2] != b"HTTP/1.1" or not parts[1].startswith(b"/"):
        raise NotAHandshakeError("not GET, or not HTTP/1.1")
    if not parts[1].isascii() or len(lines) > _MAX_HEADERS:
        raise NotAHandshakeError("a broken target, or too many headers")
    if _CONTROL.search(b"".join(lines)):
        raise NotAHandshakeError("a control character in a header")
    headers = [_header(line) for line in lines]
    known = dict(headers)
    if len(known) < len(headers) and any(times > 1 for name, times in Counter(map(_name, headers)).items() if name in _ONCE):
        raise NotAHandshakeError("a header that may stand once stands twice")
    if b"host" not in known:
        raise NotAHandshakeError("no Host")
    if b"websocket" not in _words(known.get(b"upgrade")) or b"upgrade" not in _words(known.get(b"connection")):
        raise NotAHandshakeError("no Upgrade: websocket")
    if known.get(b"sec-websocket-version") != b"13":
        raise NotAHandshakeError("not version 13")
    if known.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in known:
        raise NotAHandshakeError("a body")
    return Handshake(parts[1].decode(), headers, _key(known.get(b"sec-websocket-key", b"")))


_name = itemgetter(0)
_ONCE = frozenset({b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version", b"content-length"})


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise NotAHandshakeError("a broken header")
    return name.lower(), value.strip(b" \t")


def _words(value: bytes | None) -> list[bytes]:
    return [word.strip().lower() for word in (value or b"").split(b",")]


def _key(value: bytes) -> bytes:
    try:
        if len(base64.b64decode(value, validate=True)) == 16:
            return value
    except binascii.Error:
        pass
    raise NotAHandshakeError("no Sec-WebSocket-Key of 16 bytes")


def accepting(handshake: Handshake) -> bytes:
    """The answer that lets the client in."""
    accept = base64.b64encode(hashlib.sha1(handshake.key + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )

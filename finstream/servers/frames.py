"""The few WebSocket frames that we write ourselves (RFC 6455): whole, unmasked, as servers send them."""

from __future__ import annotations

import struct

__all__ = ["PING", "close_frame", "text_frame"]

PING = b"\x89\x00"
_MAX_REASON_BYTES = 123


def text_frame(payload: bytes) -> bytes:
    """``payload`` is UTF-8."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload


def close_frame(code: int, reason: str) -> bytes:
    """``reason`` is cut, between characters, at what a close frame can hold."""
    text = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore").encode()
    return bytes((0x88, 2 + len(text))) + struct.pack("!H", code) + text

"""Clients of the stream: a stock one (websockets), or raw bytes where a client must misbehave."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection

from finstream.vocabulary.events import Receipt
from finstream.vocabulary.reasons import CLOSINGS

__all__ = ["ask", "expect_end", "hear", "masked", "open_raw", "read_all", "receipt", "upgrade"]


async def hear(client: ClientConnection) -> dict[str, Any]:
    with trio.fail_after(5):
        message: dict[str, Any] = json.loads(await client.recv())
    return message


async def ask(client: ClientConnection, **request: Any) -> dict[str, Any]:
    await client.send(json.dumps(request))
    return await hear(client)


async def ended(client: ClientConnection) -> tuple[int, str]:
    """The close code and reason, once everything before has been read."""
    with trio.fail_after(5):
        try:
            while True:
                await client.recv()
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


async def receipt(stream: Any, uuid: str) -> Receipt:
    with trio.fail_after(5):
        while not (view := stream.sessions.describe(uuid)).last_receipt or view.state == "connected":  # noqa: ASYNC110
            await trio.sleep(0.002)
    told: Receipt = view.last_receipt
    return told


async def expect_end(client: ClientConnection, reason: str) -> dict[str, Any]:
    goodbye = await hear(client)
    closing = CLOSINGS[reason]
    assert (goodbye["type"], goodbye["code"], goodbye["close_code"]) == ("goodbye", reason, closing.close_code)
    assert goodbye["reconnect"] is closing.reconnect
    assert await ended(client) == (closing.close_code, reason)
    return goodbye


def upgrade(target: str, *headers: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {target} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A client's frame; its mask is zero."""
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    if length > 65535:
        size = b"\xff" + length.to_bytes(8, "big")
    return bytes(((0x80 if final else 0) | opcode,)) + size + b"\0\0\0\0" + payload


async def read_all(stream: trio.SocketStream, within_s: float = 5) -> bytes:
    answer = b""
    with trio.fail_after(within_s):
        try:
            async for part in stream:
                answer += part
        except trio.BrokenResourceError:
            pass
    return answer


async def open_raw(stream: Any, uuid: str, within_s: float = 5) -> trio.SocketStream:
    """Connected, the handshake and the welcome read."""
    raw: trio.SocketStream = await stream.connect_raw()
    await raw.send_all(upgrade(f"/v1/stream?client={uuid}"))
    seen = b""
    with trio.fail_after(within_s):
        while b'"welcome"' not in seen:
            part = await raw.receive_some()
            assert part, seen
            seen += part
    return raw

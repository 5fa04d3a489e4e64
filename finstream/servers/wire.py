"""A connection's stream as the WebSocket library sees it.

The library (trio-websocket) shakes hands, reads, answers pings and closes. Up to the end of the handshake its bytes
go straight to the socket. From then on they go through the connection's outbox: the pump alone writes to the socket,
and the library's few control frames keep their place between the frames of ticks. The library never learns of those.

What it must not do: write after a close frame, and close the socket, which the pump may still be writing to.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from finstream.pump import Pump
from finstream.vocabulary.commands import MAX_REQUEST_BYTES

__all__ = ["MAX_HANDSHAKE_BYTES", "Wire"]

MAX_HANDSHAKE_BYTES = 16384
"""Of everything that comes before the connection is open. Browsers send a tenth of that."""
MAX_UNHEARD_BYTES = 8 * MAX_REQUEST_BYTES
"""Without a complete message or ping: what the longest message takes in fragments of one byte. The library would go
on collecting empty fragments for ever."""
_CLOSE, _PONG = b"\x88", b"\x8a"
_TOO_BIG = (1009).to_bytes(2, "big")


class Wire(trio.abc.Stream):
    """``refusal`` is sent in place of the library's own answer to a request that is no handshake."""

    def __init__(self, stream: trio.SocketStream, pump: Pump, *, refusal: bytes) -> None:
        self.on_end: Callable[[], None] = lambda: None
        """Called once when nothing more will be received."""
        self.heard_at = trio.current_time()
        """When bytes came last."""
        self.on_too_big: Callable[[], None] = lambda: None
        """Called when the library wants to close because a message was larger than it was told to take."""
        self.has_replied = False
        """Whether the library has answered a close frame of the client."""
        self.answering = False
        """Whether it is us who answer the handshake now, not the library on its own."""
        self.has_answered = False
        self._stream = stream
        self._pump = pump
        self._refusal = refusal
        self._outbox: int | None = None
        self.on_flood: Callable[[], None] = lambda: None
        """Called when much came in that is no message."""
        self.unheard_bytes = 0
        """Received since the last message; whoever takes messages sets it back."""
        self._finished = False

    def open(self, outbox: int) -> None:
        """The handshake is done; write through this outbox from now on."""
        self._outbox = outbox

    def push(self, data: bytes, *, final: bool = False) -> bool:
        """Write whole frames of our own. After ``final`` nothing more is written. False: the outbox is closed."""
        assert self._outbox is not None
        if self._finished:
            return False
        self._finished = final
        return self._pump.push(self._outbox, data, final=final)

    # --- what the library calls ---

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        data = bytes(data)
        if self._outbox is None:
            await self._answer_handshake(data)
            return
        await trio.lowlevel.checkpoint()
        if self._finished:
            return  # our own close frame has gone out, or is about to
        final = data[:1] == _CLOSE
        if final and data[2:4] == _TOO_BIG:
            self.on_too_big()
            return
        self.has_replied = final
        if data[:1] == _PONG:
            self.unheard_bytes = 0
        if not self.push(data, final=final):
            raise trio.BrokenResourceError("the outbox is closed")

    async def _answer_handshake(self, data: bytes) -> None:
        if self.answering:
            self.has_answered = True
            await self._stream.send_all(data)
        else:
            await self._refuse()

    async def _refuse(self) -> None:
        if not self.has_answered:
            self.has_answered = True
            await self._stream.send_all(self._refusal)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.on_end()
            raise
        self.heard_at = trio.current_time()
        self.unheard_bytes += len(data)
        if self._outbox is None:
            if self.unheard_bytes > MAX_HANDSHAKE_BYTES:
                await self._refuse()
                data = b""
        elif self.unheard_bytes > MAX_UNHEARD_BYTES:
            self.on_flood()
            data = b""
        if not data:
            self.on_end()
        return data

    async def aclose(self) -> None:
        self.on_end()
        await trio.lowlevel.checkpoint()

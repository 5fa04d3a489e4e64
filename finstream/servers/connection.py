"""One connection of the stream, from the accepted socket to the receipt.

    accepted -> handshake -> open (outbox in the pump, welcome, subscriptions) -> ending -> gone (receipt, socket
    closed)

The pump writes, the library reads (see ``wire``), and this task lives between the two: it waits for requests,
answers them, and tidies up. Whoever ends the connection (the client, the pump, the sessions, the server) only names
the reason; the first one counts. While one connection waits for anything, no other does.
"""

from __future__ import annotations

from functools import partial

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream

import finstream
from finstream.pump import OutboxClosed
from finstream.servers import problems
from finstream.servers.conversation import Conversation
from finstream.servers.frames import PING, close_frame, text_frame
from finstream.servers.handshake import client_of, not_a_handshake
from finstream.servers.receipts import make_receipt
from finstream.servers.sockets import close_after_reading, peer_name
from finstream.servers.surroundings import Surroundings
from finstream.servers.wire import Wire
from finstream.services.session import Session
from finstream.vocabulary.commands import MAX_REQUEST_BYTES, PROTOCOL, Goodbye, StreamMessage, Welcome
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.reasons import CLOSINGS

__all__ = ["Connection"]

_FLUSH_LOOK_S = 0.01
_NOT_A_HANDSHAKE = not_a_handshake()
_ABNORMAL = 1006


class Connection:
    """Serves ``stream`` and closes it, whatever happens; nothing escapes but cancellation."""

    def __init__(self, stream: trio.SocketStream, around: Surroundings) -> None:
        self.pinged_at = trio.current_time()
        self.is_open = False
        self._stream = stream
        self._around = around
        self._wire = Wire(stream, around.pump, refusal=_NOT_A_HANDSHAKE)
        self._peer = peer_name(stream)
        self._client = ""
        self._outbox: int | None = None
        self._websocket: WebSocketConnection
        self._deadline = trio.CancelScope()
        self._talk = trio.CancelScope()
        self._talked = False
        self._ended_by: str | None = None
        self._detail = ""
        self._overflow: OutboxClosed | None = None

    @property
    def heard_at(self) -> float:
        return self._wire.heard_at

    async def serve(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                if await self._shake_hands(nursery):
                    self._open()
                    await self._listen()
                nursery.cancel_scope.cancel()
        except* Exception as group:
            # One connection's failure, ours or the library's, must not be another's.
            if self.is_open:
                self.close("internal_error")
                self._around.logger.error("a connection failed", client=self._client, peer=self._peer, exc_info=group)
            else:
                self._around.logger.debug("handshake failed", peer=self._peer, error=str(group.exceptions[0]))
        finally:
            with trio.CancelScope(shield=True):
                await self._leave()

    # --- the handshake ---

    async def _shake_hands(self, nursery: trio.Nursery) -> bool:
        """Whether the client was let in. A client that sends nothing, garbage or too much is dropped, at the latest
        by the deadline."""
        self._deadline.deadline = trio.current_time() + self._around.handshake_s
        with self._deadline:
            self._wire.on_end = self.drop
            request = await wrap_server_stream(nursery, self._wire, max_message_size=MAX_REQUEST_BYTES)
            self._wire.answering = True
            try:
                self._client = client_of(request.path, request.headers, self._around.origins)
                self._around.sessions.get(self._client)
            except RequestError as error:
                await _reject(request, error)
                self._around.logger.info("handshake refused", peer=self._peer, problem=error.problem, detail=error.detail)
                return False
            self._websocket = await request.accept()
        return not self._deadline.cancelled_caught

    def _open(self) -> None:
        around = self._around
        self._wire.on_end = lambda: None
        self._wire.on_too_big = partial(self.close, "message_too_big")
        self._wire.on_flood = partial(self.close, "protocol_error", detail="too much came in that is no message")
        self._outbox = around.pump.add_outbox(
            self._stream.socket.fileno(),
            self._given_up,
            max_bytes=around.limits.outbox_bytes,
            max_age_ms=around.limits.outbox_age_ms,
        )
        self._wire.open(self._outbox)
        self.is_open = True
        try:
            around.sessions.connect(self._client, self._outbox, self._peer, self.close, announce=self._welcome)
        except RequestError:  # during the handshake it ceased to exist
            self.close("unregistered")

    def _welcome(self, session: Session) -> None:
        self._send(
            Welcome(
                protocol=PROTOCOL,
                epoch=self._around.epoch,
                client=self._client,
                topics=session.topic_names(),
                engine=f"finstream/{finstream.__version__}",
                simulated=self._around.simulated,
            )
        )

    async def _listen(self) -> None:
        conversation = Conversation(self._around.sessions, self._client, self._send, simulated=self._around.simulated)
        with self._talk:
            while True:
                try:
                    message = await self._websocket.get_message()
                except ConnectionClosed:
                    break
                self._wire.unheard_bytes = 0
                if self._ended_by is None and self._fits(message):
                    conversation.hear(message)
        self._talked = True

    def _fits(self, message: str | bytes) -> bool:
        """The library counts characters."""
        size = len(message.encode()) if isinstance(message, str) else len(message)
        if size > MAX_REQUEST_BYTES:
            self.close("message_too_big")
        return size <= MAX_REQUEST_BYTES

    def drop(self) -> None:
        """Give the handshake up."""
        self._deadline.cancel()

    def _send(self, message: StreamMessage) -> None:
        self._wire.push(text_frame(msgspec.json.encode(message)))

    def ping(self, now: float) -> None:
        """Ask the client for a sign of life."""
        self.pinged_at = now
        self._wire.push(PING)

    # --- the end ---

    def close(self, reason: str, *, detail: str = "", reconnect_in_ms: int | None = None) -> None:
        """End the connection for ``reason``, a key of CLOSINGS: goodbye and close frame, in order behind what waits
        already.

        Returns at once. The client has ``close_s`` to answer; then, or if nothing can be written any more, it is cut
        off.
        """
        if self._ended_by is not None:
            return
        self._ended_by, self._detail = reason, detail
        closing = CLOSINGS[reason]
        goodbye = Goodbye(
            code=reason,
            close_code=closing.close_code,
            detail=detail or closing.text,
            reconnect=closing.reconnect,
            reconnect_in_ms=reconnect_in_ms,
            simulated=self._around.simulated,
        )
        last_words = text_frame(msgspec.json.encode(goodbye)) + close_frame(closing.close_code, reason)
        if self._wire.push(last_words, final=True):
            self._talk.deadline = trio.current_time() + self._around.close_s
        else:
            self._talk.cancel()

    def _given_up(self, event: OutboxClosed) -> None:
        """The pump tells that it has killed the outbox, or lost the client."""
        self._overflow = event
        if self._ended_by is None and event.reason != "connection_lost":
            self.close(event.reason, detail=f"{event.queued_bytes} bytes were waiting, the oldest for {event.oldest_ms} ms")
            return
        self._ended_by = self._ended_by or event.reason
        self._talk.cancel()

    def _name_the_end(self) -> str:
        """Why it ended, if nobody of ours ended it."""
        if self._ended_by is None and self._talked:
            closed = self._websocket.closed
            if closed is None or closed.code == _ABNORMAL:
                self._ended_by = "connection_lost"
            elif self._wire.has_replied:
                self._ended_by = "client_left"
                self._detail = f"close code {closed.code}" + (f": {closed.reason}" if closed.reason else "")
            else:  # the library could not read on, and does not say so to the client
                self.close("protocol_error", detail=closed.reason or "")
        return self._ended_by or "internal_error"  # cancelled: the server went down under it

    async def _leave(self) -> None:
        around = self._around
        linger = self._wire.has_answered
        if self._outbox is not None:
            reason = self._name_the_end()
            linger = self._overflow is None and reason != "connection_lost"
            if linger:
                await self._flush(self._outbox)
            receipt = make_receipt(
                reason,
                detail=self._detail,
                at=around.wall_us(),
                waiting=around.pump.outbox_statistics(self._outbox),
                final=around.pump.remove_outbox(self._outbox),
                overflow=self._overflow,
                asset_name=around.pump.asset_name,
            )
            around.sessions.disconnect(self._client, self._outbox, receipt)
        if linger:
            await close_after_reading(self._stream, around.close_s / 2)
        else:
            await trio.aclose_forcefully(self._stream)

    async def _flush(self, outbox: int) -> None:
        """Let the last frames leave; after a close handshake they have."""
        with trio.move_on_after(self._around.close_s):
            # The pump does not tell when a queue is empty.
            while (now := self._around.pump.outbox_statistics(outbox)) and now.queued_bytes:  # noqa: ASYNC110
                await trio.sleep(_FLUSH_LOOK_S)


async def _reject(request: WebSocketRequest, error: RequestError) -> None:
    what = problems.of_request_error(error)
    headers = [(b"Content-Type", problems.MEDIA_TYPE.encode()), (b"Connection", b"close")]
    await request.reject(what.status, extra_headers=headers, body=msgspec.json.encode(what))

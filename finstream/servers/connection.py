"""One connection of the stream, from the accepted handshake to the receipt.

    open (welcome, subscriptions) -> ending (last words) -> gone (receipt)

The pump reads and writes it, answers pings, and closes the socket; nothing here waits for anything. What the pump tells arrives as
plain calls. Whoever ends the connection (the client, the pump, the sessions, the server) only names the reason; the first one
counts.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

import finstream
from finstream.pump import HalfFull, Message, OutboxClosed, PeerClosed, PeerEvent, PeerFault, PeerSilent
from finstream.servers.conversation import Conversation
from finstream.servers.frames import close_frame, text_frame
from finstream.servers.receipts import make_receipt
from finstream.servers.surroundings import Surroundings
from finstream.services.session import Session
from finstream.vocabulary.commands import PROTOCOL, Goodbye, StreamMessage, Warn, Welcome
from finstream.vocabulary.reasons import CLOSINGS

__all__ = ["Connection"]

_FAULTS = {
    "broken_protocol": ("protocol_error", ""),
    "not_utf8": ("protocol_error", "a text that is not UTF-8"),
    "too_big": ("message_too_big", ""),
    "out_of_memory": ("internal_error", "out of memory"),
}


class Connection:
    """``outbox`` has been welcomed. ``gone(self)`` is called once, when everything about it is over."""

    __slots__ = ("_around", "_client", "_conversation", "_detail", "_ended_by", "_gone", "_outbox", "_overflow")

    def __init__(self, outbox: int, client: str, around: Surroundings, gone: Callable[[Connection], None]) -> None:
        self._outbox = outbox
        self._client = client
        self._around = around
        self._gone = gone
        self._conversation = Conversation(around.sessions, client, self._send, simulated=around.simulated)
        self._ended_by: str | None = None
        self._detail = ""
        self._overflow: OutboxClosed | None = None

    def open(self, answer: bytes, peer: str) -> None:
        """Send the HTTP ``answer``, say welcome, and take up the client's subscriptions."""
        self._around.sessions.connect(
            self._client,
            self._outbox,
            peer,
            self.close,
            greeting=lambda session: answer + self._welcome(session),
            state_of=self._state_of,
        )

    def _welcome(self, session: Session) -> bytes:
        return _framed(
            Welcome(
                protocol=PROTOCOL,
                epoch=self._around.epoch,
                client=self._client,
                topics=session.topic_names(),
                engine=f"finstream/{finstream.__version__}",
                policies=session.policy_names(),
                simulated=self._around.simulated,
            )
        )

    def _state_of(self, asset: str) -> bytes:
        messages = (self._around.asset_message(asset), self._around.health_message(asset))
        return b"".join(text_frame(message) for message in messages if message)

    def _send(self, message: StreamMessage) -> None:
        self._around.pump.push(self._outbox, _framed(message))

    # --- what the pump tells ---

    def told(self, event: PeerEvent) -> None:
        match event:
            case Message(is_text=is_text, payload=payload):
                self._hear(payload.decode() if is_text else payload)
            case PeerFault(fault=fault):
                reason, detail = _FAULTS[fault]
                self.close(reason, detail=detail)
            case HalfFull(queued_bytes=queued_bytes, oldest_ms=oldest_ms):
                self._warn(queued_bytes, oldest_ms)
            case PeerSilent():
                self.close("unresponsive")
            case PeerClosed(code=code, reason=reason):
                if self._ended_by is None:
                    self._ended_by = "client_left"
                    self._detail = f"close code {code}" + (f": {reason}" if reason else "")
            case OutboxClosed():
                self._closed(event)

    def _hear(self, message: str | bytes) -> None:
        if self._ended_by is not None:
            return
        try:
            self._conversation.hear(message)
        except Exception:
            # One connection's failure, which is ours, must not be another's.
            self._around.logger.exception("a connection failed", client=self._client)
            self.close("internal_error")

    def _warn(self, queued_bytes: int, oldest_ms: int) -> None:
        if self._ended_by is not None:
            return
        limits = self._around.limits
        self._send(
            Warn(
                code="slow_consumer",
                queued_bytes=queued_bytes,
                max_bytes=limits.outbox_bytes,
                oldest_ms=oldest_ms,
                max_age_ms=limits.outbox_age_ms,
                detail="half of what may wait for you is waiting: read faster, subscribe to less, or choose a policy",
                simulated=self._around.simulated,
            )
        )

    def _closed(self, event: OutboxClosed) -> None:
        if event.reason in {"slow_consumer_bytes", "slow_consumer_age", "memory_pressure"}:
            self._overflow = event
            if self._ended_by is None:
                waited = f"{event.queued_bytes} bytes were waiting, the oldest for {event.oldest_ms} ms"
                self.close(event.reason, detail=waited)  # it may still hear why; "finished" follows
                return
        self._ended_by = self._ended_by or "connection_lost"
        self._leave()

    # --- the end ---

    def close(self, reason: str, *, detail: str = "", reconnect_in_ms: int | None = None) -> None:
        """End the connection for ``reason``, a key of CLOSINGS: goodbye and close frame, in order behind what waits already.

        Returns at once. Where nothing can be written any more, that was all.
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
        last_words = _framed(goodbye) + close_frame(closing.close_code, reason)
        if not self._around.pump.push(self._outbox, last_words, final=True):
            self._leave()

    def cut_off(self) -> None:
        """Be gone at once."""
        self._ended_by = self._ended_by or "internal_error"
        self._leave()

    def _leave(self) -> None:
        around = self._around
        final = around.pump.remove_outbox(self._outbox)
        if final is None:
            return  # that was all over before
        receipt = make_receipt(
            self._ended_by or "internal_error",
            detail=self._detail,
            at=around.wall_us(),
            final=final,
            overflow=self._overflow,
            asset_name=around.pump.asset_name,
        )
        around.sessions.disconnect(self._client, self._outbox, receipt)
        self._gone(self)


def _framed(message: StreamMessage) -> bytes:
    return text_frame(msgspec.json.encode(message))

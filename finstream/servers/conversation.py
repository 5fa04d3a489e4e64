"""What a stream client says and what it is answered. Knows no socket: text in, control messages out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from finstream.servers.reading import read_json
from finstream.services.sessions import Sessions
from finstream.services.topic_requests import read_policy
from finstream.vocabulary.commands import (
    MAX_ID_BYTES,
    Ping,
    Pong,
    StreamError,
    StreamMessage,
    StreamRequest,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
)  # fmt: skip
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.problems import type_uri

__all__ = ["Conversation"]

_requests = msgspec.json.Decoder(StreamRequest)


class _Identified(msgspec.Struct, frozen=True):
    id: msgspec.Raw = msgspec.Raw(b"null")


_ids = msgspec.json.Decoder(_Identified)


class Conversation:
    """One connection's. ``send`` hands a message over for sending, in order, and returns at once."""

    def __init__(
        self, sessions: Sessions, client: str, send: Callable[[StreamMessage], None], *, simulated: bool
    ) -> None:
        self._sessions = sessions
        self._client = client
        self._send = send
        self._simulated = simulated

    def hear(self, message: str | bytes) -> None:
        """Do what ``message`` asks for and answer it. Whatever it holds, it gets an answer and does no harm."""
        given_id = _id_of(message)
        fits = given_id is None or len(bytes(given_id)) <= MAX_ID_BYTES
        try:
            if isinstance(message, bytes):
                raise RequestError("malformed-body", "requests are JSON in text frames; this was a binary frame")
            request: StreamRequest = read_json(message, _requests)
            if not fits:
                raise RequestError("invalid-field", f"an id has at most {MAX_ID_BYTES} bytes", field="$.id")
            self._serve(request, given_id)
        except RequestError as error:
            kind, said = type_uri(error.problem), error.detail
            answer = StreamError(
                id=given_id if fits else None, problem=kind, detail=said, field=error.field, simulated=self._simulated
            )
            self._send(answer)

    def _serve(self, request: StreamRequest, given_id: msgspec.Raw | None) -> None:
        match request:
            case Subscribe(topics=topics):
                policy = read_policy(request)
                answer = Subscribed(
                    topics=topics, id=given_id, simulated=self._simulated, policy=policy.policy, trades=policy.trades,
                    max_rate=policy.max_rate,
                )  # fmt: skip
                # The answer goes out before the pump is told, so it comes before the first message of its topics.
                self._sessions.subscribe(self._client, topics, policy=policy, announce=lambda _new: self._send(answer))
            case Unsubscribe(topics=topics):
                self._sessions.unsubscribe(self._client, topics)
                self._send(Unsubscribed(topics=topics, id=given_id, simulated=self._simulated))
            case Ping():
                self._send(Pong(id=given_id, simulated=self._simulated))


def _id_of(message: str | bytes) -> msgspec.Raw | None:
    """The request's id as it stands there, whatever else is wrong with it; None where there is none."""
    try:
        text = message if isinstance(message, str) else message.decode()
        found = _ids.decode(text).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if bytes(found) == b"null" else found

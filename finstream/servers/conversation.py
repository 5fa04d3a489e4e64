"""What a stream client says and what it is answered. Knows no socket: text in, control messages out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from finstream.servers.reading import read_json
from finstream.services.sessions import Sessions
from finstream.vocabulary.commands import (
    Ping,
    Pong,
    RequestId,
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
_ids = msgspec.json.Decoder(dict[str, msgspec.Raw])
_id = msgspec.json.Decoder(RequestId)
_MAX_ID_CHARACTERS = 128


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
        try:
            if isinstance(message, bytes):
                raise RequestError("malformed-body", "requests are JSON in text frames; this was a binary frame")
            request: StreamRequest = read_json(message, _requests)
            if isinstance(request.id, str) and len(request.id) > _MAX_ID_CHARACTERS:
                raise RequestError("invalid-field", f"an id has at most {_MAX_ID_CHARACTERS} characters", field="$.id")
            self._serve(request)
        except RequestError as error:
            kind, said = type_uri(error.problem), error.detail
            answer = StreamError(
                id=_id_of(message), problem=kind, detail=said, field=error.field, simulated=self._simulated
            )
            self._send(answer)

    def _serve(self, request: StreamRequest) -> None:
        match request:
            case Subscribe(topics=topics, id=id):
                answer = Subscribed(topics=topics, id=id, simulated=self._simulated)
                # The answer goes out before the pump is told, so it comes before the first message of its topics.
                self._sessions.subscribe(self._client, topics, announce=lambda _new: self._send(answer))
            case Unsubscribe(topics=topics, id=id):
                self._sessions.unsubscribe(self._client, topics)
                self._send(Unsubscribed(topics=topics, id=id, simulated=self._simulated))
            case Ping(id=id):
                self._send(Pong(id=id, simulated=self._simulated))


def _id_of(message: str | bytes) -> RequestId:
    """The id of a request that is otherwise wrong, as far as there is one."""
    try:
        found = _id.decode(_ids.decode(message)["id"])
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError, RecursionError):
        return None
    return None if isinstance(found, str) and len(found) > _MAX_ID_CHARACTERS else found

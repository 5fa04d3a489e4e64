"""What the NOC asks for and what it is answered. Knows no socket: text in, messages out.

A command is carried out by the very handler that its REST route has; so both can do the same, and refuse for the same reasons.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import trio

from finstream.servers import problems
from finstream.servers.reading import read_json
from finstream.servers.routes import Call, Nothing, Route
from finstream.services.logs import Logger
from finstream.vocabulary.commands import MAX_ID_BYTES
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.noc import NocDone, NocError, Watch

__all__ = ["Requests"]

_Members = dict[str, msgspec.Raw]
"""As they are written: what is wrong with one of them is not the others' fault."""

_objects = msgspec.json.Decoder(_Members)
_texts = msgspec.json.Decoder(str)
_pings = msgspec.json.Decoder(Nothing)
_watches = msgspec.json.Decoder(Watch)
_NULL = msgspec.Raw(b"null")
_NOT_OVER_HERE = frozenset({"openapi"})
_SHOWN_CHARACTERS = 64
"""Of an operation that does not exist, in the answer and in the log."""


class Requests:
    """``routes`` are those of the admin interface."""

    def __init__(self, routes: Iterable[Route], logger: Logger) -> None:
        self._routes = {route.operation: route for route in routes if route.operation not in _NOT_OVER_HERE}
        self._decoders = {name: msgspec.json.Decoder(route.body) for name, route in self._routes.items()}
        self._logger = logger
        self.done = self.refused = 0

    @property
    def operations(self) -> list[str]:
        return sorted([*self._routes, "watch", "ping"])

    async def answer(
        self, message: str | bytes | None, origin: str, watch: Callable[[Watch], Awaitable[None]]
    ) -> NocDone | NocError:
        """Do what the message asks for. Whatever it holds, it gets an answer and does no harm."""
        op: str | None = None
        given_id: msgspec.Raw | None = None
        try:
            if not isinstance(message, str):
                raise RequestError("malformed-body", "requests are JSON in text frames; this was a binary frame")
            members, unread = _read(message)
            op, written_id = _op_of(members), members.pop("id", _NULL)
            if len(bytes(written_id)) > MAX_ID_BYTES:
                raise RequestError("invalid-field", f"an id has at most {MAX_ID_BYTES} bytes", field="$.id")
            given_id = None if bytes(written_id) == b"null" else written_id
            if unread is not None:
                raise unread
            result = await self._carry_out(op, members, origin, watch)
        except RequestError as error:
            return self._refusal(op, given_id, origin, problems.of_request_error(error))
        except ConfigError as error:
            return self._refusal(op, given_id, origin, problems.of_config_error(error))
        except Exception:
            # A bug behind one command must not be the end of the connection, nor of anything else.
            self._logger.exception("a command failed", op=op, origin=origin)
            return self._refusal(op, given_id, origin, problems.problem("internal-error", "the engine's log says what happened"))
        self.done += 1
        assert op is not None  # what was carried out has a name
        return NocDone(op=op, id=given_id, result=result)

    async def _carry_out(
        self, op: str | None, members: _Members, origin: str, watch: Callable[[Watch], Awaitable[None]]
    ) -> Any:
        if op == "ping":
            read_json(msgspec.json.encode(members), _pings)
            return None
        if op == "watch":
            await watch(read_json(msgspec.json.encode(members), _watches))
            return None
        if op is None or op not in self._routes:
            raise RequestError("unknown-operation", f"no such operation; there are {', '.join(self.operations)}", field="$.op")
        route = self._routes[op]
        arguments = {name: _text(members, name) for name in re.findall(r"{(\w+)}", route.path)}
        query = {name: _text(members, name) for name in route.query if name in members}
        body = read_json(msgspec.json.encode(members), self._decoders[op])
        # As over REST: who sent a command and left must not leave it half done.
        with trio.CancelScope(shield=True):
            return await route.handler(Call(arguments, query, body, origin))

    def _refusal(self, op: str | None, given_id: Any, origin: str, why: problems.Problem) -> NocError:
        self.refused += 1
        if op is not None and len(op) > _SHOWN_CHARACTERS:
            op = f"{op[:_SHOWN_CHARACTERS]}…"
        self._logger.info("command refused", op=op, origin=origin, problem=why.type, detail=why.detail)
        return NocError(op=op, id=given_id, problem=why.type, detail=why.detail, field=why.field, remedy=why.remedy)


def _read(message: str) -> tuple[_Members, RequestError | None]:
    """The request's members. With what is wrong with it, if anything is: then only ``op`` and ``id``, as far as they can be had,
    so that its sender knows which of its requests was refused."""
    try:
        return read_json(message, _objects), None
    except RequestError as error:
        try:
            # It reads more than there is in JSON: half of a surrogate pair, a member that stands twice.
            found = json.loads(message)
        except (ValueError, RecursionError):
            found = None
        named = found if isinstance(found, dict) else {}
        members = {}
        for name in ("op", "id"):
            try:
                members[name] = msgspec.Raw(msgspec.json.encode(named[name]))
            except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
                continue  # it is not there, or cannot be said in JSON
        return members, error


def _op_of(members: _Members) -> str | None:
    try:
        return _texts.decode(members.pop("op"))
    except (KeyError, msgspec.ValidationError):
        return None


def _text(members: _Members, name: str) -> str:
    try:
        return _texts.decode(members.pop(name))
    except (KeyError, msgspec.ValidationError):
        raise RequestError("invalid-field", f"{name} has to be a text", field=f"$.{name}") from None

"""What the NOC asks for and what it is answered. Knows no socket: text in, messages out.

A command is carried out by the very handler that its REST route has; so both can do the same, and refuse for the same reasons.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import trio

from finstream.servers import problems
from finstream.servers.reading import read_json
from finstream.servers.routes import Call, Route
from finstream.services.logs import Logger
from finstream.vocabulary.commands import MAX_ID_BYTES
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.noc import NocDone, NocError, Watch

__all__ = ["Requests"]

_objects = msgspec.json.Decoder(dict[str, Any])
_watches = msgspec.json.Decoder(Watch)
_NOT_OVER_HERE = frozenset({"openapi"})


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
        members: dict[str, Any] = {}
        try:
            if not isinstance(message, str):
                raise RequestError("malformed-body", "requests are JSON in text frames; this was a binary frame")
            members = read_json(message, _objects)
            given_id, op = members.pop("id", None), members.pop("op", None)
            if len(msgspec.json.encode(given_id)) > MAX_ID_BYTES:
                given_id = None
                raise RequestError("invalid-field", f"an id has at most {MAX_ID_BYTES} bytes", field="$.id")
        except RequestError as error:
            return self._refusal(None, None, origin, problems.of_request_error(error))
        try:
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
        return NocDone(op=op, id=given_id, result=result)

    async def _carry_out(
        self, op: Any, members: dict[str, Any], origin: str, watch: Callable[[Watch], Awaitable[None]]
    ) -> Any:
        if op == "ping":
            return None
        if op == "watch":
            await watch(read_json(msgspec.json.encode(members), _watches))
            return None
        if not isinstance(op, str) or op not in self._routes:
            raise RequestError("unknown-operation", f"no such operation; there are {', '.join(self.operations)}", field="$.op")
        route = self._routes[op]
        arguments = {name: _text(members, name) for name in re.findall(r"{(\w+)}", route.path)}
        query = {name: _text(members, name) for name in route.query if name in members}
        body = read_json(msgspec.json.encode(members), self._decoders[op])
        # As over REST: who sent a command and left must not leave it half done.
        with trio.CancelScope(shield=True):
            return await route.handler(Call(arguments, query, body, origin))

    def _refusal(self, op: Any, given_id: Any, origin: str, why: problems.Problem) -> NocError:
        self.refused += 1
        name = op if isinstance(op, str) else None
        self._logger.info("command refused", op=name, origin=origin, problem=why.type, detail=why.detail)
        return NocError(op=name, id=given_id, problem=why.type, detail=why.detail, field=why.field, remedy=why.remedy)


def _text(members: dict[str, Any], name: str) -> str:
    value = members.pop(name, None)
    if not isinstance(value, str):
        raise RequestError("invalid-field", f"{name} has to be a text", field=f"$.{name}")
    return value

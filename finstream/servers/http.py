"""A table of routes as a Quart application: reads and checks requests, writes answers, turns every error into
problem details."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import trio
from quart import Request, Response, request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from finstream.servers import problems
from finstream.servers.origins import Origins
from finstream.servers.problems import Problem, problem
from finstream.servers.reading import read_json
from finstream.servers.routes import SAFE_METHODS, Call, Route, needs_body
from finstream.services.logs import Logger
from finstream.vocabulary.errors import ConfigError, RequestError

__all__ = ["MAX_BODY_BYTES", "make_app"]

MAX_BODY_BYTES = 1 << 20
"""All topics that one client may have, spelled out, are a quarter of that."""
BODY_TIMEOUT_S = 10

_HTTP_PROBLEMS = {404: "not-found", 405: "method-not-allowed", 408: "request-timeout", 413: "body-too-large"}
_DETAILS = {
    "not-found": "nothing is served at this path; GET /openapi.json lists what there is",
    "method-not-allowed": "the Allow header says which methods this path knows",
    "request-timeout": f"the body was not complete within {BODY_TIMEOUT_S} s",
    "body-too-large": f"a body has at most {MAX_BODY_BYTES} bytes",
}
_HEADERS = {
    "unauthorized": {"WWW-Authenticate": "Bearer"},
    **{name: {"Retry-After": seconds} for name, seconds in problems.RETRY_AFTER.items()},
    # The rest of the body is not read, so nothing can follow it.
    "body-too-large": {"Connection": "close"},
    "request-timeout": {"Connection": "close"},
}


def make_app(
    routes: Sequence[Route],
    *,
    origins: Origins,
    listener: str,
    logger: Logger,
    check: Callable[[Request], None] = lambda _request: None,
) -> QuartTrio:
    """``listener`` is the address bound to; ``check`` may refuse a request by raising RequestError."""
    app = QuartTrio(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES, BODY_TIMEOUT=BODY_TIMEOUT_S, PROVIDE_AUTOMATIC_OPTIONS=False)
    # What is not exactly a path of ours is unknown; no redirects.
    app.url_map.merge_slashes = False
    for route in routes:
        app.add_url_rule(
            route.path.replace("{", "<").replace("}", ">"),
            endpoint=route.operation,
            view_func=partial(_serve, route, msgspec.json.Decoder(route.body)),
            methods=[route.method],
            provide_automatic_options=False,
        )

    async def check_sender() -> Response | None:
        origins.check_host(request.headers.get("Host"), listener)
        if request.scope["path"].startswith("//"):  # the router takes any number of slashes for one
            raise NotFound
        origin = request.headers.get("Origin")
        if request.method == "OPTIONS" and origin is not None and origins.is_ours(origin):
            return _preflight_answer()
        if request.method not in SAFE_METHODS:
            origins.check_origin(origin)
        check(request)
        return None

    async def allow_origin(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if origin is not None and origins.is_ours(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def tell_failure(error: Exception) -> Response:
        logger.error("request failed", method=request.method, path=request.path, exc_info=error)
        return _problem_response(problem("internal-error", "the engine's log says what happened"))

    app.before_request(check_sender)
    app.after_request(allow_origin)
    app.register_error_handler(RequestError, _tell_request_error)
    app.register_error_handler(ConfigError, _tell_config_error)
    app.register_error_handler(HTTPException, _tell_http_error)
    app.register_error_handler(Exception, tell_failure)
    return app


async def _serve(route: Route, decoder: msgspec.json.Decoder[Any], **arguments: str) -> Response:
    body = None if route.method in SAFE_METHODS else await _read_body(decoder)
    call = Call(arguments, _read_query(route), body, f"rest {request.remote_addr}")
    if route.method in SAFE_METHODS:
        answer = await route.handler(call)
    else:
        # Whoever sent a command and hung up must not leave it half done. No deadline either, for the same reason.
        with trio.CancelScope(shield=True):
            answer = await route.handler(call)
    if route.answer is None:
        return _empty_response(route.status)
    body = msgspec.json.encode(answer) if route.media_type == "application/json" else answer.encode()
    return _response(body, route.status, route.media_type)


async def _read_body(decoder: msgspec.json.Decoder[Any]) -> Any:
    data = await request.get_data(cache=False, as_text=False)
    if not data:
        if needs_body(decoder.type):
            raise RequestError("malformed-body", "the body is empty")
        return decoder.type()
    if request.mimetype != "application/json":
        # Browsers send other types across origins without asking first.
        said = f"not {request.mimetype[:100]!r}" if request.mimetype else "but there is none"
        raise RequestError("unsupported-media-type", f"Content-Type has to be application/json, {said}")
    return read_json(data, decoder)


def _read_query(route: Route) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, values in request.args.lists():
        if name not in route.query:
            known = ", ".join(route.query) or "none"
            raise RequestError(
                "invalid-field", f"this path does not know the parameter {name!r}; it knows: {known}", field=f"?{name}"
            )
        if len(values) > 1:
            raise RequestError("invalid-field", "the parameter is given more than once", field=f"?{name}")
        query[name] = values[0]
    return query


def _preflight_answer() -> Response:
    adapter = request.routing_exception
    methods = adapter.valid_methods if isinstance(adapter, MethodNotAllowed) else None
    headers = {
        "Access-Control-Allow-Methods": ", ".join(sorted(set(methods or ()))),
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": "600",
    }
    response = _empty_response(204)
    response.headers.update(headers)
    return response


def _response(body: bytes, status: int, content_type: str) -> Response:
    return TrioResponse(body, status=status, content_type=content_type)


def _empty_response(status: int) -> Response:
    response = _response(b"", status, "")
    del response.headers["Content-Type"]
    return response


def _problem_response(what: Problem, headers: dict[str, str] | None = None) -> Response:
    response = _response(msgspec.json.encode(what), what.status, problems.MEDIA_TYPE)
    response.headers.update(_HEADERS.get(what.type.rpartition(":")[2], {}))
    response.headers.update(headers or {})
    return response


async def _tell_request_error(error: RequestError) -> Response:
    return _problem_response(problems.of_request_error(error))


async def _tell_config_error(error: ConfigError) -> Response:
    return _problem_response(problems.of_config_error(error))


async def _tell_http_error(error: HTTPException) -> Response:
    name = _HTTP_PROBLEMS.get(error.code or 0, "malformed-request")
    headers = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(set(error.valid_methods or ())))
    return _problem_response(problem(name, _DETAILS.get(name) or error.description or "see the HTTP standard"), headers)

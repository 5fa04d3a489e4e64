"""The OpenAPI 3.1 description of a REST interface, made from its routes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

import finstream
from finstream.servers import problems
from finstream.servers.routes import SAFE_METHODS, Nothing, Route, needs_body
from finstream.vocabulary.problems import PROBLEMS, type_uri

__all__ = ["describe"]

_PARAMETERS = {
    "uuid": "The client, as POST /v1/clients named it.",
    "asset": "The asset's name in the configuration.",
    "symbol": "The symbol, with a dash for its slash: BTC-USDT.",
}
_ANY_REQUEST = ("malformed-request", "foreign-host", "head-too-large", "internal-error")
_WITH_BODY = ("malformed-body", "invalid-field", "request-timeout", "body-too-large", "unsupported-media-type")


def describe(title: str, description: str, routes: Sequence[Route], *, with_token: bool) -> dict[str, Any]:
    """Returns the document as plain data. ``with_token``: requests need the admin token."""
    types: list[Any] = [problems.Problem]
    for route in routes:
        types += [each for each in (route.body, route.answer) if each is not None and each is not Nothing]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(id, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, schema_of, with_token=with_token)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": finstream.__version__,
            "description": description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(paths),
        "components": {"schemas": components},
    }
    if with_token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _operation(route: Route, schema_of: dict[int, Any], *, with_token: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.operation, "summary": route.summary}
    parameters = [
        {"name": name, "in": "path", "required": True, "description": _PARAMETERS[name], "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ] + [
        {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in route.query.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not Nothing:
        content = {"application/json": {"schema": schema_of[id(route.body)]}}
        operation["requestBody"] = {"required": needs_body(route.body), "content": content}
    success: dict[str, Any] = {"description": "Done." if route.status != 202 else "Accepted."}
    if route.answer is not None:
        success["content"] = {route.media_type: {"schema": schema_of[id(route.answer)]}}
    operation["responses"] = {str(route.status): success, **_problem_responses(route, with_token=with_token)}
    return operation


def _problem_responses(route: Route, *, with_token: bool) -> dict[str, Any]:
    names = {*_ANY_REQUEST, *route.problems}
    if route.method not in SAFE_METHODS:
        names |= {"foreign-origin", *_WITH_BODY}
    if route.query:
        names.add("invalid-field")
    if with_token:
        names.add("unauthorized")
    by_status: dict[int, list[str]] = defaultdict(list)
    for name in PROBLEMS:  # in the order of the table, so that the document never changes without a reason
        if name in names:
            by_status[PROBLEMS[name].status].append(name)
    return {
        str(status): {
            "description": "; ".join(f"{PROBLEMS[name].title} (`{type_uri(name)}`)" for name in by_status[status]),
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(by_status)
    }

"""What the descriptions say is what the servers do: every route, asked for, answers as described."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

METHODS = {"get", "put", "post", "delete", "patch", "options", "head", "trace"}
PUBLIC = {
    "/v1/clients", "/v1/clients/{uuid}", "/v1/clients/{uuid}/subscriptions", "/v1/assets", "/v1/assets/{asset}",
    "/v1/arena", "/v1/market", "/symbols", "/symbols/{symbol}", "/metrics", "/health/liveness", "/health/readiness",
    "/openapi.json",
}  # fmt: skip
ADMIN = {
    "/v1/assets/{asset}/pause", "/v1/assets/{asset}/start", "/v1/assets/{asset}/restart", "/v1/config/reload",
    "/v1/config/plan", "/v1/clients/{uuid}/disconnect", "/v1/telemetry", "/v1/logs/level", "/v1/market/simulation",
    "/v1/reboot", "/health/liveness", "/health/readiness", "/openapi.json",
}  # fmt: skip
BODIES = {
    "register": {}, "replaceSubscriptions": {"topics": ["tick"]}, "subscribe": {"topics": ["tick:A"]},
    "unsubscribe": {"topics": ["tick:A"]}, "setLogLevel": {"level": "info"},
    "simulateMarket": {"status": "open"},
}  # fmt: skip


class Interface:
    """One listener, with its own description."""

    def __init__(self, engine: Any, side: str) -> None:
        self.ask = getattr(engine, side)
        self.document = self.ask("GET", "/openapi.json").json()
        self.arguments = {"uuid": engine.register(), "asset": "tick", "symbol": "BTC-USDT"}

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """The destructive ones last."""
        found = [
            (method, path, operation)
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
        ]
        return sorted(found, key=lambda each: each[2]["operationId"] in {"unregister", "reboot"})

    def path(self, template: str, arguments: dict[str, str]) -> str:
        return re.sub(r"{(\w+)}", lambda match: arguments[match[1]], template)

    def check(self, answer: Any, operation: dict[str, Any]) -> None:
        described = operation["responses"].get(str(answer.status_code))
        assert described, f"{answer.status_code} is not described: {answer.text}"
        if "content" not in described:
            assert answer.content == b""
            return
        ((media_type, content),) = described["content"].items()
        assert answer.headers["content-type"] == media_type
        # The schema's references lead into the document's components.
        schema = {**content["schema"], "components": self.document["components"]}
        OAS31Validator(schema).validate(answer.json() if "json" in media_type else answer.text)
        if answer.status_code >= 400:
            assert answer.json()["type"] in described["description"]


@pytest.fixture(params=["public", "admin"])
def interface(request: pytest.FixtureRequest, engine: Any, tools: Any) -> Interface:
    engine.config["assets"]["tick"]["start"] = "always"
    engine.start()
    tools.until(lambda: engine.asset_state("tick")["statistics"]["ticks"])
    return Interface(engine, request.param)


def test_the_description_is_valid_and_whole(shared_engine: Any) -> None:
    for side, paths in (("public", PUBLIC), ("admin", ADMIN)):
        document = Interface(shared_engine, side).document
        assert document["openapi"].startswith("3.1.")
        OpenAPIV31SpecValidator(document).validate()
        assert set(document["paths"]) == paths
        names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
        assert len(names) == len(set(names))
        assert all(operation["summary"] for item in document["paths"].values() for operation in item.values())


def test_every_route_answers_as_described(interface: Interface, tools: Any) -> None:
    successes = set()
    for method, template, operation in interface.operations():
        body = BODIES.get(operation["operationId"])
        answer = interface.ask(method.upper(), interface.path(template, interface.arguments), json=body)
        interface.check(answer, operation)
        if answer.is_success:
            successes.add(operation["operationId"])
    # Whether the first two are possible just then depends on the one before; and this client is not connected.
    assert {each[2]["operationId"] for each in interface.operations()} - successes <= {"start", "restart", "disconnect"}


def test_every_route_refuses_as_described(interface: Interface) -> None:
    nowhere = {"uuid": "no-such-client", "asset": "no-such-asset", "symbol": "NO-SUCH-SYMBOL"}
    for method, template, operation in interface.operations():
        path = interface.path(template, interface.arguments)
        if "{" in template:
            body = BODIES.get(operation["operationId"])
            answer = interface.ask(method.upper(), interface.path(template, nowhere), json=body)
            assert answer.status_code == 404
            interface.check(answer, operation)
        if method != "get":
            for attempt in (
                {"json": {"surprise": 1}},
                {"content": b"{"},
                {"content": b"{", "headers": {"Content-Type": "x/y"}},
            ):
                answer = interface.ask(method.upper(), path, **attempt)
                assert answer.status_code in {400, 415}
                interface.check(answer, operation)
            answer = interface.ask(method.upper(), path, headers={"Origin": "https://evil.com"})
            assert answer.status_code == 403
            interface.check(answer, operation)
        answer = interface.ask(method.upper(), path, headers={"Host": "evil.com"})
        assert answer.status_code == 403
        interface.check(answer, operation)


def test_what_is_not_described_is_not_there(shared_engine: Any) -> None:
    for side in ("public", "admin"):
        interface = Interface(shared_engine, side)
        for template, item in interface.document["paths"].items():
            path = interface.path(template, interface.arguments)
            for method in METHODS - set(item) - ({"head"} if "get" in item else set()):
                answer = interface.ask(method.upper(), path)
                assert answer.status_code == 405, (method, path)
        # Of later issues:
        for path in (
            "/v1/events",
            "/symbols/BTC-USDT/history",
            "/ingest/tick",
            "/v1/noc",
            "/" if side == "public" else "/symbols",  # each is on the other
        ):
            assert interface.ask("GET", path).status_code == 404

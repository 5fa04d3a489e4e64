"""Requests as a client sends them, through Hypercorn and Quart, to routes made up for the purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
import structlog
import trio
from quart import Request

from finstream.servers.http import MAX_BODY_BYTES, make_app
from finstream.servers.listeners import address_of, open_listener, url_of
from finstream.servers.openapi import describe
from finstream.servers.origins import Origins
from finstream.servers.rest import serve_rest
from finstream.servers.routes import Call, Route
from finstream.vocabulary.commands import Health, TopicList, Topics
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.problems import PROBLEMS, type_uri

PROXY = "https://dash.example.com"


async def echo(call: Call) -> Topics:
    return Topics(topics=[call.arguments["uuid"], *call.body.topics])


async def tell_query(call: Call) -> Topics:
    return Topics(topics=[f"{name}={value}" for name, value in call.query.items()])


async def fail(_call: Call) -> Health:
    raise ZeroDivisionError("a bug")


async def refuse(_call: Call) -> Health:
    raise RequestError("unknown-asset", "there is no asset 'x'", field="$.asset")


async def reject(_call: Call) -> Health:
    raise ConfigError("assets.x.origin", "is synthetic", "set mode: simulation")


async def accept(_call: Call) -> Health:
    return Health(status="alive")


async def nothing(_call: Call) -> None:
    return None


ROUTES = [
    Route(
        method="POST", path="/echo/{uuid}", operation="echo", summary="", handler=echo, body=TopicList, answer=Topics,
    ),
    Route(
        method="GET", path="/query", operation="query", summary="", handler=tell_query, answer=Topics,
        query={"symbol": "One."},
    ),
    Route(method="GET", path="/fail", operation="fail", summary="", handler=fail, answer=Health),
    Route(method="GET", path="/refuse", operation="refuse", summary="", handler=refuse, answer=Health),
    Route(method="POST", path="/reject", operation="reject", summary="", handler=reject, answer=Health),
    Route(method="POST", path="/command", operation="command", summary="", handler=accept, answer=Health, status=202),
    Route(method="DELETE", path="/command", operation="undo", summary="", handler=nothing, status=204),
]  # fmt: skip

Open = Callable[..., Any]


class Server:
    def __init__(self, url: str, address: tuple[str, int], client: httpx.AsyncClient, stop: trio.Event) -> None:
        self.url = url
        self.address = address
        self.client = client
        self.stop = stop

    async def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return await self.client.request(method, self.url + path, **arguments)

    async def problem(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """The problem in the answer, after checking all that holds for each."""
        return problem_of(await self.ask(method, path, **arguments))

    async def say(self, data: bytes) -> bytes:
        """Raw bytes, and what comes back until the server closes."""
        answer = b""
        async with await trio.open_tcp_stream(*self.address) as stream:
            await stream.send_all(data)
            with trio.fail_after(5):
                async for part in stream:
                    answer += part
        return answer


def problem_of(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    name = body["type"].removeprefix("urn:finstream:problem:")
    assert (body["status"], body["title"]) == (PROBLEMS[name].status, PROBLEMS[name].title)
    assert response.status_code == body["status"]
    assert body["detail"]
    return body


@asynccontextmanager
async def serving(routes: list[Route] = ROUTES, **options: Any) -> AsyncIterator[Server]:
    stop = trio.Event()
    with open_listener("public", "127.0.0.1:0") as listener:
        origins = Origins([PROXY], [address_of(listener)])
        app = make_app(routes, origins=origins, listener="127.0.0.1", logger=structlog.get_logger(), **options)
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_rest, app, listener, stop=stop, logger=structlog.get_logger()))
            async with httpx.AsyncClient(trust_env=False) as client:
                yield Server(url_of("http", listener), address_of(listener), client, stop)
            stop.set()


async def test_answers() -> None:
    async with serving() as server:
        answer = await server.ask("POST", "/echo/7", json={"topics": ["a"]})
        assert (answer.status_code, answer.json()) == (200, {"topics": ["7", "a"]})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        answer = await server.ask("GET", "/query?symbol=BTC%2FUSDT")
        assert answer.json() == {"topics": ["symbol=BTC/USDT"]}
        answer = await server.ask("DELETE", "/command")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await server.ask("POST", "/command", json={})).status_code == 202
        answer = await server.ask("HEAD", "/query")
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("arguments", "problem", "field"),
    [
        ({"json": {"topics": ["a", 1]}}, "invalid-field", "$.topics[1]"),
        ({"json": {"topic": []}}, "invalid-field", "$.topic"),
        ({"json": {}}, "invalid-field", "$.topics"),
        ({"json": []}, "invalid-field", "$"),
        ({"content": b'{"topics":[],"topics":[]}', "headers": {"Content-Type": "application/json"}}, "invalid-field", "$.topics"),
        ({}, "malformed-body", None),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, "malformed-body", None),
        ({"content": b'{"topics":["\xff"]}', "headers": {"Content-Type": "application/json"}}, "malformed-body", None),
        ({"content": b"{}"}, "unsupported-media-type", None),
        ({"data": {"topics": "a"}}, "unsupported-media-type", None),
        ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, "unsupported-media-type", None),
    ],
)
async def test_bad_bodies(arguments: dict[str, Any], problem: str, field: str | None) -> None:
    async with serving() as server:
        told = await server.problem("POST", "/echo/7", **arguments)
        assert (told["type"], told.get("field")) == (type_uri(problem), field)


async def test_a_route_without_a_body_takes_none() -> None:
    async with serving() as server:
        told = await server.problem("POST", "/command", json={"for_s": 3})
        assert told["field"] == "$.for_s"


async def test_unknown_paths_methods_and_parameters() -> None:
    async with serving() as server:
        unknown = ("/", "/echo", "/echo/", "/command/", "/%ff", "/echo/a/b", "/..%2f")
        for path in (*unknown, "//query", "///query", "/%2Fquery", "/%2f%2fquery"):
            assert (await server.problem("GET", path))["type"] == type_uri("not-found"), path
        for method in ("GET", "POST", "OPTIONS"):
            answer = await server.ask(method, "//command", headers={"Origin": server.url})
            assert problem_of(answer)["type"] == type_uri("not-found")
        for method in ("GET", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW"):
            answer = await server.ask(method, "/command")
            assert problem_of(answer)["type"] == type_uri("method-not-allowed")
            assert answer.headers["allow"] == "DELETE, POST"
        assert (await server.problem("GET", "/query?symbl=x"))["field"] == "?symbl"
        assert (await server.problem("GET", "/query?symbol=x&symbol=y"))["field"] == "?symbol"


async def test_errors_of_the_handlers(log_lines: list[Any]) -> None:
    async with serving() as server:
        told = await server.problem("GET", "/refuse")
        assert (told["type"], told["field"]) == (type_uri("unknown-asset"), "$.asset")
        told = await server.problem("POST", "/reject")
        assert told["type"] == type_uri("config-rejected")
        assert (told["field"], told["remedy"]) == ("assets.x.origin", "set mode: simulation")
        told = await server.problem("GET", "/fail")
        assert told["type"] == type_uri("internal-error")
        assert "a bug" not in str(told)
    (line,) = [line for line in log_lines if line["log_level"] == "error"]
    assert (line["event"], line["path"], str(line["exc_info"])) == ("request failed", "/fail", "a bug")


JSON_POST = b"POST /echo/7 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def test_a_body_that_is_too_large() -> None:
    async with serving() as server:
        answer = await server.say(JSON_POST + f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"urn:finstream:problem:body-too-large" in answer
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        answer = await server.say(
            JSON_POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (MAX_BODY_BYTES // 65536 + 1)
        )
        assert answer.startswith(b"HTTP/1.1 413 ")
        longest = b'{"topics":["' + b"x" * (MAX_BODY_BYTES - 15) + b'"]}'
        assert len(longest) == MAX_BODY_BYTES
        answer = await server.ask("POST", "/echo/7", content=longest, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200


async def test_an_endless_body_is_not_kept() -> None:
    async with serving() as server, await trio.open_tcp_stream(*server.address) as stream:
        await stream.send_all(JSON_POST + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        with trio.fail_after(10), pytest.raises(trio.BrokenResourceError):
            await stream.send_all(chunk * 4000)
        assert (await server.ask("GET", "/query")).status_code == 200


async def test_a_foreign_page_changes_nothing() -> None:
    async with serving() as server:
        for origin in ("https://evil.com", "null", f"http://127.0.0.1:{server.address[1] + 1}"):
            for method in ("POST", "DELETE", "PUT"):
                told = await server.problem(method, "/command", headers={"Origin": origin})
                assert told["type"] == type_uri("foreign-origin")
            answer = await server.ask("GET", "/query", headers={"Origin": origin})
            assert answer.status_code == 200  # but the browser keeps it from the page:
            assert "access-control-allow-origin" not in answer.headers


async def test_our_own_pages_may() -> None:
    async with serving() as server:
        for origin in (server.url, server.url.replace("127.0.0.1", "localhost"), PROXY):
            answer = await server.ask("POST", "/command", headers={"Origin": origin})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (202, origin)
            asked_first = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
            answer = await server.ask("OPTIONS", "/command", headers=asked_first)
            assert answer.status_code == 204
            assert answer.headers["access-control-allow-methods"] == "DELETE, POST"


async def test_a_rebound_name_is_refused() -> None:
    async with serving() as server:
        for method, path in (("GET", "/query"), ("POST", "/command"), ("GET", "/nowhere")):
            told = await server.problem(method, path, headers={"Host": f"evil.com:{server.address[1]}"})
            assert told["type"] == type_uri("foreign-host")


async def test_the_check() -> None:
    def check(request: Request) -> None:
        if "X-Key" not in request.headers:
            raise RequestError("unauthorized", "no key")

    async with serving(check=check) as server:
        for path in ("/command", "/nowhere"):
            answer = await server.ask("POST", path)
            assert problem_of(answer)["type"] == type_uri("unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await server.ask("POST", "/command", headers={"X-Key": "1"})).status_code == 202


async def test_a_command_goes_on_when_its_sender_hangs_up() -> None:
    begun, go_on, ended = trio.Event(), trio.Event(), trio.Event()

    async def slow(_call: Call) -> Health:
        begun.set()
        await go_on.wait()
        ended.set()
        return Health(status="alive")

    route = Route(method="POST", path="/slow", operation="slow", summary="", handler=slow, answer=Health)
    async with serving([route]) as server:
        stream = await trio.open_tcp_stream(*server.address)
        await stream.send_all(b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        await begun.wait()
        await stream.aclose()
        await trio.sleep(0.05)  # time for the server to notice; it must not matter
        go_on.set()
        with trio.fail_after(5):
            await ended.wait()


async def test_a_command_may_take_long(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(_call: Call) -> Health:
        await trio.sleep(1000)
        return Health(status="alive")

    route = Route(method="POST", path="/slow", operation="slow", summary="", handler=slow, answer=Health)
    app = make_app([route], origins=Origins((), []), listener="127.0.0.1", logger=structlog.get_logger())
    answer = await app.test_client().post("/slow", headers={"Host": "localhost"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", b"400"),
        (b"GET /query HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n", b"413"),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /query?%ff=1 HTTP/1.0\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /query HTTP/1.0\r\n\r\n", b"200"),
    ],
)
async def test_garbage_is_answered_and_the_next_one_served(data: bytes, status: bytes) -> None:
    async with serving() as server:
        answer = await server.say(data)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert (await server.ask("GET", "/query")).status_code == 200


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (b"GET /query HTTP/1.1\r\n\r\n", "malformed-request"),
        (b"POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", "malformed-request"),
        (b"POST /command HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", "malformed-request"),
        (b"hello\r\n\r\n", "malformed-request"),
        (b"GET /query HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000, "head-too-large"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "malformed-request"),
    ],
)
async def test_what_is_no_http_gets_a_problem_too(said: bytes, name: str) -> None:
    async with serving() as server:
        answer = await server.say(said)
        head, _, body = answer.partition(b"\r\n\r\n")
        kind = PROBLEMS[name]
        assert head.startswith(f"HTTP/1.1 {kind.status} ".encode()), answer
        assert b"\r\ncontent-type: application/problem+json" in head.lower()
        told = msgspec.json.decode(body)
        assert (told["type"], told["title"], told["status"]) == (type_uri(name), kind.title, kind.status)
        assert told["detail"]


async def test_nothing_switches_to_http2() -> None:
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": ""}
    async with serving() as server:
        answer = await server.ask("GET", "/query", headers=upgrade)
        assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")


async def test_http2_garbage_harms_nobody() -> None:
    async with serving() as server:
        async with await trio.open_tcp_stream(*server.address) as stream:
            settings, data_of_no_stream = b"\0\0\0\4\0\0\0\0\0", b"\0\0\1\0\0\0\0\0\1x"
            await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + data_of_no_stream)
            with trio.fail_after(5):
                async for _ in stream:
                    pass
        assert (await server.ask("GET", "/query")).status_code == 200


async def test_no_websocket_here() -> None:
    async with serving() as server:
        upgrade = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        told = await server.problem("GET", "/v1/stream", headers=upgrade)
        assert told["type"] == type_uri("not-found")


async def test_idle_connections_do_not_hold_up_the_stop() -> None:
    async with serving() as server:
        assert (await server.ask("GET", "/query")).status_code == 200  # the client keeps its connection
        began = trio.current_time()
        server.stop.set()
    assert trio.current_time() - began < 1


async def test_the_server_comes_back_when_its_library_fails(
    monkeypatch: pytest.MonkeyPatch, log_lines: list[Any]
) -> None:
    import hypercorn.trio.tcp_server as tcp_server

    def broken(*_arguments: object) -> None:
        raise RuntimeError("an input it did not expect")

    async with serving() as server:
        with monkeypatch.context() as patch:
            patch.setattr(tcp_server, "parse_socket_addr", broken)
            with pytest.raises(httpx.TransportError):
                await server.ask("GET", "/query")
        with trio.fail_after(5):
            assert (await server.ask("GET", "/query")).status_code == 200
    assert any(line["event"].startswith("the HTTP server failed") for line in log_lines)


def test_the_description_names_what_can_go_wrong() -> None:
    document = describe("Test", "Routes of a test.", ROUTES, with_token=True)
    responses = document["paths"]["/echo/{uuid}"]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "408", "413", "415", "431", "500"}
    assert "`urn:finstream:problem:unauthorized`" in responses["401"]["description"]
    assert set(document["paths"]["/query"]["get"]["responses"]) == {"200", "400", "401", "403", "431", "500"}

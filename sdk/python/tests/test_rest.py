"""What no real engine answers, but one with very many symbols, or a frozen one."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from finstream_client import AsyncRest, Rest, Unreachable, connect

PAGES = {
    "/symbols": {"symbols": [{"symbol": "A", "assets": ["a"]}, {"symbol": "B/C", "assets": ["a", "b"]}], "next": "B/C"},
    "/symbols?after=B%2FC": {"symbols": [{"symbol": "Ä", "assets": ["a"]}], "next": "Ä"},
    "/symbols?after=%C3%84": {"symbols": []},
}


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(PAGES[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_symbols_come_in_pages_and_are_one_list(url: str) -> None:
    with Rest(url) as rest:
        assert [each.symbol for each in rest.symbols()] == ["A", "B/C", "Ä"]


def test_and_on_an_event_loop(url: str) -> None:
    async def ask() -> list[str]:
        async with AsyncRest(url) as rest:
            return [each.symbol for each in await rest.symbols()]

    assert asyncio.run(ask()) == ["A", "B/C", "Ä"]


def test_nobody_is_waited_for_longer_than_was_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        began = time.monotonic()
        with Rest(url, timeout_s=0.2) as rest, pytest.raises(Unreachable, match="no answer in time"):
            rest.assets()
        with connect(url, timeout_s=0.2) as client, pytest.raises(Unreachable, match="no answer in time"):
            next(client.stream("tick"))
        stream = url.replace("http:", "ws:")
        given = connect(url, stream_url=stream, uuid="u", timeout_s=0.2)
        with given as client, pytest.raises(Unreachable, match=r"silent for 0\.2 s"):
            next(client.stream("tick"))

        async def ask() -> None:
            async with AsyncRest(url, timeout_s=0.2) as rest:
                with pytest.raises(Unreachable, match="no answer in time"):
                    await rest.assets()

        asyncio.run(ask())
        assert time.monotonic() - began < 5

"""A venue's listing: fetched from a local REST server, kept on disk, fetched anew when old, and done without when it must be."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from finstream_ingestors.kit.exits import MisconfiguredError
from finstream_ingestors.kit.lines import LineWriter
from finstream_ingestors.kit.listings import FRESH_S, Listings
from finstream_ingestors.kit.refusals import refusal_pause_s
from finstream_ingestors.kraken.__main__ import read_listing
from local_binance import LocalBinance

BODY = json.dumps({"error": [], "result": {"XXBTZUSD": {"wsname": "XBT/USD"}, "ABCUSD.d": {}}})


class Rest:
    """Answers each request with the next of ``answers`` (status, headers, body), the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], str]] = [(200, {}, BODY)]
        self.requests: list[BaseHTTPRequestHandler] = []
        rest = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                rest.requests.append(self)
                status, headers, body = rest.answers.pop(0) if len(rest.answers) > 1 else rest.answers[0]
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/0/public/AssetPairs"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def rest() -> Iterator[Rest]:
    server = Rest()
    yield server
    server.close()


class Lines(LineWriter):
    """Keeps what is told."""

    def __init__(self) -> None:
        super().__init__(fd=-1)
        self.details: list[str] = []

    def status(self, state: str, detail: str) -> None:
        assert state == "listing"
        self.details.append(detail)


@pytest.fixture
def told() -> Lines:
    return Lines()


def test_it_is_fetched_once_a_day(rest: Rest, told: Lines, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "kraken.json.gz"
    for _ in range(3):
        assert Listings(rest.url, read_listing, cache).obtain(["BTC/USD"], told).symbols == {"BTC/USD": "BTC/USD"}
    assert len(rest.requests) == 1
    assert rest.requests[0].headers["User-Agent"] == "finstream"
    old_s = time.time() - FRESH_S - 60
    os.utime(cache, (old_s, old_s))
    Listings(rest.url, read_listing, cache).obtain(["BTC/USD"], told)
    assert len(rest.requests) == 2
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    assert told.details == []


def test_a_symbol_that_is_not_in_the_kept_one_may_be_new(rest: Rest, told: Lines, tmp_path: Path) -> None:
    listings = Listings(rest.url, read_listing, tmp_path / "kept.json.gz")
    listings.obtain([], told)
    rest.answers = [(200, {}, BODY.replace("ABCUSD.d", "NEWUSD").replace("{}", '{"wsname": "NEW/USD"}'))]
    assert "NEW/USD" in listings.obtain(["NEW/USD"], told).symbols


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ((500, {}, "oops"), "answers with HTTP 500"),
        ((200, {}, "<html>"), "is not the listing that is expected"),
        ((200, {}, '{"error":["EGeneral:Temporary lockout"],"result":{}}'), "lists no symbol"),
    ],
)
def test_when_the_venue_fails_the_old_one_serves_and_its_age_is_told(
    rest: Rest, told: Lines, tmp_path: Path, answer: tuple[int, dict[str, str], str], hint: str
) -> None:
    cache = tmp_path / "kept.json.gz"
    listings = Listings(rest.url, read_listing, cache)
    listings.obtain([], told)
    old_s = time.time() - 50 * 3600
    os.utime(cache, (old_s, old_s))
    rest.answers = [answer]
    assert listings.obtain(["BTC/USD"], told).symbols == {"BTC/USD": "BTC/USD"}
    (detail,) = told.details
    assert hint in detail
    assert "kept 50 h ago serves" in detail


def test_without_one_it_tries_again_and_keeps_to_retry_after(rest: Rest, told: Lines, tmp_path: Path) -> None:
    cache = tmp_path / "kept.json.gz"
    cache.write_bytes(b"half of a file")
    pauses: list[float] = []
    rest.answers = [(429, {"Retry-After": "7"}, ""), (418, {}, ""), (503, {}, ""), (200, {}, BODY)]
    listings = Listings(rest.url, read_listing, cache, sleep=pauses.append)
    assert listings.obtain(["BTC/USD"], told).symbols
    assert (pauses[0], pauses[1]) == (7.0, 120.0)
    assert 0.0 <= pauses[2] <= 4.0
    assert len(told.details) == 3


def test_where_nothing_can_be_kept_it_is_fetched_each_time(rest: Rest, told: Lines, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for cache in (None, tmp_path / "file" / "kept.json.gz"):
        assert Listings(rest.url, read_listing, cache).obtain([], told).symbols
    assert len(rest.requests) == 2


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (429, "3", 3.0), (429, None, 30.0), (418, None, 120.0), (503, None, 0.0), (503, "5", 5.0), (429, "soon", 30.0),
        (429, "Wed, 21 Oct 2015 07:28:10 GMT", 10.0), (418, "Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_how_long_a_venue_wants_to_be_left_alone(status: int, retry_after: str | None, expected: float) -> None:
    assert refusal_pause_s(status, retry_after, now_s=1445412480.0) == expected


def test_a_program_checks_its_symbols_by_the_listing(
    rest: Rest, tmp_path: Path, start: Callable[..., Any], run: Callable[..., Any], venue: Callable[..., Any]
) -> None:
    more = ["--listing", rest.url, "--cache", str(tmp_path), "--url", venue().url]
    wrong = run("kraken", "--symbols", "BTC/UST", *more)
    assert wrong.returncode == 78
    assert "did you mean BTC/USD?" in wrong.stderr
    program = start("kraken", "--symbols", "BTC/USD", *more)
    program.next_status("connected")
    assert program.terminate() == 0
    assert len(rest.requests) == 1


def test_sigterm_while_the_listing_cannot_be_had(start: Callable[..., Any], rest: Rest, tmp_path: Path) -> None:
    rest.answers = [(429, {"Retry-After": "100"}, "")]
    program = start("okx", "--symbols", "BTC/USDT", "--listing", rest.url, "--cache", str(tmp_path))
    assert "HTTP 429; next attempt in 100.0 s; --listing FILE does without" in program.next_status("listing")
    assert program.terminate() == 0
    assert program.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--url", "ws://ws.kraken.com/v2"], "write wss://"),
        (["--listing", "http://api.kraken.com/0/public/AssetPairs"], "write https://"),
        (["--url", "wss://beta-ws.kraken.com/v2"], "is a test endpoint"),
        (["--url", "wss://user:password@testnet.example/v2?key=secret"], "wss://testnet.example/v2 is a test endpoint"),
    ],
)
def test_production_refuses_test_endpoints_and_what_is_not_encrypted(
    arguments: list[str], hint: str, run: Callable[..., Any]
) -> None:
    result = run("kraken", "--symbols", "BTC/USD", *arguments, FINSTREAM_MODE="production")
    assert result.returncode == 78
    assert hint in result.stderr
    assert "mode: simulation" in result.stderr
    assert "password" not in result.stderr
    assert "secret" not in result.stderr


def test_production_refuses_test_endpoints_whose_names_do_not_say_it(run: Callable[..., Any]) -> None:
    result = run("okx", "--symbols", "BTC/USDT", "--url", "wss://wspap.okx.com:8443/ws/v5/public", FINSTREAM_MODE="production")
    assert result.returncode == 78
    assert "is a test endpoint" in result.stderr


def test_a_missing_library_is_named(rest: Rest, told: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(MisconfiguredError, match=r"finstream\[ingestors\]"):
        Listings(rest.url, read_listing, None).obtain([], told)


def test_of_a_symbol_that_is_not_traded_its_silence_is_explained(
    local: Callable[..., LocalBinance], start: Callable[..., Any], tmp_path: Path
) -> None:
    listing = tmp_path / "exchangeInfo.json"
    listing.write_text(
        '{"symbols":[{"symbol":"ABCUSD","baseAsset":"ABC","quoteAsset":"USD","status":"BREAK"},'
        '{"symbol":"DEFUSD","baseAsset":"DEF","quoteAsset":"USD","status":"TRADING"}]}'
    )
    server = local(LocalBinance, listed=["abcusd", "defusd"])
    program = start("binance", "--symbols", "ABC/USD,DEF/USD", "--listing", str(listing), "--url", server.url)
    assert program.next_status("listing") == "not traded now by the venue's listing, so nothing may come: ABC/USD (BREAK)"
    assert program.next_status("connected")
    assert program.terminate() == 0

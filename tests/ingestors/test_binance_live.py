"""The binance ingestor against a local venue that speaks Binance's protocol over a real socket."""

from __future__ import annotations

import array
import fcntl
import itertools
import json
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import ServerConnection

SYMBOLS = "ABC/USD,XYZ/USD"


def trade(trade_id: int) -> str:
    data = {
        "e": "trade", "E": 1700000000001, "s": "ABCUSD", "t": trade_id, "p": "1.50", "q": "2.0",
        "T": 1700000000000, "m": False, "M": True,
    }
    return json.dumps({"stream": "abcusd@trade", "data": data})


QUOTE = json.dumps(
    {"stream": "abcusd@bookTicker", "data": {"u": 1, "s": "ABCUSD", "b": "1.4", "B": "5", "a": "1.6", "A": "6"}}
)


def acknowledge(connection: ServerConnection) -> dict[str, Any]:
    request = json.loads(connection.recv())
    connection.send(json.dumps({"result": None, "id": request["id"]}))
    return dict(request)


def hold(connection: ServerConnection) -> None:
    while True:
        connection.recv()


def test_it_subscribes_and_tells_trades_and_quotes(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    requests: list[Any] = []

    def script(connection: ServerConnection) -> None:
        requests.append(acknowledge(connection))
        connection.send(QUOTE)
        connection.send(trade(7))
        hold(connection)

    before_ns = time.time_ns()
    program = start("binance", "--symbols", SYMBOLS, "--url", venue(script).url)
    assert program.next_status("connecting").startswith("ws://127.0.0.1")
    program.next_status("connected")
    assert program.next_status("subscribed") == "request 1 is accepted"
    quote, tick = program.next_tick(), program.next_tick()
    assert requests == [
        {
            "method": "SUBSCRIBE", "id": 1,
            "params": ["abcusd@trade", "abcusd@bookTicker", "xyzusd@trade", "xyzusd@bookTicker"],
        }
    ]
    assert before_ns < quote.pop("ts") < time.time_ns()
    quoted = {"bid_price": "1.4", "bid_volume": "5", "ask_price": "1.6", "ask_volume": "6"}
    common = {"symbol": "ABC/USD", "exchange": "binance", "raw_symbol": "ABCUSD"}
    assert quote == {**common, **quoted, "quote_time": "local"}
    assert tick == {
        **common, **quoted, "price": "1.50", "volume": "2.0", "side": "buy", "trade_id": 7, "ts": 1700000000000,
    }
    assert program.terminate() == 0
    assert program.stderr == ""


def test_many_symbols_take_few_requests_within_the_rate_limit(
    venue: Callable[..., Any], start: Callable[..., Any]
) -> None:
    requests: list[tuple[float, Any]] = []

    def script(connection: ServerConnection) -> None:
        for _ in range(2):
            request = acknowledge(connection)
            requests.append((time.monotonic(), request))
            connection.send(trade(request["id"]))  # data come while it still subscribes
        hold(connection)

    symbols = ",".join(f"S{number}/USD" for number in range(149)) + ",ABC/USD"
    program = start("binance", "--symbols", symbols, "--url", venue(script).url)
    assert [program.next_tick()["trade_id"], program.next_tick()["trade_id"]] == [1, 2]
    (first_s, first), (second_s, second) = requests
    assert (len(first["params"]), len(second["params"])) == (200, 100)
    assert len({*first["params"], *second["params"]}) == 300
    assert second_s - first_s > 0.1


def test_a_refused_request_is_told_and_the_connection_lives_on(
    venue: Callable[..., Any], start: Callable[..., Any]
) -> None:
    def script(connection: ServerConnection) -> None:
        connection.recv()
        connection.send('{"code":2,"msg":"Invalid request: unknown variant"}')
        connection.send(trade(1))
        hold(connection)

    program = start("binance", "--symbols", SYMBOLS, "--url", venue(script).url)
    assert program.next_status("error") == "Binance refuses a request: Invalid request: unknown variant (code 2)"
    assert program.next_tick()["trade_id"] == 1


def test_the_venues_pings_are_answered(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    def script(connection: ServerConnection) -> None:
        acknowledge(connection)
        assert connection.ping(b"1700000000000").wait(10)
        connection.send(trade(1))
        hold(connection)

    program = start("binance", "--symbols", SYMBOLS, "--url", venue(script).url)
    assert program.next_tick()["trade_id"] == 1


def test_after_a_drop_it_connects_again_and_the_old_quote_is_forgotten(
    venue: Callable[..., Any], start: Callable[..., Any]
) -> None:
    def first(connection: ServerConnection) -> None:
        acknowledge(connection)
        connection.send(QUOTE)
        connection.send(trade(1))
        connection.socket.shutdown(2)  # no close frame: the line is cut

    def second(connection: ServerConnection) -> None:
        acknowledge(connection)
        connection.send(trade(2))
        connection.close(1008, "too many requests")

    def third(connection: ServerConnection) -> None:
        acknowledge(connection)
        connection.send(trade(3))
        hold(connection)

    program = start("binance", "--symbols", SYMBOLS, "--url", venue(first, second, third).url)
    program.next_tick()
    assert program.next_tick()["bid_price"] == "1.4"
    assert "1 trades, 1 quotes" in program.next_status("reconnecting")
    tick = program.next_tick()
    assert tick["trade_id"] == 2
    assert "bid_price" not in tick
    assert "too many requests" in program.next_status("reconnecting")
    assert program.next_tick()["trade_id"] == 3


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_an_announced_shutdown_is_followed_by_a_new_connection_at_once(
    is_wrapped: bool, venue: Callable[..., Any], start: Callable[..., Any]
) -> None:
    def first(connection: ServerConnection) -> None:
        acknowledge(connection)
        event = {"e": "serverShutdown", "E": 1770123456789}
        connection.send(json.dumps({"stream": "!serverShutdown", "data": event} if is_wrapped else event))
        hold(connection)

    def second(connection: ServerConnection) -> None:
        acknowledge(connection)
        connection.send(trade(2))
        hold(connection)

    program = start("binance", "--symbols", SYMBOLS, "--url", venue(first, second).url)
    assert "next attempt in 0.0 s" in program.next_status("reconnecting")
    assert program.next_tick()["trade_id"] == 2


def test_a_silent_venue_is_left(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    def second(connection: ServerConnection) -> None:
        acknowledge(connection)
        connection.send(trade(2))
        hold(connection)

    server = venue(hold, second)
    program = start("binance", "--symbols", SYMBOLS, "--url", server.url, "--idle-s", "0.3")
    assert program.next_status("reconnecting").startswith("silent for 0.3 s")
    assert program.next_tick()["trade_id"] == 2


def test_a_refusal_is_told_and_retry_after_is_kept(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    def script(connection: ServerConnection) -> None:
        acknowledge(connection)
        connection.send(trade(1))
        hold(connection)

    refusal = Response(429, "Too Many Requests", Headers({"Retry-After": "1", "Content-Length": "0"}), b"")
    program = start("binance", "--symbols", SYMBOLS, "--url", venue(script, refusals=[refusal]).url)
    detail = program.next_status("reconnecting")
    refused_s = time.monotonic()
    assert "HTTP 429; next attempt in 1.0 s" in detail
    assert program.next_tick()["trade_id"] == 1
    assert time.monotonic() - refused_s > 0.9


def test_a_venue_that_is_not_there_is_tried_again(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    server = venue()
    server.close()
    program = start("binance", "--symbols", SYMBOLS, "--url", server.url)
    for _ in range(2):
        assert program.next_status("reconnecting").startswith("cannot connect: ")


def test_on_sigterm_the_socket_is_closed_in_form(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    codes: list[int | None] = []
    closed = threading.Event()

    def script(connection: ServerConnection) -> None:
        acknowledge(connection)
        connection.send(trade(1))
        try:
            hold(connection)
        except ConnectionClosed as error:
            codes.append(error.rcvd.code if error.rcvd else None)
            closed.set()

    program = start("binance", "--symbols", SYMBOLS, "--url", venue(script).url)
    program.next_tick()
    assert program.terminate() == 0
    assert closed.wait(5)
    assert codes == [1000]
    assert program.stderr == ""


def test_sigterm_during_the_back_off(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    refusal = Response(418, "banned", Headers({"Retry-After": "120", "Content-Length": "0"}), b"")
    program = start("binance", "--symbols", SYMBOLS, "--url", venue(refusals=[refusal]).url)
    assert "next attempt in 120.0 s" in program.next_status("reconnecting")
    assert program.terminate() == 0


@pytest.fixture
def flooded(venue: Callable[..., Any], until: Callable[..., None]) -> Iterator[subprocess.Popen[bytes]]:
    """An ingestor whose output nobody reads, under more trades than its pipe takes."""

    def script(connection: ServerConnection) -> None:
        acknowledge(connection)
        for trade_id in itertools.count(1):
            connection.send(trade(trade_id))

    command = [sys.executable, "-m", "finstream_ingestors.binance", "--symbols", SYMBOLS, "--url", venue(script).url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            until(lambda: is_full(process.stdout))
            yield process
        finally:
            process.kill()


def is_full(pipe: IO[bytes] | None) -> bool:
    """Whether a good part of a pipe's 64 KiB is taken and nothing is added any more."""
    assert pipe is not None
    waiting = array.array("i", [0])
    readings = set()
    for _ in range(20):
        fcntl.ioctl(pipe.fileno(), termios.FIONREAD, waiting)
        readings.add(waiting[0])
        time.sleep(0.01)
    return len(readings) == 1 and waiting[0] > 16_384


def test_sigterm_while_the_output_is_stuck(flooded: subprocess.Popen[bytes]) -> None:
    flooded.send_signal(signal.SIGTERM)
    assert flooded.wait(5) == 0
    assert flooded.stderr is not None
    assert flooded.stderr.read() == b""


def test_a_reader_that_leaves_ends_it_quietly(flooded: subprocess.Popen[bytes]) -> None:
    assert flooded.stdout is not None
    assert flooded.stderr is not None
    flooded.stdout.close()
    assert flooded.wait(5) == 0
    assert flooded.stderr.read() == b""

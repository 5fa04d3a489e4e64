"""The coinbase ingestor against a local venue that speaks both of Coinbase's protocols over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from websockets.sync.server import ServerConnection

SYMBOLS = "ABC/USD"


def hold(connection: ServerConnection) -> None:
    while True:
        connection.recv()


def match(trade_id: int, kind: str = "match") -> str:
    return json.dumps(
        {
            "type": kind, "trade_id": trade_id, "maker_order_id": "m", "taker_order_id": "t", "side": "sell",
            "size": "0.10", "price": "10.50", "product_id": "ABC-USD", "sequence": 5,
            "time": "2026-01-02T03:04:05.000006Z",
        }
    )


def ticker() -> str:
    return json.dumps(
        {
            "type": "ticker", "product_id": "ABC-USD", "price": "10.50", "best_bid": "10.49", "best_bid_size": "1",
            "best_ask": "10.51", "best_ask_size": "2", "time": "2026-01-02T03:04:05Z", "trade_id": 1, "last_size": "1",
        }
    )


def subscribed(connection: ServerConnection) -> Any:
    request = json.loads(connection.recv())
    channels = [{"name": name, "product_ids": ["ABC-USD"], "account_ids": None} for name in request["channels"]]
    connection.send(json.dumps({"type": "subscriptions", "channels": channels}))
    return request


def test_exchange_subscribes_within_one_request(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    requests: list[Any] = []

    def script(connection: ServerConnection) -> None:
        requests.append(subscribed(connection))
        for message in (ticker(), match(6, "last_match"), match(7), ticker()):
            connection.send(message)
        hold(connection)

    program = start("coinbase", "--symbols", SYMBOLS, "--url", venue(script).url)
    assert program.next_status("subscribed") == "matches, ticker, heartbeat"
    tick, quote = program.next_tick(), program.next_tick()
    assert requests == [
        {"type": "subscribe", "product_ids": ["ABC-USD"], "channels": ["matches", "ticker", "heartbeat"]}
    ]
    assert (tick["trade_id"], tick["side"], tick["price"], tick["volume"]) == (7, "buy", "10.50", "0.10")
    assert (tick["bid_price"], tick["ask_volume"]) == ("10.49", "2")
    assert "price" not in quote
    assert program.terminate() == 0


def test_exchange_tells_what_it_missed_between_two_connections_and_nothing_twice(
    venue: Callable[..., Any], start: Callable[..., Any]
) -> None:
    def script(*messages: str) -> Callable[[ServerConnection], None]:
        def play(connection: ServerConnection) -> None:
            subscribed(connection)
            for message in messages:
                connection.send(message)

        return play

    server = venue(
        script(match(5, "last_match"), match(6)),
        script(match(6, "last_match"), match(7)),  # nothing new happened meanwhile
        script(match(9, "last_match"), match(9), match(10)),  # something did
    )
    program = start("coinbase", "--symbols", SYMBOLS, "--url", server.url)
    assert [program.next_tick()["trade_id"] for _ in range(4)] == [6, 7, 9, 10]


def test_exchange_errors_are_told(venue: Callable[..., Any], start: Callable[..., Any]) -> None:
    def script(connection: ServerConnection) -> None:
        connection.recv()
        connection.send('{"type":"error","message":"Failed to subscribe","reason":"ABC-USD is not a valid product"}')
        hold(connection)

    program = start("coinbase", "--symbols", SYMBOLS, "--url", venue(script).url)
    assert program.next_status("error") == "Coinbase: Failed to subscribe: ABC-USD is not a valid product"


def test_exchange_heartbeats_keep_the_connection_and_are_told_once_a_second(
    venue: Callable[..., Any], start: Callable[..., Any]
) -> None:
    beat = '{"type":"heartbeat","sequence":1,"last_trade_id":1,"product_id":"ABC-USD","time":"2026-01-02T03:04:05Z"}'

    def script(connection: ServerConnection) -> None:
        subscribed(connection)
        for _ in range(50):
            connection.send(beat)
        connection.send(match(7))
        hold(connection)

    program = start("coinbase", "--symbols", SYMBOLS, "--url", venue(script).url)
    program.next_tick()
    assert sum(line.get("type") == "heartbeat" for line in program.lines) == 1


class Advanced:
    """The server's side of one connection: numbers its messages and can lose some."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self.number = 0

    def send(self, channel: str, events: object) -> None:
        envelope = {
            "channel": channel, "timestamp": "2026-01-02T03:04:05.123456789Z",
            "sequence_num": self.number, "events": events,
        }
        self.number += 1
        self._connection.send(json.dumps(envelope))

    def trades(self, kind: str, *ids: int) -> None:
        newest_first = [
            {
                "trade_id": str(number), "product_id": "ABC-USD", "price": "10.50", "size": "0.1", "side": "BUY",
                "time": "2026-01-02T03:04:05.00001Z",
            }
            for number in sorted(ids, reverse=True)
        ]
        self.send("market_trades", [{"type": kind, "trades": newest_first}])


def test_advanced_subscribes_channel_by_channel_and_takes_data_before_the_acknowledgement(
    venue: Callable[..., Any], start: Callable[..., Any]
) -> None:
    requests: list[Any] = []

    def script(connection: ServerConnection) -> None:
        advanced = Advanced(connection)
        requests.append(json.loads(connection.recv()))
        advanced.trades("snapshot", 1, 2, 3)
        advanced.trades("update", 4, 5)
        advanced.send("subscriptions", [{"subscriptions": {"market_trades": ["ABC-USD"]}}])
        requests.extend(json.loads(connection.recv()) for _ in range(2))
        advanced.number += 2
        advanced.trades("update", 6)
        hold(connection)

    program = start("coinbase", "--feed", "advanced", "--symbols", SYMBOLS, "--url", venue(script).url)
    ticks = [program.next_tick() for _ in range(3)]
    assert [tick["trade_id"] for tick in ticks] == ["4", "5", "6"]
    assert {tick["side"] for tick in ticks} == {"sell"}
    assert requests == [
        {"type": "subscribe", "product_ids": ["ABC-USD"], "channel": channel}
        for channel in ("market_trades", "ticker", "heartbeats")
    ]
    states = [line["state"] for line in program.lines if line.get("type") == "status"]
    assert states == ["connecting", "connected", "subscribed", "gap"]


def test_advanced_tells_what_it_missed_between_two_connections(
    venue: Callable[..., Any], start: Callable[..., Any]
) -> None:
    def first(connection: ServerConnection) -> None:
        connection.recv()
        advanced = Advanced(connection)
        advanced.trades("snapshot", 1, 2, 3)
        advanced.trades("update", 4)

    def second(connection: ServerConnection) -> None:
        connection.recv()
        advanced = Advanced(connection)
        advanced.trades("snapshot", 2, 3, 4, 5, 6)
        advanced.trades("update", 7)
        hold(connection)

    program = start("coinbase", "--feed", "advanced", "--symbols", SYMBOLS, "--url", venue(first, second).url)
    assert [program.next_tick()["trade_id"] for _ in range(4)] == ["4", "5", "6", "7"]
    assert not [line for line in program.lines if line.get("state") == "gap"]

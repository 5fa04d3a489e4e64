"""Kraken's WebSocket API v2 on a local port, by its documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from local_venue import LocalVenue, Session

TIMES = {"time_in": "2026-07-07T23:00:03.501510Z", "time_out": "2026-07-07T23:00:03.501553Z"}


class LocalKraken(LocalVenue):
    channels = ("ticker", "trade")
    requests_left: int | None = None
    """Of requests to come, how many are answered before the limit on messages is reached; None for all."""

    def greet(self, session: Session) -> None:
        status = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 14949390454975033707}
        session.send({"channel": "status", "type": "update", "data": [status]})

    def answer(self, session: Session, text: str) -> None:
        request = json.loads(text)
        echo = {"req_id": request["req_id"]} if "req_id" in request else {}
        if request["method"] == "ping":
            session.send({"method": "pong", **echo, **TIMES})
            return
        if self.requests_left is not None:
            self.requests_left -= 1
            if self.requests_left < 0:
                self.requests_left = None
                session.send({"Error": "Exceeded msg rate"})
                return
        params = request["params"]
        for symbol in params["symbol"]:
            if symbol not in self.listed:
                error = f"Currency pair not supported {symbol}"
                session.send({"error": error, "method": "subscribe", **echo, "success": False, "symbol": symbol, **TIMES})
                continue
            told = {"channel": params["channel"], "snapshot": params["snapshot"], "symbol": symbol}
            session.send({"method": "subscribe", **echo, "result": told, "success": True, **TIMES})
            session.subscribed.add((params["channel"], symbol))
        session.send({"channel": "heartbeat"})

    def key_of(self, message: Any) -> tuple[str, str] | None:
        return (message["channel"], message["data"][0]["symbol"]) if message.get("channel") in self.channels else None


def with_tickers(lines: Iterable[str]) -> Iterator[str]:
    """A recording of book and trades with a ticker message wherever the best bid or ask of the book changes: there is no
    long recording of the ticker channel, and this is what it would have said. Numbers keep their text."""
    books: dict[str, dict[str, dict[Decimal, tuple[str, str]]]] = {}
    last: dict[str, list[str]] = {}
    for line in lines:
        yield line
        message = json.loads(line, parse_float=str, parse_int=str)
        if message.get("channel") != "book":
            continue
        (data,) = message["data"]
        book = books.setdefault(data["symbol"], {"bids": {}, "asks": {}})
        for side in book:
            for level in data[side]:
                if Decimal(level["qty"]):
                    book[side][Decimal(level["price"])] = (level["price"], level["qty"])
                else:
                    book[side].pop(Decimal(level["price"]), None)
        if not book["bids"] or not book["asks"]:
            continue
        best = [*book["bids"][max(book["bids"])], *book["asks"][min(book["asks"])]]
        if best != last.get(data["symbol"]):
            last[data["symbol"]] = best
            names = ("bid", "bid_qty", "ask", "ask_qty")
            numbers = ",".join(f'"{name}":{text}' for name, text in zip(names, best, strict=True))
            stamp = data.get("timestamp", "2026-07-07T23:00:03.000000Z")
            ticker = f'{{"symbol":"{data["symbol"]}",{numbers},"last":1.0,"timestamp":"{stamp}"}}'
            yield f'{{"channel":"ticker","type":"update","data":[{ticker}]}}'

"""Binance's spot streams on a local port, by its documentation."""

from __future__ import annotations

import json
import time
from typing import Any

from local_venue import LocalVenue, Session

MESSAGES_A_SECOND = 5


class LocalBinance(LocalVenue):
    """Symbols are named in lower case in streams, as ``listed`` must name them."""

    channels = ("trade", "bookTicker")

    def answer(self, session: Session, text: str) -> None:
        lately = [arrival for arrival in session.arrivals_s if arrival > time.monotonic() - 1.0]
        if len(lately) > MESSAGES_A_SECOND:
            session.connection.close(1008, "Too many requests")
            return
        try:
            request = json.loads(text)
        except ValueError:
            session.send({"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"})
            return
        if request.get("method") != "SUBSCRIBE":
            session.send({"code": 2, "msg": f"Invalid request: unknown variant `{request.get('method')}`"})
            return
        for stream in request["params"]:  # one that does not exist is accepted and stays silent
            symbol, _, channel = stream.partition("@")
            session.subscribed.add((channel, symbol))
        session.send({"result": None, "id": request["id"]})

    def key_of(self, message: Any) -> tuple[str, str] | None:
        symbol, _, channel = message.get("stream", "").partition("@")
        return (channel, symbol) if channel in self.channels else None

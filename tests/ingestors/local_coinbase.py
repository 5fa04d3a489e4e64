"""Both of Coinbase's feeds on a local port, by their documentation."""

from __future__ import annotations

import json
from typing import Any

from local_venue import LocalVenue, Session

NEEDS_KEY = {"level2", "level3", "full"}


class LocalExchange(LocalVenue):
    channels = ("matches", "ticker", "heartbeat")

    def answer(self, session: Session, text: str) -> None:
        request = json.loads(text)
        for product in request["product_ids"]:
            if product not in self.listed:
                reason = f"{product} is not a valid product"
                session.send({"type": "error", "message": "Failed to subscribe", "reason": reason})
                return
        if NEEDS_KEY & set(request["channels"]):
            session.send({"type": "error", "message": "Failed to subscribe", "reason": "level2 requires authentication"})
            return
        session.subscribed |= {(channel, product) for channel in request["channels"] for product in request["product_ids"]}
        names = sorted({channel for channel, _ in session.subscribed})
        channels = [
            {"name": name, "product_ids": sorted(product for channel, product in session.subscribed if channel == name),
             "account_ids": None}
            for name in names
        ]  # fmt: skip
        session.send({"type": "subscriptions", "channels": channels})

    def key_of(self, message: Any) -> tuple[str, str] | None:
        channel = {"match": "matches", "last_match": "matches"}.get(message["type"], message["type"])
        return (channel, message["product_id"]) if channel in self.channels else None


class LocalAdvanced(LocalVenue):
    """One channel a request. Numbers all that it sends on a connection, recordings anew; ``lose`` names messages, by their
    number, that never leave."""

    channels = ("market_trades", "ticker")
    lose: frozenset[int] = frozenset()

    def __init__(self, *acts: Any, **options: Any) -> None:
        self._sent: dict[int, int] = {}
        super().__init__(*acts, **options)

    def tell(self, session: Session, channel: str, events: Any, timestamp: str = "2026-08-09T21:05:48.854840045Z") -> None:
        number = self._sent.get(session.number, 0)
        self._sent[session.number] = number + 1
        if number not in self.lose:
            envelope = {"channel": channel, "timestamp": timestamp, "sequence_num": number, "events": events}
            session.send(json.dumps(envelope))

    def answer(self, session: Session, text: str) -> None:
        request = json.loads(text)
        channel = request["channel"]
        for product in request["product_ids"]:
            if product in self.listed or channel == "heartbeats":
                session.subscribed.add((channel, product))
        told: dict[str, list[str]] = {}
        for name, product in sorted(session.subscribed):
            told.setdefault(name, []).append(product)
        self.tell(session, "subscriptions", [{"subscriptions": told}])

    def play(self, session: Session, lines: Any) -> None:
        for line in lines:
            message = json.loads(line)
            if message["channel"] in {*self.channels, "heartbeats", "l2_data"}:
                self.tell(session, message["channel"], message["events"], message["timestamp"])

    def key_of(self, message: Any) -> tuple[str, str] | None:
        raise NotImplementedError

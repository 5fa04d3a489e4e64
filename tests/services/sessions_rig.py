"""Sessions with everything around them real, but for the supervisor: clients with sockets, ingestors with pipes."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.pump import Framing, Pump
from finstream.services.bus import Bus
from finstream.services.sessions import Sessions
from finstream.services.store import Store
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import Receipt
from finstream.vocabulary.settings import Limits

__all__ = ["NOW_US", "Demand", "Feed", "Subscriber", "World", "refused"]

NOW_US = 1_700_000_000_000_000


class Demand:
    """Counts like the supervisor's, and remembers every call."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.calls: list[str] = []

    def want(self, asset: str) -> None:
        self.counts[asset] += 1
        self.calls.append(f"+{asset}")

    def unwant(self, asset: str) -> None:
        assert self.counts[asset] > 0, "nobody wants it"
        self.counts[asset] -= 1
        self.calls.append(f"-{asset}")

    def wanted(self) -> dict[str, int]:
        return {asset: count for asset, count in self.counts.items() if count}


class Subscriber:
    """The two ends of a connection: an outbox of the pump's, and the socket that its client reads."""

    def __init__(self, pump: Pump, ours: socket.socket, theirs: socket.socket) -> None:
        self.pump = pump
        self.outbox = pump.add_outbox(ours.fileno(), lambda _closed: None, framing=Framing.LINES)
        self.told: list[str] = []
        self._theirs = trio.socket.from_stdlib_socket(theirs)
        self._rest = b""
        self._lines: list[bytes] = []

    def say(self, text: str) -> None:
        """What the server pushes: an answer."""
        assert self.pump.push(self.outbox, text.encode() + b"\n")

    def close(self, reason: str) -> None:
        self.told.append(reason)
        self.say(f"goodbye {reason}")

    async def next(self) -> str:
        """The next tick as ``asset:symbol``, or what was said."""
        with trio.fail_after(5):
            while not self._lines:
                *self._lines, self._rest = (self._rest + await self._theirs.recv(65_536)).split(b"\n")
        line = self._lines.pop(0)
        if not line.startswith(b"{"):
            return line.decode()
        message = msgspec.json.decode(line)
        return f"{message['asset']}:{message['symbol']}"


class Feed:
    """An ingestor's pipe."""

    def __init__(self, pump: Pump, name: str) -> None:
        self.asset = pump.add_asset(name)
        self._reading, self._writing = os.pipe()
        self.pump = pump
        self.source = pump.add_source(self.asset, self._reading, lambda _event: None)

    def tick(self, symbol: str = "BTC/USDT") -> None:
        os.write(self._writing, b'{"symbol":"%s","price":"1","ts":1700000000}\n' % symbol.encode())

    def tick_through(self, symbol: str) -> None:
        """Returns once the pump has published it. Blocks on purpose: nothing else of Trio's runs in between."""
        before = self.pump.asset_statistics(self.asset).ticks
        self.tick(symbol)
        deadline = time.monotonic() + 5
        while self.pump.asset_statistics(self.asset).ticks == before:
            assert time.monotonic() < deadline
            time.sleep(0.0005)

    def end(self) -> None:
        self.pump.remove_source(self.source)
        os.close(self._reading)
        os.close(self._writing)


class World:
    """Sessions with everything around them real, but for the supervisor."""

    def __init__(self, pump: Pump, bus: Bus, logger: Any, path: Path, pairs: Any, **settings: Any) -> None:
        self.pump = pump
        self.assets = {"binance", "kraken"}
        self.demand = Demand()
        self.now_us = NOW_US
        limits = Limits(clients=settings.pop("clients", 100), topics_per_client=settings.pop("topics", 10))
        self.store = Store(path, logger=logger, most_clients=limits.clients)
        self.sessions = Sessions(
            pump=pump,
            demand=self.demand,
            bus=bus,
            store=self.store,
            logger=logger,
            limits=limits,
            known_assets=lambda: self.assets,
            clock=lambda: self.now_us,
            **({"reconnect_window_s": 120.0} | settings),
        )
        self._pairs = pairs

    def subscriber(self) -> Subscriber:
        return Subscriber(self.pump, *self._pairs())

    def connected(self, *topics: str) -> tuple[str, Subscriber]:
        """A client with these topics and an open connection."""
        uuid = self.sessions.register().uuid
        self.sessions.subscribe(uuid, list(topics))
        subscriber = self.subscriber()
        self.sessions.connect(uuid, subscriber.outbox, "peer", subscriber.close)
        return uuid, subscriber

    def receipt(self, reason: str = "connection_lost") -> Receipt:
        return Receipt(reason=reason, detail="for the test", at=self.now_us, queued_messages=3)


def refused(problem: str, field: str | None = None) -> Any:
    return pytest.raises(RequestError, check=lambda error: (error.problem, error.field) == (problem, field))

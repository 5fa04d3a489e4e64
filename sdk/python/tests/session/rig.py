"""A session that a test drives by hand: no sockets, no clock, no engine. A WebSocket library of others plays the engine's side."""

from __future__ import annotations

import json
from typing import Any

from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from finstream_client import Backoff, Choices, Refused
from finstream_client._session import Session
from finstream_client._steps import Call, Dial, Exchange

PLAIN = Choices()


class Rig:
    """A session, and an engine that does what the test says."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        self.session = Session("engine:8081", clock=lambda: self.now, backoff=Backoff(1, 8), **options)
        self.engine = ServerProtocol()

    def register(self, uuid: str = "u1") -> None:
        assert self.session.step == Call("POST", "/v1/clients", b"{}")
        self.session.answered(201, json.dumps({"uuid": uuid}).encode(), no_problem)

    def shake_hands(self) -> None:
        assert self.session.step == Dial()
        self.session.dialled()
        self.engine = ServerProtocol()
        assert isinstance(self.session.step, Exchange)
        self.engine.receive_data(self.session.data_to_send())
        (request,) = self.engine.events_received()
        self.engine.send_response(self.engine.accept(request))  # type: ignore[arg-type]
        self.carry()
        assert self.engine.state is OPEN

    def welcome(self, *topics: str, epoch: str = "e1", **more: Any) -> None:
        self.say(type="welcome", protocol=1, epoch=epoch, client=self.session.uuid, topics=list(topics), **more)

    def say(self, **message: Any) -> None:
        self.engine.send_text(json.dumps(message).encode())
        self.carry()

    def tick(self, seq: int, asset: str = "a") -> None:
        self.say(type="tick", asset=asset, seq=seq, symbol="X", ts_event=1, ts_recv=2, price="1")

    def requests(self) -> list[dict[str, Any]]:
        self.engine.receive_data(self.session.data_to_send())
        return [json.loads(event.data) for event in self.engine.events_received()]  # type: ignore[union-attr]

    def answer(self, request: dict[str, Any]) -> None:
        self.say(**{**request, "type": request.pop("op") + "d"})

    def connected(self, *wanted: str, **options: Any) -> None:
        self.session.subscribe(wanted, Choices(**options))
        self.register()
        self.shake_hands()
        self.welcome()
        for request in self.requests():
            self.answer(request)
        self.session.take()

    def taken(self, *kinds: type) -> list[Any]:
        return [item for item in self.session.take() if not kinds or isinstance(item, kinds)]

    def break_off(self) -> None:
        self.session.received(b"")

    def lose(self) -> None:
        """The connection, for no reason that anybody knows of; it is time to dial again."""
        self.break_off()
        self.no_receipt()
        self.session.waited()

    def no_receipt(self) -> None:
        assert isinstance(self.session.step, Call)
        assert self.session.step.method == "GET"
        self.session.answered(404, b"{}", no_problem)

    def carry(self) -> None:
        for data in self.engine.data_to_send():
            if data:
                self.session.received(data)


def no_problem() -> Refused:
    raise AssertionError


def refused(status: int, problem: str = "", **more: Any) -> Any:
    return lambda: Refused(problem or "not-ready", "…", status=status, **more)

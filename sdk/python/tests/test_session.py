"""The session, driven by hand: no sockets, no clock, no engine. A WebSocket library of others plays the engine's side."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.frames import Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from finstream_client import (
    Backoff,
    Choices,
    Connected,
    Disconnected,
    Ended,
    Lost,
    ProtocolViolation,
    Refused,
    Registered,
    Retrying,
    Tick,
    Unreachable,
    Welcome,
)  # fmt: skip
from finstream_client._problems import read_problem
from finstream_client._session import Session
from finstream_client._steps import Call, Dial, Exchange, Pause

PLAIN = Choices()


class Rig:
    """A session, and an engine that does what the test says."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        self.session = Session("engine:8081", clock=lambda: self.now, backoff=Backoff(1, 8), **options)
        self.engine = ServerProtocol()

    def register(self, uuid: str = "u1") -> None:
        assert self.session.step == Call("POST", "/v1/clients", b"{}")
        self.session.answered(201, json.dumps({"uuid": uuid}).encode(), _no_problem)

    def shake_hands(self) -> None:
        assert self.session.step == Dial()
        self.session.dialled()
        self.engine = ServerProtocol()
        assert isinstance(self.session.step, Exchange)
        self.engine.receive_data(self.session.data_to_send())
        (request,) = self.engine.events_received()
        self.engine.send_response(self.engine.accept(request))  # type: ignore[arg-type]
        self._carry()
        assert self.engine.state is OPEN

    def welcome(self, *topics: str, epoch: str = "e1", **more: Any) -> None:
        self.say(type="welcome", protocol=1, epoch=epoch, client=self.session.uuid, topics=list(topics), **more)

    def say(self, **message: Any) -> None:
        self.engine.send_text(json.dumps(message).encode())
        self._carry()

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

    def no_receipt(self) -> None:
        assert isinstance(self.session.step, Call)
        assert self.session.step.method == "GET"
        self.session.answered(404, b"{}", _no_problem)

    def _carry(self) -> None:
        for data in self.engine.data_to_send():
            if data:
                self.session.received(data)


def _no_problem() -> Refused:
    raise AssertionError


def refused(status: int, problem: str = "", **more: Any) -> Any:
    return lambda: Refused(problem or "not-ready", "…", status=status, **more)


def test_from_registration_to_ticks() -> None:
    rig = Rig()
    rig.session.subscribe(["a"], PLAIN)
    rig.session.subscribe(["b:X"], Choices("skip"))
    rig.register()
    rig.shake_hands()
    assert rig.taken() == [Registered(uuid="u1", why="new")]
    rig.welcome()
    first, second = rig.requests()
    assert first == {"op": "subscribe", "topics": ["a"], "id": 1}
    assert second == {"op": "subscribe", "topics": ["b:X"], "id": 2, "policy": "skip"}
    rig.tick(7)
    connected, welcome, tick = rig.taken()
    assert connected == Connected(uuid="u1", epoch="e1", new_epoch=False)
    assert (type(welcome), type(tick)) == (Welcome, Tick)


def test_an_engine_of_later_may_say_more_about_a_registration() -> None:
    rig = Rig()
    rig.session.answered(201, b'{"uuid":"u1","expires_at":7}', _no_problem)
    assert rig.session.uuid == "u1"


def test_a_length_that_is_no_number_is_none() -> None:
    rig = Rig(uuid="u0")
    rig.session.dialled()
    rig.session.received(b"HTTP/1.1 403 \r\nContent-Length: many\r\n\r\n")
    with pytest.raises(Refused, match="Forbidden"):
        rig.session.take()


def test_nothing_answers_at_first() -> None:
    rig = Rig()
    rig.session.failed(Unreachable("http://…", "refused"))
    with pytest.raises(Unreachable, match="refused"):
        rig.session.take()


def test_an_engine_that_starts_is_waited_for() -> None:
    rig = Rig()
    rig.session.answered(503, b"", refused(503))
    assert isinstance(rig.session.step, Pause)
    assert 0.5 <= rig.session.step.seconds <= 1
    rig.session.waited()
    rig.session.answered(503, b"", refused(503, retry_after_s=7.0))
    assert rig.session.step == Pause(7.0)
    rig.session.waited()
    rig.register()


def test_a_pause_that_is_asked_for_has_bounds() -> None:
    rig = Rig()
    rig.session.answered(503, b"", refused(503, retry_after_s=0.0))
    assert isinstance(rig.session.step, Pause)
    assert rig.session.step.seconds >= 0.5  # or it would ask without end
    rig.session.waited()
    rig.session.answered(503, b"", refused(503, retry_after_s=1e12))
    assert rig.session.step == Pause(3600.0)


def test_the_next_loop_tries_again() -> None:
    rig = Rig()
    rig.session.begin(["a"], PLAIN)
    rig.session.failed(Unreachable("http://…", "refused"))
    with pytest.raises(Unreachable):
        rig.session.take()
    rig.session.leave()
    rig.session.begin(["a"], PLAIN)
    assert rig.taken() == []
    rig.register()
    rig.shake_hands()
    rig.welcome()
    assert rig.taken(Welcome)


def test_too_many_requests_are_no_end() -> None:
    rig = Rig()
    rig.session.answered(429, b"", refused(429, "http-429", retry_after_s=3.0))
    assert rig.session.step == Pause(3.0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 \r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 302 \r\nLocation: http://login/\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 403 \r\nContent-Length: 24\r\n\r\n{"type":"about:blank"}  ',
        b"HTTP/1.1 101 \r\nSec-WebSocket-Accept: nonsense\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_what_stands_between_us_and_an_engine_that_we_know_has_no_last_word(answer: bytes) -> None:
    rig = Rig()
    rig.connected("a")
    rig.break_off()
    rig.no_receipt()
    rig.session.waited()
    rig.session.dialled()
    rig.taken()
    rig.session.received(answer)
    assert [type(item) for item in rig.taken()] == [Retrying]
    rig.session.waited()
    rig.shake_hands()
    rig.welcome("a")
    assert rig.taken(Connected)


def test_the_engine_has() -> None:
    rig = Rig()
    rig.connected("a")
    rig.break_off()
    rig.no_receipt()
    rig.session.waited()
    rig.session.dialled()
    rig.taken()
    body = b'{"type":"urn:finstream:problem:foreign-origin"}'
    rig.session.received(b"HTTP/1.1 403 \r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with pytest.raises(Refused, match="foreign-origin"):
        rig.session.take()


def test_refused_for_good() -> None:
    rig = Rig(client_class="nobility")
    assert rig.session.step == Call("POST", "/v1/clients", b'{"class":"nobility"}')
    rig.session.answered(400, b"", refused(400, "invalid-field"))
    with pytest.raises(Refused, match="invalid-field"):
        rig.session.take()


def test_a_handshake_that_is_refused_tells_the_problem() -> None:
    rig = Rig(uuid="u0")
    rig.session.dialled()
    body = b'{"type":"urn:finstream:problem:foreign-origin","title":"T","status":403,"detail":"D","remedy":"R"}'
    rig.session.received(b"HTTP/1.1 403 \r\nContent-Length: %d\r\n\r\n" % len(body))
    rig.session.received(body)
    with pytest.raises(Refused, match=r"foreign-origin: D\. R") as caught:
        rig.session.take()
    assert (caught.value.status, caught.value.remedy) == (403, "R")


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 101 \r\nSec-WebSocket-Accept: nonsense\r\n\r\n"])
def test_something_else_answers(answer: bytes) -> None:
    rig = Rig(uuid="u0")
    rig.session.dialled()
    rig.session.received(answer)
    with pytest.raises(ProtocolViolation):
        rig.session.take()


def test_pauses_grow_until_a_connection_lasts() -> None:
    rig = Rig()
    rig.connected("a")
    pauses = []
    for lasted_s in (0, 1, 0, 0, 0, 6, 0):
        rig.now += lasted_s
        rig.break_off()
        rig.no_receipt()
        (retrying,) = rig.taken(Retrying)
        assert rig.session.step == Pause(retrying.in_s)
        pauses.append(retrying.in_s)
        rig.session.waited()
        rig.shake_hands()
        rig.welcome("a")
        rig.taken()
    for pause, longest in zip(pauses, (1, 2, 4, 8, 8, 1, 2), strict=True):
        assert longest / 2 <= pause <= longest


def test_an_engine_that_restarts_says_when_to_come() -> None:
    rig = Rig()
    rig.connected("a")
    rig.say(type="goodbye", code="engine_restarting", close_code=1012, detail="…", reconnect=True, reconnect_in_ms=9230)
    rig.engine.send_close(1012, "engine_restarting")
    rig._carry()
    assert rig.taken(Disconnected) == [Disconnected(code="engine_restarting", detail="…", reconnect=True)]
    assert rig.session.step == Pause(9.23)
    rig.engine.receive_data(rig.session.data_to_send())
    assert rig.engine.close_rcvd is not None  # it was answered, though nobody is connected any more


def test_the_receipt_of_a_connection_that_broke() -> None:
    rig = Rig()
    rig.connected("a")
    rig.break_off()
    assert isinstance(rig.session.step, Call)
    assert (rig.session.step.method, rig.session.step.path) == ("GET", "/v1/clients/u1")
    kept = {"uuid": "u1", "state": "waiting", "last_receipt": {"reason": "slow_consumer_bytes", "detail": "D", "queued_bytes": 9}}
    rig.session.answered(200, json.dumps(kept).encode(), _no_problem)
    (ending,) = rig.taken(Disconnected)
    assert (ending.code, ending.detail, ending.receipt.queued_bytes) == ("slow_consumer_bytes", "D", 9)
    assert isinstance(rig.session.step, Pause)


@pytest.mark.parametrize("told", [b"", b"no json", b'{"state":"connected","last_receipt":{"reason":"client_left"}}', b'{"state":"waiting"}'])
def test_no_receipt(told: bytes) -> None:
    rig = Rig()
    rig.connected("a")
    rig.break_off()
    rig.session.answered(200, told, _no_problem)
    assert rig.taken(Disconnected) == [Disconnected(code="connection_lost", detail="the connection broke", reconnect=True)]


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_sent_away_for_good(says_goodbye: bool) -> None:
    rig = Rig()
    rig.connected("a")
    if says_goodbye:
        rig.say(type="goodbye", code="replaced", close_code=4002, detail="D", reconnect=False)
    rig.engine.send_close(4002, "replaced")
    rig._carry()
    rig.no_receipt()
    (ending,) = rig.taken(Disconnected)
    assert (ending.code, ending.reconnect) == ("replaced", False)
    with pytest.raises(Ended, match="replaced"):
        rig.session.take()


def test_a_forgotten_client_registers_and_subscribes_again() -> None:
    rig = Rig()
    rig.connected("a", policy="skip")
    rig.tick(4)
    rig.break_off()
    rig.no_receipt()
    rig.session.waited()
    rig.session.dialled()
    body = b'{"type":"urn:finstream:problem:unknown-client"}'
    rig.session.received(b"HTTP/1.1 404 \r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    rig.taken()
    rig.register("u2")
    rig.shake_hands()
    rig.welcome()
    (request,) = rig.requests()
    assert (request["topics"], request["policy"]) == (["a"], "skip")
    rig.answer(request)
    rig.tick(7)
    items = rig.taken(Registered, Connected, Lost)
    assert items == [
        Registered(uuid="u2", why="unknown_client"),
        Connected(uuid="u2", epoch="e1", new_epoch=False),
        Lost(asset="a", first_seq=5, last_seq=6, count=2),
    ]


def test_a_client_that_is_forgotten_at_once_pauses_too() -> None:
    rig = Rig()
    for _ in range(2):
        rig.register()
        rig.session.dialled()
        rig.session.received(b'HTTP/1.1 404 \r\nContent-Length: 47\r\n\r\n{"type":"urn:finstream:problem:unknown-client"}')
        assert isinstance(rig.session.step, Pause)
        rig.session.waited()


def test_only_what_the_engine_does_not_have_is_asked_for_again() -> None:
    rig = Rig()
    rig.connected("a", "b", "c")
    rig.break_off()
    rig.no_receipt()
    rig.session.unsubscribe(["b"])
    rig.session.subscribe(["d"], PLAIN)
    assert rig.session.data_to_send() == b""
    rig.session.waited()
    rig.shake_hands()
    rig.welcome("a", "b", "by REST", policies={"a": {"policy": "skip"}})
    requests = [(request["op"], request["topics"]) for request in rig.requests()]
    assert requests == [("unsubscribe", ["b"]), ("subscribe", ["a", "c", "d"])]
    rig.break_off()
    rig.no_receipt()
    rig.session.waited()
    rig.shake_hands()
    rig.welcome()
    assert [request["topics"] for request in rig.requests()] == [["a", "c", "d", "by REST"]]


def test_a_refused_topic_is_forgotten() -> None:
    rig = Rig()
    rig.connected("a")
    rig.session.subscribe(["a", "nothing"], PLAIN)
    (request,) = rig.requests()
    rig.say(type="error", id=request["id"], problem="urn:finstream:problem:unknown-asset", detail="…")
    rig.break_off()
    rig.no_receipt()
    rig.session.waited()
    rig.shake_hands()
    rig.welcome()
    assert [request["topics"] for request in rig.requests()] == [["a"]]


def test_a_topic_that_is_gone_takes_no_other_with_it() -> None:
    """Topics are asked for again together, and the engine refuses a request as a whole."""
    rig = Rig()
    rig.connected("a", "gone", "b")
    rig.break_off()
    rig.no_receipt()
    rig.session.subscribe(["new"], PLAIN)
    rig.session.waited()
    rig.shake_hands()
    rig.welcome()
    (request,) = rig.requests()
    assert request["topics"] == ["a", "gone", "b", "new"]
    rig.say(type="error", id=request["id"], problem="urn:finstream:problem:unknown-asset", detail="…", field="$.topics[1]")
    (request,) = rig.requests()
    assert request["topics"] == ["a", "b"]
    rig.answer(request)
    rig.break_off()
    rig.no_receipt()
    rig.session.waited()
    rig.shake_hands()
    rig.welcome("a", "b")
    (request,) = rig.requests()
    assert request["topics"] == ["gone"]  # it may be there again
    rig.say(type="error", id=request["id"], problem="urn:finstream:problem:unknown-asset", detail="…", field="$.topics[0]")
    assert rig.requests() == []


def test_a_refusal_that_names_no_topic_is_not_asked_about_again() -> None:
    rig = Rig()
    rig.connected("a", "b")
    rig.break_off()
    rig.no_receipt()
    rig.session.waited()
    rig.shake_hands()
    rig.welcome()
    (request,) = rig.requests()
    rig.say(type="error", id=request["id"], problem="urn:finstream:problem:too-many-topics", detail="…", field="$.topics")
    assert rig.requests() == []


def test_long_requests_are_split() -> None:
    rig = Rig()
    topics = [f"asset:{number:060}" for number in range(2000)]
    rig.session.subscribe(topics, PLAIN)
    rig.register()
    rig.shake_hands()
    rig.welcome()
    requests = rig.requests()
    assert len(requests) > 1
    assert all(len(json.dumps(request)) < 65536 for request in requests)
    assert [topic for request in requests for topic in request["topics"]] == topics


def test_a_new_epoch_begins_anew() -> None:
    rig = Rig()
    rig.connected("a")
    rig.tick(900)
    rig.break_off()
    rig.no_receipt()
    rig.session.waited()
    rig.shake_hands()
    rig.welcome("a", epoch="e2")
    rig.tick(3)
    rig.tick(5)
    assert [item for item in rig.taken(Connected, Lost) if item] == [
        Connected(uuid="u1", epoch="e2", new_epoch=True),
        Lost(asset="a", first_seq=4, last_seq=4, count=1),
    ]


@pytest.mark.parametrize("raw", [False, True])
def test_losses_stand_before_what_shows_them(raw: bool) -> None:
    rig = Rig()
    rig.connected("a", "b:X")
    rig.session.inbox.raw = raw
    for seq in (1, 2, 5):
        rig.tick(seq)
    rig.tick(9, "b")
    rig.tick(12, "b")
    items = rig.taken()
    assert [type(item) for item in items] == [bytes if raw else Tick] * 2 + [Lost] + [bytes if raw else Tick] * 3
    if raw:
        assert json.loads(items[0])["seq"] == 1


def test_pings_are_answered_and_silence_is_not_waited_for() -> None:
    rig = Rig()
    rig.connected("a")
    rig.engine.send_ping(b"there?")
    rig._carry()
    rig.engine.receive_data(rig.session.data_to_send())
    (pong,) = rig.engine.events_received()
    assert (pong.opcode, bytes(pong.data)) == (10, b"there?")  # type: ignore[union-attr]
    assert isinstance(rig.session.step, Exchange)
    assert 40 < rig.session.step.timeout_s < 60  # the engine sends a ping every 20 s
    rig.session.failed(Unreachable("ws://…", "silent for 50 s"))
    rig.no_receipt()
    (ending,) = rig.taken(Disconnected)
    assert (ending.code, ending.detail) == ("connection_lost", "silent for 50 s")


def test_problems_without_an_engine_behind_them() -> None:
    problem = read_problem(502, b"<html>Bad gateway</html>", "Wed, 21 Oct 2026 07:28:00 GMT")
    assert (problem.problem, problem.detail, problem.retry_after_s) == ("http-502", "Bad Gateway", None)


def test_a_loop_drops_what_it_alone_wanted() -> None:
    rig = Rig()
    rig.session.subscribe(["a"], PLAIN)
    rig.session.begin(["a", "b", "c", "d"], Choices("skip"))
    rig.register()
    rig.shake_hands()
    rig.welcome()
    for request in rig.requests():
        rig.answer(request)
    rig.session.subscribe(["c"], PLAIN)
    rig.session.unsubscribe(["d"])
    for request in rig.requests():
        rig.answer(request)
    rig.session.leave()
    rig.engine.receive_data(rig.session.data_to_send())
    last_words, close = rig.engine.events_received()
    assert json.loads(last_words.data) == {"op": "unsubscribe", "topics": ["b"], "id": 4}  # type: ignore[union-attr]
    assert close.opcode is Opcode.CLOSE  # type: ignore[union-attr]
    rig.session.begin(["b"], PLAIN)  # wanted again before anything was dropped
    assert rig.session.step == Dial()
    rig.session.leave()
    rig.session.begin([], PLAIN)
    assert rig.session.step == Call("DELETE", "/v1/clients/u1/subscriptions", b'{"topics":["b"]}')
    rig.session.answered(200, b"{}", _no_problem)
    assert rig.session.step == Dial()
    rig.shake_hands()
    rig.welcome("a", "c", policies={"a": {"policy": "skip"}})
    assert rig.requests() == [{"op": "subscribe", "topics": ["a"], "id": 5}]


def test_what_could_not_be_dropped_first_is_dropped_then() -> None:
    rig = Rig()
    rig.connected("a")
    rig.session.leave()
    rig.session.unsubscribe(["a"])
    rig.session.begin(["b"], PLAIN)
    rig.session.failed(Unreachable("http://…", "gone"))
    assert isinstance(rig.session.step, Pause)
    rig.session.waited()
    rig.shake_hands()
    rig.welcome("a")
    assert [(one["op"], one["topics"]) for one in rig.requests()] == [("unsubscribe", ["a"]), ("subscribe", ["b"])]

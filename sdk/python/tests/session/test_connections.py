"""A session over its connections: what it tells, and how they end."""

from __future__ import annotations

import json

import pytest

from finstream_client import Choices, Connected, Disconnected, Ended, Lost, Registered, Tick, Unreachable, Welcome
from finstream_client._steps import Call, Exchange, Pause

from .rig import PLAIN, Rig, no_problem


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
    rig.session.answered(201, b'{"uuid":"u1","expires_at":7}', no_problem)
    assert rig.session.uuid == "u1"


def test_an_engine_that_restarts_says_when_to_come() -> None:
    rig = Rig()
    rig.connected("a")
    rig.say(type="goodbye", code="engine_restarting", close_code=1012, detail="…", reconnect=True, reconnect_in_ms=9230)
    rig.engine.send_close(1012, "engine_restarting")
    rig.carry()
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
    rig.session.answered(200, json.dumps(kept).encode(), no_problem)
    (ending,) = rig.taken(Disconnected)
    assert (ending.code, ending.detail, ending.receipt.queued_bytes) == ("slow_consumer_bytes", "D", 9)
    assert isinstance(rig.session.step, Pause)


@pytest.mark.parametrize("told", [b"", b"no json", b'{"state":"connected","last_receipt":{"reason":"client_left"}}', b'{"state":"waiting"}'])
def test_no_receipt(told: bytes) -> None:
    rig = Rig()
    rig.connected("a")
    rig.break_off()
    rig.session.answered(200, told, no_problem)
    assert rig.taken(Disconnected) == [Disconnected(code="connection_lost", detail="the connection broke", reconnect=True)]


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_sent_away_for_good(says_goodbye: bool) -> None:
    rig = Rig()
    rig.connected("a")
    if says_goodbye:
        rig.say(type="goodbye", code="replaced", close_code=4002, detail="D", reconnect=False)
    rig.engine.send_close(4002, "replaced")
    rig.carry()
    rig.no_receipt()
    (ending,) = rig.taken(Disconnected)
    assert (ending.code, ending.reconnect) == ("replaced", False)
    with pytest.raises(Ended, match="replaced"):
        rig.session.take()


def test_a_forgotten_client_registers_and_subscribes_again() -> None:
    rig = Rig()
    rig.connected("a", policy="skip")
    rig.tick(4)
    rig.lose()
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


def test_a_new_epoch_begins_anew() -> None:
    rig = Rig()
    rig.connected("a")
    rig.tick(900)
    rig.lose()
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
    rig.carry()
    rig.engine.receive_data(rig.session.data_to_send())
    (pong,) = rig.engine.events_received()
    assert (pong.opcode, bytes(pong.data)) == (10, b"there?")  # type: ignore[union-attr]
    assert isinstance(rig.session.step, Exchange)
    assert 40 < rig.session.step.timeout_s < 60  # the engine sends a ping every 20 s
    rig.session.failed(Unreachable("ws://…", "silent for 50 s"))
    rig.no_receipt()
    (ending,) = rig.taken(Disconnected)
    assert (ending.code, ending.detail) == ("connection_lost", "silent for 50 s")

"""What a session asks of the engine: its topics, after a refusal and after a new connection too."""

from __future__ import annotations

import json

from websockets.frames import Opcode

from finstream_client import Choices, Unreachable
from finstream_client._steps import Call, Dial, Pause

from .rig import PLAIN, Rig, no_problem


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
    rig.lose()
    rig.shake_hands()
    rig.welcome()
    assert [request["topics"] for request in rig.requests()] == [["a", "c", "d", "by REST"]]


def test_a_refused_topic_is_forgotten() -> None:
    rig = Rig()
    rig.connected("a")
    rig.session.subscribe(["a", "nothing"], PLAIN)
    (request,) = rig.requests()
    rig.say(type="error", id=request["id"], problem="urn:finstream:problem:unknown-asset", detail="…")
    rig.lose()
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
    rig.lose()
    rig.shake_hands()
    rig.welcome("a", "b")
    (request,) = rig.requests()
    assert request["topics"] == ["gone"]  # it may be there again
    rig.say(type="error", id=request["id"], problem="urn:finstream:problem:unknown-asset", detail="…", field="$.topics[0]")
    assert rig.requests() == []


def test_a_refusal_that_names_no_topic_is_not_asked_about_again() -> None:
    rig = Rig()
    rig.connected("a", "b")
    rig.lose()
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
    rig.session.answered(200, b"{}", no_problem)
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

"""How a session tries: what is waited for, for how long, and what has the last word."""

from __future__ import annotations

import pytest

from finstream_client import Connected, ProtocolViolation, Refused, Retrying, Unreachable, Welcome
from finstream_client._problems import read_problem
from finstream_client._steps import Call, Pause

from .rig import PLAIN, Rig, refused


def dialled_again() -> Rig:
    """After a connection that was there: the handshake's answer is what comes next."""
    rig = Rig()
    rig.connected("a")
    rig.lose()
    rig.session.dialled()
    rig.taken()
    return rig


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
    rig = dialled_again()
    rig.session.received(answer)
    assert [type(item) for item in rig.taken()] == [Retrying]
    rig.session.waited()
    rig.shake_hands()
    rig.welcome("a")
    assert rig.taken(Connected)


def test_the_engine_has() -> None:
    rig = dialled_again()
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


def test_a_client_that_is_forgotten_at_once_pauses_too() -> None:
    rig = Rig()
    for _ in range(2):
        rig.register()
        rig.session.dialled()
        rig.session.received(b'HTTP/1.1 404 \r\nContent-Length: 47\r\n\r\n{"type":"urn:finstream:problem:unknown-client"}')
        assert isinstance(rig.session.step, Pause)
        rig.session.waited()


def test_problems_without_an_engine_behind_them() -> None:
    problem = read_problem(502, b"<html>Bad gateway</html>", "Wed, 21 Oct 2026 07:28:00 GMT")
    assert (problem.problem, problem.detail, problem.retry_after_s) == ("http-502", "Bad Gateway", None)

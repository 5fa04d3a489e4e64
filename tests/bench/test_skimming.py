"""That the quick way through usual ticks comes to the same account as the careful one, whatever is among them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lying_server import LyingServer, frame

from bench.load_client import LoadClient, Receipt

FIRST = 1_000_000_000
Servers = Callable[..., LyingServer]
Connect = Callable[..., LoadClient]


def usual(index: int | str, *, member: str = "trade_id", stamp_us: int = 1_700_000_000_000_000) -> bytes:
    """As FinStream's: long enough for a length of two bytes, the index some way before the end."""
    return (
        f'{{"type":"tick","asset":"bench","seq":{FIRST},"symbol":"BTC/USDT","exchange":"bench","price":"67123.45",'
        f'"{member}":"{index}","ts_event":{stamp_us},"ts_recv":{stamp_us},"simulated":true}}'
    ).encode()


def received(client: LoadClient, *, last: int) -> Receipt:
    return client.finish(last, still_s=0.3, limit_s=5)


def test_usual_ticks_are_skimmed_and_counted(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(2)
    client = connect(server, 2)
    client.begin(FIRST, time.time_ns(), 1000.0)
    server.send(b"".join(frame(usual(FIRST + i)) for i in range(500)))
    receipt = received(client, last=FIRST + 499)
    assert receipt.complete(FIRST + 499)
    assert (receipt.messages, receipt.least, receipt.most) == (1000, 500, 500)
    assert receipt.skimmed == 999  # the very first one tells where to look
    assert receipt.bytes == 1000 * len(usual(FIRST))


@pytest.mark.parametrize(
    ("indexes", "missing", "repeated"),
    [
        ([*range(50), *range(51, 100)], 1, 0),
        ([*range(1, 100)], 1, 0),
        ([*range(50), 49, *range(50, 100)], 0, 1),
        ([*range(50), 51, 50, *range(52, 100)], 1, 1),
        ([*range(99)], 0, 0),
        ([*range(101)], 0, 0),
        ([*range(40), *range(90, 100)], 50, 0),
    ],
    ids=["gap", "lost first", "duplicate", "reordered", "lost last", "one too many", "long gap"],
)
def test_what_is_wrong_among_usual_ticks_is_noticed(
    lying_server: Servers, connect: Connect, indexes: list[int], missing: int, repeated: int
) -> None:
    server = lying_server(2)
    client = connect(server, 2)
    client.begin(FIRST, time.time_ns(), 1000.0)
    honest, lying = server.connections
    honest.sendall(b"".join(frame(usual(FIRST + i)) for i in range(100)))
    lying.sendall(b"".join(frame(usual(FIRST + i)) for i in indexes))
    receipt = received(client, last=FIRST + 99)
    assert not receipt.complete(FIRST + 99)
    assert (receipt.missing, receipt.repeated) == (missing, repeated)


def test_the_same_ticks_are_timed_everywhere(lying_server: Servers, connect: Connect) -> None:
    server = lying_server(2)
    client = connect(server, 2, stamp_member="ts_event", stamp_unit_ns=1000)
    now_us = time.time_ns() // 1000
    client.begin(FIRST + 3, now_us * 1000, 1000.0, sample_every=10)
    for connection, step in zip(server.connections, (7, 32), strict=True):  # in pieces that end elsewhere
        for start in range(0, 32, step):
            some = range(FIRST + 3 + start, FIRST + 3 + min(start + step, 32))
            connection.sendall(b"".join(frame(usual(i, stamp_us=now_us - 5000 * (i % 10 == 0))) for i in some))
    receipt = received(client, last=FIRST + 34)
    assert receipt.complete(FIRST + 34)
    assert receipt.write.count == receipt.due.count == 2 * 3  # 10, 20 and 30
    assert receipt.write.min_ns >= 5_000_000


def test_a_usual_tick_amid_a_fragmented_one_is_a_breach(lying_server: Servers, connect: Connect) -> None:
    server = lying_server()
    client = connect(server)
    client.begin(FIRST, time.time_ns(), 1000.0)
    server.send(frame(usual(FIRST)) + frame(usual(FIRST + 1)) + frame(b"{", final=False) + frame(usual(FIRST + 2)))
    receipt = received(client, last=FIRST + 2)
    assert (receipt.messages, receipt.illegal, receipt.closed) == (2, 1, 1)
    assert "out of order" in receipt.reason


class Told(NamedTuple):
    """What is sent, and what it means."""

    data: bytes
    index: int | None
    """None: no tick."""


class Account:
    """What the client must come to: the plain definition."""

    def __init__(self) -> None:
        self.next = FIRST
        self.ticks = self.others = self.missing = self.repeated = 0

    def take(self, index: int | None) -> None:
        if index is None:
            self.others += 1
            return
        self.ticks += 1
        self.missing += max(0, index - self.next)
        self.repeated += index < self.next
        self.next = max(self.next, index + 1)


KINDS = (
    *["usual"] * 6, "gap", "again", "short", "bare", "one member more", "longer", "more digits", "no digit", "carried",
    "other name", "fragments", "binary", "control", "ping",
)  # fmt: skip


def told(kind: str, number: int, due: int) -> Told:
    """A message of that kind when ``due`` is the index that must come; ``number`` (0 to 9) varies it."""
    text = usual(due)
    if kind == "gap":
        return Told(frame(usual(due + 1 + number)), due + 1 + number)
    if kind == "again":
        return Told(frame(usual(due - 1 - number)), due - 1 - number)
    if kind == "short":
        return Told(frame(f'{{"trade_id":"{due}"}}'.encode()), due)
    if kind == "bare":
        return Told(frame(text.replace(f'"{due}"'.encode(), str(due).encode())), due)
    if kind == "one member more":
        return Told(frame(text[:-1] + b',"late":' + str(10**number).encode() + b"}"), due)
    if kind == "longer":
        return Told(frame(text.replace(b"BTC", b"B" * 10_000 * (number + 1))), due)
    if kind == "more digits" and due < 10**15:
        return Told(frame(usual(f"{due}{number}")), due * 10 + number)
    if kind == "no digit":
        digits = str(due)
        broken = digits[:number] + ":/;x \xe9-+.,"[number] + digits[number + 1 :]
        return Told(frame(usual(broken)), int(digits[:number] or 0))
    if kind == "carried":  # worth as much as the index, if a sign beyond 9 were a digit
        digits, at = str(due), max(1, number)
        before = f"{int(digits[:at]) - 1:0{at}d}"
        return Told(frame(usual(before + chr(ord(digits[at]) + 10) + digits[at + 1 :])), int(before))
    if kind == "other name":
        return Told(frame(usual(due, member=("Trade_id", "trade_iD", "trade-id")[number % 3])), None)
    if kind == "fragments":
        return Told(frame(text[: 20 + number], final=False) + frame(text[20 + number :], opcode=0), due)
    if kind == "binary":
        return Told(frame(text, opcode=2), due)
    if kind == "control":
        return Told(frame(b'{"type":"health","detail":"' + b"x" * 200 + b'"}'), None)
    return Told((frame(b"?", opcode=9) if kind == "ping" else b"") + frame(text), due)


@pytest.fixture
def wired(lying_server: Servers, connect: Connect) -> tuple[LyingServer, LoadClient]:
    server = lying_server()
    return server, connect(server)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9)), max_size=40), st.lists(st.integers(1, 4000), max_size=20))
def test_any_mixture_comes_to_the_same_account(
    wired: tuple[LyingServer, LoadClient], kinds: list[tuple[str, int]], cuts: list[int]
) -> None:
    server, client = wired
    account, data = Account(), b""
    client.begin(FIRST, time.time_ns(), 1000.0)
    for kind, number in kinds:
        message = told(kind, number, account.next)
        account.take(message.index)
        data += message.data
    for cut in cuts:
        server.send(data[:cut])
        data = data[cut:]
    server.send(data)
    deadline = time.monotonic() + 10
    while (receipt := client.report()).messages + receipt.others < account.ticks + account.others:
        assert time.monotonic() < deadline, receipt
    assert (receipt.messages, receipt.others) == (account.ticks, account.others)
    assert (receipt.missing, receipt.repeated, receipt.next) == (account.missing, account.repeated, account.next)

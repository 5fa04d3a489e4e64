"""``close()`` from the handler of a signal, which interrupts the thread that reads wherever it is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import finstream_client
from finstream_client import Backoff, Client, Closed, Retrying, Tick

from .engine import Engine
from .network import Network
from .test_faces import state_of, sync_client


@pytest.fixture
def closing() -> Iterator[list[Client]]:
    """Clients that SIGUSR1 closes."""
    clients: list[Client] = []

    def close(_number: int, _frame: object) -> None:
        for client in clients:
            client.close()

    before = signal.signal(signal.SIGUSR1, close)
    try:
        yield clients
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("when", ["take", "received", "answered", "dialled", "data_to_send"])
def test_while_the_session_is_at_work(engine: Engine, closing: list[Client], monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    client = sync_client(engine)
    closing.append(client)
    work = getattr(client._session, when)

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return work(*arguments)

    monkeypatch.setattr(client._session, when, interrupted)
    assert [item for item in client.messages("tick") if isinstance(item, Tick)] == []
    assert client._socket is None
    assert client.uuid is None or state_of(engine, client.uuid) == "unknown-client"


def test_while_topics_change(engine: Engine, closing: list[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    client = sync_client(engine)
    closing.append(client)
    ticks = client.stream("tick")
    next(ticks)
    monkeypatch.setattr(client._session, "subscribe", lambda *_: signal.raise_signal(signal.SIGUSR1))
    client.subscribe("tick:S0")
    assert client.uuid is not None
    assert state_of(engine, client.uuid) == "unknown-client"
    for _ in ticks:
        pass  # what it had; then it ends
    assert client._socket is None


@pytest.mark.parametrize("after_s", [0.004 * number for number in range(1, 25)])
def test_at_any_moment(engine: Engine, closing: list[Client], after_s: float) -> None:
    client = sync_client(engine)
    closing.append(client)
    timer = threading.Timer(after_s, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))
    timer.start()
    with suppress(Closed):  # it came before the loop
        for _ in client.messages("tick"):
            pass
    timer.join()
    assert client._socket is None
    assert client.uuid is None or state_of(engine, client.uuid) == "unknown-client"


def test_while_it_waits_to_come_back(engine: Engine, closing: list[Client]) -> None:
    network = Network(engine.stream_port)
    timer = threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))
    try:
        client = finstream_client.connect(
            engine.public_url, stream_url=f"ws://127.0.0.1:{network.port}", backoff=Backoff(initial_s=1000, max_s=1000)
        )
        closing.append(client)
        for item in client.messages("tick"):
            if isinstance(item, Tick):
                network.down()
            elif isinstance(item, Retrying):
                timer.start()  # whatever it does then, it is not read any more
        timer.join()
    finally:
        network.end()
    assert client.uuid is not None
    assert state_of(engine, client.uuid) == "unknown-client"

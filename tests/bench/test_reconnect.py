"""A storm on purpose: all connections are cut and made again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lying_server import LyingServer, frame

from bench.load_client import Connected, LoadClient

FIRST = 1_000_000_000


def test_redial_is_ready_with_the_first_tick_and_says_no_hello(
    lying_server: Callable[..., LyingServer], connect: Callable[..., LoadClient]
) -> None:
    tick = frame(f'{{"ts":{time.time_ns()},"trade_id":"{FIRST}"}}'.encode())
    server = lying_server(6)  # three connections, each of them twice
    client = connect(server, 3, hello=("subscribe!",))
    again: list[Connected] = []
    redialling = threading.Thread(target=lambda: again.append(client.redial()))
    redialling.start()
    deadline = time.monotonic() + 10
    while len(server.connections) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert all(connection.recv(100) for connection in server.connections[:3])  # their hello
    assert not again  # connected, but nothing streams
    for connection in server.connections[3:]:
        connection.sendall(tick)
    redialling.join(10)
    assert again[0].connected == again[0].ready_after.count == 3
    for connection in server.connections[3:]:
        connection.setblocking(False)
        try:
            said = connection.recv(100)
        except BlockingIOError:
            said = b""
        assert said == b""

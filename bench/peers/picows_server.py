"""A fan-out server with `picows` and uvloop: lines from standard input to all subscribers.

python -m bench.peers.picows_server PORT typed|relay
"""

from __future__ import annotations

import sys

import uvloop  # type: ignore[import-not-found,unused-ignore]
from picows import (  # type: ignore[import-not-found,unused-ignore]
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from bench.peers.stdin_lines import each_line
from bench.peers.typed_ticks import typed_transform


class _Subscriber(WSListener):  # type: ignore[misc,unused-ignore]
    def __init__(self, subscribers: set[WSTransport]) -> None:
        super().__init__()
        self._subscribers = subscribers

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._subscribers.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._subscribers.discard(transport)


async def _serve(port: int, typed: bool) -> None:
    subscribers: set[WSTransport] = set()
    transform = typed_transform() if typed else None
    text = WSMsgType.TEXT

    def on_line(line: bytes) -> None:
        message = line if transform is None else transform(line)
        if message is not None:
            for subscriber in subscribers:
                subscriber.send(text, message)

    def accept(_request: WSUpgradeRequest) -> _Subscriber:
        return _Subscriber(subscribers)

    server = await ws_create_server(accept, "127.0.0.1", port, backlog=4096)
    try:
        await each_line(on_line)
    finally:
        server.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2] == "typed"))

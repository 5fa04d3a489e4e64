"""A subscriber as a user of the Python SDK writes it, which counts what it gets and reports ten times a second, as JSON lines.

    python sdk_client.py {sync|asyncio|trio} {raw|typed} PUBLIC_URL STREAM_URL TOPIC
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time

import finstream_client
import finstream_client.asyncio
import finstream_client.trio
import trio
from finstream_client import Gap, Lost, Subscribed


class Count:
    """Filled by one thread, reported by another."""

    def __init__(self) -> None:
        self.messages = 0
        self.lost = 0
        self.endings = 0
        self.is_subscribed = False

    def tell(self, item: object) -> None:
        if isinstance(item, Subscribed):
            self.is_subscribed = True
        elif isinstance(item, Lost | Gap):
            self.lost += item.count
        elif isinstance(item, finstream_client.Disconnected):
            self.endings += 1

    def report(self) -> None:
        while True:
            time.sleep(0.1)
            told = vars(self) | {"cpu_ns": time.process_time_ns(), "now_ns": time.monotonic_ns()}
            print(json.dumps(told), flush=True)


def read(count: Count, is_raw: bool, public: str, stream: str, topic: str) -> None:
    client = finstream_client.connect(public, stream_url=stream, on_event=count.tell)
    for _ in client.raw(topic) if is_raw else client.stream(topic):
        count.messages += 1


async def read_async(client: finstream_client.asyncio.AsyncClient, count: Count, is_raw: bool, topic: str) -> None:
    async with client:
        if is_raw:
            async for _raw in client.raw(topic):
                count.messages += 1
        else:
            async for _tick in client.stream(topic):
                count.messages += 1


def main(face: str, mode: str, public: str, stream: str, topic: str) -> None:
    count = Count()
    threading.Thread(target=count.report, daemon=True).start()
    is_raw = mode == "raw"
    if face == "sync":
        read(count, is_raw, public, stream, topic)
        return

    async def run() -> None:
        module = finstream_client.asyncio if face == "asyncio" else finstream_client.trio
        await read_async(module.connect(public, stream_url=stream, on_event=count.tell), count, is_raw, topic)

    if face == "asyncio":
        asyncio.run(run())
    else:
        trio.run(run)


if __name__ == "__main__":
    main(*sys.argv[1:])

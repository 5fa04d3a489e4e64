"""A client's close frame, and ticks that come at the same moment."""

from __future__ import annotations

import os
import socket

import trio
from clients import HEAD, closing, serving
from rig import tick, until

from finstream.pump import OutboxClosed


async def test_nothing_follows_the_close_frame() -> None:
    async with serving() as server:
        pump = server.pump
        asset = pump.add_asset("feed")
        ours, theirs = os.pipe()
        source = pump.add_source(asset, ours, lambda _event: None)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                name = "{}:{}".format(*client.getsockname())
                client.sendall(HEAD)
                await until(lambda name=name: name in server.told)
                handle = list(pump._on_outbox)[-1]
                pump.subscribe(handle, asset)
                await trio.sleep(0.005)
                os.write(theirs, tick(7))
                client.sendall(closing(1000))
                client.settimeout(5)
                data = b""
                while b"\x88\x02\x03\xe8" not in data:
                    data += await trio.to_thread.run_sync(client.recv, 1 << 20)
                client.shutdown(socket.SHUT_WR)
                while more := await trio.to_thread.run_sync(client.recv, 1 << 20):
                    data += more
                assert data.endswith(b"\x88\x02\x03\xe8")
                await until(lambda name=name: any(isinstance(event, OutboxClosed) for event in server.told[name]))
                [ending] = [event for event in server.told[name] if isinstance(event, OutboxClosed)]
                assert ending.reason == "finished"
            pump.remove_outbox(handle)
        pump.remove_source(source)
        os.close(ours)
        os.close(theirs)

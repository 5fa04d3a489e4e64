"""Sources: many, busy, removed, ended, badly buffered, of any kind."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from rig import Rig, numbered, tick, until

from finstream.pump import BlockBuffered, SourceEnded, SourceOverflowed


async def test_a_killed_writer_loses_no_line_that_it_completed(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    count = "n=1; while :; do echo '{\"symbol\":\"A\",\"ts\":1,\"price\":'$n'}'; n=$((n+1)); done"
    os.set_blocking(feed.pipe.fileno(), True)
    process = await trio.lowlevel.open_process(["sh", "-c", count], stdout=feed.pipe.fileno())
    await feed.pipe.aclose()
    await until(lambda: subscriber.statistics.published > 5000)
    process.kill()
    await process.wait()
    await until(lambda: feed.told)
    numbers = numbered(await subscriber.messages(subscriber.statistics.published))
    assert numbers == list(range(1, len(numbers) + 1))
    # Nothing of the pipe's content is missing either: what was read is those lines and at most one half line.
    statistics = rig.pump.asset_statistics(feed.asset)
    assert statistics.bytes == sum(len(b'{"symbol":"A","ts":1,"price":%d}\n' % number) for number in numbers) + sum(
        length for _, _, length in rig.rejections()
    )
    assert statistics.rejected in ({}, {"unterminated_line": 1})


async def test_many_sources(rig: Rig) -> None:
    feeds = [rig.feed(f"feed-{number % 150}") for number in range(200)]  # some share their asset
    subscriber = rig.subscriber(*((asset, None) for asset in sorted({feed.asset for feed in feeds})))
    for number in range(1, 11):
        for feed in feeds:
            await feed.write(tick(number))
    messages = [json.loads(message) for message in await subscriber.messages(2000)]
    for name in {message["asset"] for message in messages}:
        own = [message for message in messages if message["asset"] == name]
        assert [message["seq"] for message in own] == list(range(1, len(own) + 1))
    assert rig.pump.statistics().sources == 200
    for feed in feeds:
        await feed.end()
    assert rig.pump.statistics().sources == 0


async def test_one_busy_source_does_not_keep_the_others_waiting(rig: Rig) -> None:
    busy, quiet = rig.feed("busy"), rig.feed("quiet")
    subscriber = rig.subscriber((quiet.asset, None))
    stop = threading.Event()

    def write_without_end() -> None:
        text = tick(1) * 1000
        while not stop.is_set():
            os.write(busy.pipe.fileno(), text)

    os.set_blocking(busy.pipe.fileno(), True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, write_without_end)
        await until(lambda: rig.pump.asset_statistics(busy.asset).lines > 10_000)
        for number in range(1, 101):
            await quiet.write(tick(number))
            assert numbered(await subscriber.messages(1)) == [number]
        stop.set()


async def test_a_source_is_removed_while_it_is_busy(rig: Rig) -> None:
    """After remove_source has returned, the descriptor is ours alone: what comes into the pipe then stays there."""
    asset = rig.pump.add_asset("feed")
    text = tick(1) * 500

    def write_without_end(fd: int) -> None:
        with suppress(BrokenPipeError):
            while True:
                os.write(fd, text)

    for _ in range(30):
        feed = rig.feed(asset)
        os.set_blocking(feed.pipe.fileno(), True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, write_without_end, feed.pipe.fileno())
            reads = rig.pump.asset_statistics(asset).reads
            await until(lambda reads=reads: rig.pump.asset_statistics(asset).reads > reads + 3)
            rig.pump.remove_source(feed.handle)
            before = rig.pump.asset_statistics(asset).bytes
            with trio.fail_after(10):
                await trio.lowlevel.wait_readable(feed.read_fd)
            assert os.read(feed.read_fd, 10)
            assert rig.pump.asset_statistics(asset).bytes == before
            feed.remove()
    assert rig.pump.statistics().sources == 0


async def test_seq_goes_on_from_source_to_source(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    for generation in range(3):
        await feed.write(tick(generation + 1) + b"{half")
        await feed.end()
        rig.pump.retire_asset(feed.asset)
        assert rig.pump.add_asset("feed") == feed.asset
        feed = rig.feed(feed.asset)
    messages = [json.loads(message) for message in await subscriber.messages(3)]
    assert [message["seq"] for message in messages] == [1, 2, 3]
    assert [message["price"] for message in messages] == ["1", "2", "3"]
    assert rig.pump.asset_statistics(feed.asset).rejected == {"unterminated_line": 3}


async def test_handles_of_sources_are_never_used_again(rig: Rig) -> None:
    asset = rig.pump.add_asset("feed")
    handles = set()
    for _ in range(100):
        feed = rig.feed(asset)
        handles.add(feed.handle)
        await feed.end()
        rig.pump.remove_source(feed.handle)  # of no effect
    assert len(handles) == 100
    feed = rig.feed(asset)
    for handle in handles:
        rig.pump.remove_source(handle)
    subscriber = rig.subscriber((asset, None))
    await feed.write(tick(1))
    assert numbered(await subscriber.messages(1)) == [1]


async def test_a_socket_is_a_source_too(rig: Rig) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asset = rig.pump.add_asset("feed")
        subscriber = rig.subscriber((asset, None))
        told: list[object] = []
        source = rig.pump.add_source(asset, theirs.fileno(), told.append)
        ours.sendall(tick(1))
        assert numbered(await subscriber.messages(1)) == [1]
        ours.close()
        await until(lambda: told)
        assert told == [SourceEnded(source, asset, 0)]
        rig.pump.remove_source(source)


async def test_a_terminal_is_a_source_too(rig: Rig) -> None:
    """Its other side gone, a pty answers EIO: a plain end."""
    controller, terminal = os.openpty()
    asset = rig.pump.add_asset("feed")
    subscriber = rig.subscriber((asset, None))
    told: list[SourceEnded] = []
    source = rig.pump.add_source(asset, controller, told.append)  # type: ignore[arg-type]
    os.write(terminal, tick(1) + tick(2))
    assert numbered(await subscriber.messages(2)) == [1, 2]
    os.close(terminal)
    await until(lambda: told)
    assert told[0].errno in (0, errno.EIO)
    rig.pump.remove_source(source)
    os.close(controller)


async def test_blocks_of_a_stdio_buffer_are_noticed_once(rig: Rig) -> None:
    feed = rig.feed()
    text = b"".join(map(tick, range(1, 2001)))
    for at in range(0, 4096 * 24, 4096):
        await feed.write_and_wait(text[at : at + 4096])
        await trio.sleep(0.02)
    await until(lambda: feed.told)
    assert feed.told == [BlockBuffered(feed.handle, feed.asset, 4096)]


async def test_whole_lines_are_not_called_blocks(rig: Rig) -> None:
    feed = rig.feed()
    line = tick(1, pad=4096 - len(tick(1, pad=1)) + 1)
    assert len(line) == 4096
    for _ in range(24):
        await feed.write_and_wait(line)
        await trio.sleep(0.01)
    await feed.end()
    assert [type(event) for event in feed.told] == [SourceEnded]


async def test_a_pipe_that_stays_full_is_told_once(rig: Rig) -> None:
    """Lines that short cost the pump more than their writers."""
    feed, patient = rig.feed("feed", full_s=0.05), rig.feed("patient")
    async with trio.open_nursery() as nursery:
        for one in (feed, patient):
            os.set_blocking(one.pipe.fileno(), True)
            nursery.start_soon(partial(trio.run_process, ["yes", "x"], stdout=one.pipe.fileno()))
        await until(lambda: feed.told)
        reads = rig.pump.asset_statistics(patient.asset).reads
        await until(lambda: rig.pump.asset_statistics(patient.asset).reads > reads + 20)
        nursery.cancel_scope.cancel()
    assert feed.told == [SourceOverflowed(feed.handle, feed.asset)]
    assert patient.told == []


async def test_only_what_can_be_waited_for_is_a_source(rig: Rig, tmp_path: Path) -> None:
    asset = rig.pump.add_asset("feed")
    ours, theirs = os.pipe()
    regular = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    gone = os.dup(ours)
    os.close(gone)
    for fd, why in ((regular, errno.EPERM), (gone, errno.EBADF), (-1, errno.EBADF)):
        with pytest.raises(OSError, match="descriptor") as raised:
            rig.pump.add_source(asset, fd, lambda _event: None)
        assert raised.value.errno == why
    with pytest.raises(KeyError):
        rig.pump.add_source(asset + 1, ours, lambda _event: None)
    for fd in (ours, theirs, regular):
        os.close(fd)
    assert rig.pump.statistics().sources == 0


async def test_a_pipe_in_packet_mode_is_read_to_its_end(rig: Rig) -> None:
    """It gives one packet a read, and tells of each only when it comes."""
    feed = rig.feed()
    fd = feed.pipe.fileno()
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_DIRECT)
    for number in range(300):
        await feed.pipe.send_all(tick(number + 1))
    await until(lambda: rig.pump.asset_statistics(feed.asset).lines == 300, "all packets")

"""From pipes to lines: splitting, bad lines, ends, many sources."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from contextlib import suppress
from functools import partial

import pytest
import trio
from rig import Rig, numbered, running, tick, until

from finstream.pump import BlockBuffered, LineRejected, SourceEnded, SourceOverflowed, StatusLine


def rejections(rig: Rig) -> list[tuple[str, bytes, int]]:
    return [(event.reason, event.line, event.line_bytes) for event in rig.lines if isinstance(event, LineRejected)]


async def test_a_line_arrives_as_the_protocol_says(rig: Rig) -> None:
    feed = rig.feed("binance")
    subscriber = rig.subscriber((feed.asset, None))
    await feed.write(b'{"symbol":"BTC/USDT","price":"1.50","ts":1763700000123456789,"exchange":"spot","x":[1, 2]}\r\n')
    [message] = await subscriber.messages(1)
    before, rest = message.split(b',"ts_recv":')
    received_us, after = rest.split(b",", 1)
    assert before == (
        b'{"type":"tick","asset":"binance","seq":1,"symbol":"BTC/USDT","exchange":"spot","price":"1.5",'
        b'"ts_event":1763700000123456'
    )
    assert after == b'"x":[1, 2]}'
    [entry] = rig.pump.arena()
    assert int(received_us) == (entry.lag_last_ns + 1763700000123456789) // 1000


async def test_lines_cut_at_every_byte(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    pair = (
        b' {"symbol":"\xc3\xa9\\u00e9","price":"1.50","ts":"2024-05-20T18:33:20Z","x":"\\ud83d\\ude00"}\r\n'
        b'\n{"type":"n","ts":1}\n'
    )
    for cut in range(len(pair) + 1):
        await feed.write_and_wait(pair[:cut])
        await feed.write(pair[cut:])
        first, second = await subscriber.messages(2)
        assert b'"symbol":"\xc3\xa9\xc3\xa9"' in first
        assert first.endswith(b',"x":"\\ud83d\\ude00"}')
        assert second.startswith(b'{"type":"n","asset":"feed","seq":%d,' % (2 * cut + 2))
    assert rejections(rig) == []


async def test_lines_byte_by_byte(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    for byte in tick(1) + b"garbage\n" + tick(2):
        await feed.write_and_wait(bytes([byte]))
    assert numbered(await subscriber.messages(2)) == [1, 2]
    assert rejections(rig) == [("not_json", b"garbage", 7)]


async def test_lines_in_blocks_of_odd_sizes(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    text = b"".join(tick(number, pad=number * 7 % 3000) for number in range(1, 500))
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            at = 0
            for size in (1, 4095, 4096, 4097, 65535, 65536, 65537, 131072, 200_000, len(text)):
                await feed.write(text[at : at + size])
                at += size

        assert numbered(await subscriber.messages(499)) == list(range(1, 500))


async def test_longest_line(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    room = 65536 - len(tick(1, pad=1)) + 1
    longest = tick(1, pad=room + 1)
    assert len(longest) == 65537
    await feed.write(longest + tick(2, pad=room + 2) + tick(3))
    first, second = await subscriber.messages(2)
    assert numbered([first, second]) == [1, 3]
    assert json.loads(first)["pad"] == "x" * (room + 1)
    await until(lambda: rig.lines)
    [(reason, line, length)] = rejections(rig)
    assert (reason, length) == ("line_too_long", 65537)
    assert line.startswith(b'{"symbol":"A","price":2,')
    assert len(line) == 1024


@pytest.mark.parametrize("cut", [0, 1, 99, 100, 101, 102])
async def test_the_limit_may_be_smaller(cut: int) -> None:
    async with running(line_bytes=100) as rig:
        feed = rig.feed()
        subscriber = rig.subscriber((feed.asset, None))
        lines = [tick(1, pad=100 - len(tick(1, pad=1)) + 2), tick(2, pad=100 - len(tick(2, pad=1)) + 3)]
        assert [len(line) for line in lines] == [101, 102]
        for line in lines:
            await feed.write_and_wait(line[:cut])
            await feed.write_and_wait(line[cut:])
        await feed.write(tick(3))
        assert numbered(await subscriber.messages(2)) == [1, 3]
        await until(lambda: rejections(rig))
        assert [reason for reason, _, _ in rejections(rig)] == ["line_too_long"]


@pytest.mark.parametrize("filling", [b"x", b"\x00", b'{"a":[', b"\xff"])
async def test_ten_megabytes_without_a_line_feed(rig: Rig, filling: bytes) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    await feed.write(tick(1))
    for _ in range(160):
        await feed.write((filling * 65536)[:65536])
    assert rig.pump.asset_statistics(feed.asset).rejected == {"line_too_long": 1}  # told before it ends
    await feed.write(b"\n" + tick(2))
    assert numbered(await subscriber.messages(2)) == [1, 2]
    await until(lambda: rig.lines)
    [(reason, line, length)] = rejections(rig)
    assert (reason, line) == ("line_too_long", (filling * 1024)[:1024])
    assert length > 65536
    assert rig.pump.asset_statistics(feed.asset).rejected == {"line_too_long": 1}


@pytest.mark.parametrize(
    ("tail", "reason", "sample"),
    [
        (b"", None, b""),
        (b'{"symbol":"A"', "unterminated_line", b'{"symbol":"A"'),
        (tick(9).rstrip(b"\n"), "unterminated_line", None),
        (b"\x00", "unterminated_line", b"\x00"),
        (b"x" * 65536, "unterminated_line", b"x" * 65536),
        (b"x" * 65537, "line_too_long", b"x" * 1024),
        (b"x" * 300_000, "line_too_long", b"x" * 1024),
    ],
)
async def test_the_end_of_a_source(rig: Rig, tail: bytes, reason: str | None, sample: bytes | None) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    await feed.write(b"".join(map(tick, range(1, 1001))) + tail)
    ended = await feed.end()
    assert ended == SourceEnded(feed.handle, feed.asset, 0)
    assert numbered(await subscriber.messages(1000)) == list(range(1, 1001))
    assert rig.pump.asset_statistics(feed.asset).rejected == ({reason: 1} if reason else {})
    expected = tail if sample is None else sample
    assert [(got, line) for got, line, _ in rejections(rig)] == ([(reason, expected)] if reason else [])


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
        length for _, _, length in rejections(rig)
    )
    assert statistics.rejected in ({}, {"unterminated_line": 1})


async def test_status_lines_and_heartbeats(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    await feed.write(b'{"type":"status","state":"connected"}\n{"type":"heartbeat"}\n \t\r\n\n' + tick(1))
    await subscriber.messages(1)
    await until(lambda: rig.lines)
    assert rig.lines == [StatusLine(feed.asset, b'{"type":"status","state":"connected"}')]
    statistics = rig.pump.asset_statistics(feed.asset)
    assert (statistics.statuses, statistics.heartbeats, statistics.ticks, statistics.lines) == (1, 1, 1, 3)
    assert statistics.seq == 1


async def test_rejected_lines_are_told_with_their_bytes(rig: Rig) -> None:
    feed = rig.feed()
    bad = [b"\x00\x01\xff", b"{", b'{"symbol":"A","price":1,"ts":1e999999}', b"x" * 60_000]
    await feed.write(b"\n".join(bad) + b"\n")
    await until(lambda: len(rig.lines) == 4)
    assert [line for _, line, _ in rejections(rig)] == bad
    assert [length for _, _, length in rejections(rig)] == [len(line) for line in bad]
    assert rig.pump.asset_statistics(feed.asset).rejected == {"not_json": 3, "invalid_timestamp": 1}
    receipts = [event.received_ns for event in rig.lines if isinstance(event, LineRejected)]
    assert receipts[-1] == rig.pump.asset_statistics(feed.asset).last_received_ns


async def test_a_flood_of_bad_lines_is_counted_to_the_last(rig: Rig) -> None:
    """While the control plane is busy elsewhere (it is: this test does not let it run), only so much is kept for it."""
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    os.set_blocking(feed.pipe.fileno(), True)
    flood = 300
    for number in range(flood):
        os.write(feed.pipe.fileno(), b"x" * 40_000 + b"\n" + tick(number + 1))
    os.set_blocking(feed.pipe.fileno(), False)
    assert numbered(await subscriber.messages(flood)) == list(range(1, flood + 1))
    assert rig.pump.asset_statistics(feed.asset).rejected == {"not_json": flood}
    dropped = rig.pump.statistics().events_dropped
    await until(lambda: len(rig.lines) == flood - dropped)
    assert 0 < dropped < flood
    await feed.write(b"{\n")
    await until(lambda: rejections(rig)[-1] == ("not_json", b"{", 1))
    await feed.end()  # told, however many lines were not


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

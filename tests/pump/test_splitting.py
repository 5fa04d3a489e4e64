"""From a pipe's bytes to lines, wherever they are cut; bad lines and the end of a source."""

from __future__ import annotations

import json
import os

import pytest
import trio
from rig import Rig, numbered, running, tick, until

from finstream.pump import LineRejected, SourceEnded, StatusLine


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
    assert rig.rejections() == []


async def test_lines_byte_by_byte(rig: Rig) -> None:
    feed = rig.feed()
    subscriber = rig.subscriber((feed.asset, None))
    for byte in tick(1) + b"garbage\n" + tick(2):
        await feed.write_and_wait(bytes([byte]))
    assert numbered(await subscriber.messages(2)) == [1, 2]
    assert rig.rejections() == [("not_json", b"garbage", 7)]


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
    [(reason, line, length)] = rig.rejections()
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
        await until(lambda: rig.rejections())
        assert [reason for reason, _, _ in rig.rejections()] == ["line_too_long"]


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
    [(reason, line, length)] = rig.rejections()
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
    assert [(got, line) for got, line, _ in rig.rejections()] == ([(reason, expected)] if reason else [])


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
    assert [line for _, line, _ in rig.rejections()] == bad
    assert [length for _, _, length in rig.rejections()] == [len(line) for line in bad]
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
    await until(lambda: rig.rejections()[-1] == ("not_json", b"{", 1))
    await feed.end()  # told, however many lines were not

"""Fuzz the pump: every input must be read as the twin reads it, and nothing may break.

    python tests/pump/fuzz.py                    20,000 inputs, the same ones each time
    python tests/pump/fuzz.py --forever          until something is found; a new seed each round
    python tests/pump/fuzz.py --seed 7 --inputs 5000

Inputs are the hand-written seeds in corpus/ (one a line) and the table of rejected lines, spoilt by mutations.py. Each
goes through ``parse_line``; then all of them, cut anywhere, go as one stream through a pipe into a running pump, with
slow and quick subscribers behind it. What is found is printed as Python bytes; once it is understood, add it to
corpus/regressions.lines.

Beside that, a listening pump gets frames and request heads that are spoilt in the same manner: frames must mean what they mean to
wsproto, heads must arrive as they were sent.

Run under the sanitizers by sanitized.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import socket
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import clients
import mutations
import parsers
import rejected
import trio
import twin
from rig import Feed, Subscriber, running, until

from finstream.pump import Framing, Pump, Requested, SourceEnded
from finstream.vocabulary.policies import Policy

CORPUS = Path(__file__).parent / "corpus"
LONGEST_LINE = 65536
ROUND = 500
"""Inputs of which one stream is made."""


class Difference(AssertionError):  # noqa: N818 (it is what we look for)
    """The native pump and the twin do not agree."""


def seeds() -> list[bytes]:
    files = sorted(CORPUS.glob("*.lines"))
    lines = [line for file in files for line in file.read_bytes().split(b"\n") if line]
    return lines + [line for of_reason in rejected.REJECTED.values() for line in of_reason]


def inputs(seed: int, count: int) -> list[bytes]:
    """The seeds themselves first, then ever new mutations of them."""
    known = seeds()
    good = [line for line in known if parsers.by_twin(line)[0] != "rejected"]
    choose = random.Random(seed)
    mutated = [
        mutations.mutate(choose, choose.choice(known if choose.random() < 0.2 else good), known)
        for _ in range(count - len(known))
    ]
    return known[:count] + mutated


def compare_parsers(choose: random.Random, line: bytes) -> tuple[str, bytes]:
    """Returns what both make of it."""
    if b"\n" in line or len(line) > LONGEST_LINE:
        return "rejected", b"line_too_long"  # or several lines: the pump's splitter never lets these through
    settings: dict[str, Any] = {
        "seq": choose.choice([1, 2**31, 2**63 - 1]),
        "received_ns": choose.choice([0, 1_716_230_000_123_812_999, 1_763_700_000_000_000_000]),
        "future_ms": choose.choice([-1, 0, 60_000]),
        "max_age_ms": choose.choice([-1, 0, 604_800_000]),
        "simulated": choose.random() < 0.5,
    }
    native, by_twin = parsers.native(line, **settings), parsers.by_twin(line, **settings)
    if native != by_twin:
        raise Difference(f"line {line!r}\nsettings {settings}\nnative {native!r}\ntwin   {by_twin!r}")
    return by_twin


# --- the whole pump ---


def expected_of(stream: bytes) -> tuple[list[bytes], Counter[str]]:
    """What the twin makes of a stream that ends: messages (without the time of receipt), rejections by reason."""
    *lines, rest = stream.split(b"\n")
    messages: list[bytes] = []
    reasons: Counter[str] = Counter()
    for line in lines:
        if len(line) > LONGEST_LINE:
            reasons["line_too_long"] += 1
            continue
        match twin.parse_line(line, asset="fuzz", seq=len(messages) + 1):
            case twin.Rejected(reason):
                reasons[reason] += 1
            case twin.Tick(message) | twin.Opaque(message):
                messages.append(_without_receipt(message))
    if rest:
        reasons["line_too_long" if len(rest) > LONGEST_LINE else "unterminated_line"] += 1
    return messages, reasons


def _without_receipt(message: bytes) -> bytes:
    return re.sub(rb'("ts_event":[0-9]+,"ts_recv":)[0-9]+', rb"\1?", message, count=1)


async def compare_pump(choose: random.Random, stream: bytes) -> None:
    """Through a real pipe in pieces of any size; one reader is quick, one slow, one leaves, one is killed. A rival tells the
    same, and the best of the two is published."""
    messages, reasons = expected_of(stream)
    async with running() as rig:
        feed = rig.feed("fuzz")
        everything = (feed.asset, None)
        readers = [
            rig.subscriber(everything, max_bytes=1 << 30),
            rig.subscriber(everything, max_bytes=1 << 30, framing=Framing.LINES, buffer_bytes=4096),
        ]
        rig.subscriber(everything, (feed.asset, "A"), max_bytes=10_000, buffer_bytes=4096)
        rig.subscriber(everything).socket.close()
        best, rival = rig.pump.add_best("best"), rig.feed("rival")
        judge = rig.subscriber((best, None), max_bytes=1 << 30, framing=Framing.LINES)
        for policy in (Policy(policy="skip"), Policy(policy="conflate", max_rate=100)):
            tamed = rig.subscriber(max_bytes=10_000, buffer_bytes=4096)
            rig.pump.subscribe(tamed.handle, best, choose.choice([None, "A"]), policy)
        async with trio.open_nursery() as nursery:
            for reader in readers:
                nursery.start_soon(_compare_messages, reader, messages)
            nursery.start_soon(_write_in_pieces, random.Random(choose.random()), rival, stream)
            await _write_in_pieces(choose, feed, stream)
        for each in (feed, rival):
            await each.pipe.aclose()
            await until(lambda each=each: any(isinstance(event, SourceEnded) for event in each.told))  # type: ignore[misc]
        published = await judge.messages(rig.pump.asset_statistics(best).seq)
        numbers = [re.search(rb'"asset":"best","seq":([0-9]+)', message) for message in published]
        if [number and int(number[1]) for number in numbers] != list(range(1, len(published) + 1)):
            raise Difference(f"stream {stream!r}\nthe best source's: {published!r}")
        for message in published:
            json.loads(message)
        if rig.pump.asset_statistics(feed.asset).rejected != dict(reasons):
            raise Difference(f"stream {stream!r}\npump {rig.pump.asset_statistics(feed.asset)}\ntwin {reasons}")
        rig.pump.arena()
        rig.pump.new_rankings()
        for symbol in rig.pump.symbol_statistics(feed.asset):
            rig.pump.form_on_symbol(feed.asset, symbol.symbol)


async def _write_in_pieces(choose: random.Random, feed: Feed, stream: bytes) -> None:
    at = 0
    while at < len(stream):
        size = choose.choice([1, 7, 100, 1000, 4096, 65_536, 200_000])
        await feed.write(stream[at : at + size])
        at += size


async def _compare_messages(reader: Subscriber, expected: list[bytes]) -> None:
    received = [_without_receipt(message) for message in await reader.messages(len(expected))]
    for got, wanted in zip(received, expected, strict=True):
        if got != wanted:
            raise Difference(f"pump {got!r}\ntwin {wanted!r}")


def soup(choose: random.Random, lines: list[bytes]) -> bytes:
    """Lines, and now and then what is none: blanks, noise, far too long lines. Perhaps no line feed at the end."""
    pieces = []
    for line in lines:
        pieces.append(line + b"\n")
        match choose.randrange(60):
            case 0:
                pieces.append(choose.choice([b"\n", b"\r\n", b" \n", b"\x00\n"]) * choose.randint(1, 50))
            case 1:
                pieces.append(choose.randbytes(choose.randint(1, 3000)))
            case 2:
                filling = choose.choice([b"x", b"[", b'{"a":"', b"\\"])
                pieces.append(filling * choose.randint(LONGEST_LINE // 6, 4 * LONGEST_LINE) + b"\n")
            case 3:
                pieces.append(b'{"symbol":"A","price":1,"ts":1,"pad":"%s"}\n' % (b"x" * choose.randint(65_400, 65_500)))
    stream = b"".join(pieces)
    return stream if choose.random() < 0.5 else stream.rstrip(b"\n")


# --- the listening pump ---

CLIENTS_A_ROUND = 25
LONGEST_HEAD = 16384
OTHER_CLOSE_CODES = {*range(1012, 3000)}
"""About these wsproto thinks otherwise; see test_reader.py."""


async def compare_frames(choose: random.Random, known: list[bytes]) -> None:
    """Frames at random, then the same spoilt, from one client after the other."""
    async with clients.serving() as server:
        for _ in range(CLIENTS_A_ROUND):
            data = clients.random_frames(choose)
            if choose.random() < 0.5:
                data = mutations.mutate(choose, data, known)[:100_000]
            last = clients.frame(clients.PING, b"that was all")
            messages, pings, end = clients.expected(data + last)
            cuts = sorted({choose.randrange(1, len(data)) for _ in range(choose.randrange(4))}) if len(data) > 1 else []
            got = await clients.heard(server, data, cuts, is_answered=b"that was all" in pings)
            if end == "not utf-8" != got[2]:
                continue  # wsproto does not wait for the message's end to look
            if end in OTHER_CLOSE_CODES:
                continue
            if end is None and b"that was all" not in pings and got[2] == "fault":
                end = "fault"  # wsproto waits for the rest of a frame, however long; the pump sees from its head that it is none
            if (got[0], got[2]) != (messages, end):
                raise Difference(f"frames {data!r} cut at {cuts}\npump    {got!r}\nwsproto {(messages, pings, end)!r}")


def head_of(said: bytes) -> bytes | None:
    """What the pump takes for the head of a request: up to the first empty line, or as much as it puts up with."""
    end = said.find(b"\r\n\r\n") + 4
    if 4 <= end <= LONGEST_HEAD:
        return said[:end]
    return said[:LONGEST_HEAD] if len(said) > LONGEST_HEAD else None


async def compare_heads(choose: random.Random, known: list[bytes]) -> None:
    """Spoilt requests: what is a head is asked about, whatever it says; what is none is not."""
    pump = Pump()
    asked: list[Requested] = []

    def refuse(request: Requested) -> None:
        asked.append(request)
        pump.refuse(request.outbox, b"no")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            await nursery.start(pump.run)
            pump.listen(listener.fileno(), refuse, most_connections=100, leaving_s=5)
            for _ in range(CLIENTS_A_ROUND):
                said = _spoilt_head(choose, known)
                asked.clear()
                answer = await _say_and_leave(choose, listener.getsockname()[1], said)
                head = head_of(said)
                if [request.head for request in asked] != ([] if head is None else [head]) or answer not in (b"", b"no"):
                    raise Difference(f"said {said!r}\nasked {asked!r}\nanswered {answer!r}")
            await until(lambda: pump.statistics().outboxes == 0)
            pump.stop_listening()
            pump.stop()


def _spoilt_head(choose: random.Random, known: list[bytes]) -> bytes:
    lines = [b"GET /v1/stream?client=x HTTP/1.1", b"Host: here", b"Upgrade: websocket", b"Connection: Upgrade"]
    head = b"\r\n".join([*lines, b"X: " + b"x" * choose.choice([0, 10, 1000, 16_300, 16_400]), b"", b""])
    match choose.randrange(4):
        case 0:
            head = mutations.mutate(choose, head, known)
        case 1:
            head = head[: choose.randrange(len(head))]
        case 2:
            head += choose.randbytes(choose.randrange(100))
    return head[:30_000]


async def _say_and_leave(choose: random.Random, port: int, said: bytes) -> bytes:
    """Returns what was answered."""
    answer = b""
    with trio.fail_after(30):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                at = 0
                while at < len(said):
                    size = choose.choice([1, 50, 5000, 20_000])
                    await stream.send_all(said[at : at + size])
                    at += size
                await stream.send_eof()
                async for part in stream:
                    answer += part
            except trio.BrokenResourceError:  # refused before all was said
                pass
    return answer


def run(seed: int, count: int, direct: float = 1.0) -> Counter[str]:
    """Raises Difference. ``direct`` is the share that parse_line reads, too; returns what became of those."""
    choose = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for lines in _rounds(inputs(seed, count)):
        for line in lines:
            if choose.random() >= direct:
                continue
            kind, text = compare_parsers(choose, line)
            outcomes[text.decode() if kind == "rejected" else kind] += 1
        trio.run(partial(compare_pump, choose, soup(choose, lines)))
        trio.run(partial(compare_frames, choose, lines))
        trio.run(partial(compare_heads, choose, lines))
    return outcomes


def _rounds(lines: list[bytes]) -> list[list[bytes]]:
    return [lines[at : at + ROUND] for at in range(0, len(lines), ROUND)]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--direct", type=float, default=1.0, help="share of the inputs that go through parse_line, too")
    parser.add_argument("--forever", action="store_true")
    options = parser.parse_args(arguments)
    for seed in itertools.count(options.seed):
        try:
            outcomes = run(seed, options.inputs, options.direct)
        except Difference as found:
            print(f"seed {seed}:\n{found}", file=sys.stderr)
            return 1
        print(f"seed {seed}: {options.inputs} inputs read alike: {dict(outcomes.most_common())}", flush=True)
        if not options.forever:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

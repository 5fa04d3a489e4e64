"""Fuzz the pump: every input must be read as the twin reads it, and nothing may break.

    python tests/pump/fuzz.py                    20,000 inputs, the same ones each time
    python tests/pump/fuzz.py --forever          until something is found; a new seed each round
    python tests/pump/fuzz.py --seed 7 --inputs 5000

Inputs are the hand-written seeds in corpus/ (one a line) and the table of rejected lines, spoilt by mutations.py. Each
goes through ``parse_line``; then all of them, cut anywhere, go as one stream through a pipe into a running pump, with
slow and quick subscribers behind it. What is found is printed as Python bytes; once it is understood, add it to
corpus/regressions.lines.

Run under the sanitizers by sanitized.py.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import mutations
import parsers
import rejected
import trio
import twin
from rig import Feed, Subscriber, running, until

from finstream.pump import Framing, SourceEnded

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
    """Through a real pipe in pieces of any size; one reader is quick, one slow, one leaves, one is killed."""
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
        async with trio.open_nursery() as nursery:
            for reader in readers:
                nursery.start_soon(_compare_messages, reader, messages)
            await _write_in_pieces(choose, feed, stream)
            await feed.pipe.aclose()
        await until(lambda: any(isinstance(event, SourceEnded) for event in feed.told))
        if rig.pump.asset_statistics(feed.asset).rejected != dict(reasons):
            raise Difference(f"stream {stream!r}\npump {rig.pump.asset_statistics(feed.asset)}\ntwin {reasons}")
        rig.pump.arena()
        rig.pump.symbol_statistics(feed.asset)


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

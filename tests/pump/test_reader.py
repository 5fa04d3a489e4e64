"""The pump's reading side, held against wsproto: what a client sends, cut anywhere, means the same to both.

Cases by hand after the list of the Autobahn test suite for servers (framing, pings, reserved bits, opcodes, fragmentation, UTF-8,
close handling), then frames at random, most of them good, some damaged.
"""

from __future__ import annotations

import os
import random

import pytest
from clients import BINARY, CLOSE, MORE, PING, PONG, TEXT, closing, expected, frame, heard, random_frames, serving

EFFORT = float(os.environ.get("FINSTREAM_TEST_EFFORT", "1"))

CODES = (0, 999, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000)
CASES = {
    "nothing": b"",
    "empty text": frame(TEXT),
    "text of 125": frame(TEXT, b"a" * 125),
    "text of 126": frame(TEXT, b"a" * 126),
    "text of 65,535": frame(TEXT, b"a" * 65535),
    "binary": frame(BINARY, bytes(range(256))),
    "two at once": frame(TEXT, b"one") + frame(TEXT, b"two"),
    "ping": frame(PING, b"hello"),
    "ping of 125": frame(PING, b"p" * 125),
    "ping of 126": frame(PING, b"p" * 126),
    "ping in fragments": frame(PING, b"p", final=False),
    "pong unasked": frame(PONG, b"why not"),
    "reserved bit": frame(TEXT, b"a", reserved=4),
    "reserved bit of a ping": frame(PING, b"a", reserved=1),
    "opcode 3": frame(3, b"a"),
    "opcode 7": frame(7),
    "opcode 11": frame(11),
    "opcode 15": frame(15),
    "unmasked": frame(TEXT, b"a", masked=False),
    "length too long by one form": frame(TEXT, b"a", form=126),
    "length too long by two": frame(TEXT, b"a", form=127),
    "length in 64 bits, all set": b"\x81\xff" + b"\xff" * 8 + b"abcd",
    "fragments": frame(TEXT, b"frag", final=False) + frame(MORE, b"ment"),
    "empty fragments": frame(TEXT, final=False) + frame(MORE, final=False) + frame(MORE),
    "ping between fragments": frame(TEXT, b"a", final=False) + frame(PING, b"x") + frame(MORE, b"b"),
    "continuation of nothing": frame(MORE, b"a"),
    "continuation after the end": frame(TEXT, b"a") + frame(MORE, b"b"),
    "text within a message": frame(TEXT, b"a", final=False) + frame(TEXT, b"b"),
    "head of a continuation of nothing": frame(MORE, b"a" * 112)[:20],
    "head of a text within a message": frame(TEXT, b"a", final=False) + frame(TEXT, b"b" * 112)[:20],
    "utf-8": frame(TEXT, "κόσμε".encode()),
    "utf-8 cut by a fragment": frame(TEXT, b"\xce", final=False) + frame(MORE, b"\xba"),
    "utf-8 broken": frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"),
    "utf-8 unfinished": frame(TEXT, b"abc\xf0\x9f\x98"),
    "utf-8 overlong": frame(TEXT, b"\xc0\xaf"),
    "utf-8 beyond unicode": frame(TEXT, b"\xf4\x90\x80\x80"),
    "a text after a broken one": frame(TEXT, b"\xff") + frame(TEXT, b"a"),
    "close": frame(CLOSE),
    "close 1000": closing(1000, b"bye"),
    "close of one byte": frame(CLOSE, b"\x03"),
    "close with broken utf-8": closing(1000, b"\xff"),
    "close of 126": closing(1000, b"r" * 124),
    **{f"close {code}": closing(code) for code in CODES},
    "text after close": closing(1000) + frame(TEXT, b"a"),
    "ping after close": closing(1000) + frame(PING),
}
# Where we differ from wsproto, and why.
OTHERWISE = {
    "close 1014": 1014,  # registered with IANA
    "close 1016": "fault",  # unassigned
    "close 2999": "fault",
}


@pytest.mark.parametrize("name", CASES)
async def test_it_means_what_it_means_to_wsproto(name: str) -> None:
    data = CASES[name]
    messages, pings, end = expected(data)
    end = OTHERWISE.get(name, end)
    async with serving() as server:
        for cuts in ([], [1], sorted({len(data) // 3, len(data) // 2})):
            got = await heard(server, data, [cut for cut in cuts if 0 < cut < len(data)])
            assert (got[0], got[2]) == (messages, end)
            if end is None:
                assert got[1] == pings


@pytest.mark.parametrize("seed", range(max(4, int(60 * EFFORT))))
async def test_frames_at_random(seed: int) -> None:
    rng = random.Random(seed)
    async with serving() as server:
        for _ in range(5):
            data = random_frames(rng)
            cuts = sorted({rng.randrange(1, len(data)) for _ in range(rng.randrange(4))}) if len(data) > 1 else []
            messages, pings, end = expected(data + frame(PING, b"that was all"))
            got = await heard(server, data, cuts, is_answered=b"that was all" in pings)
            if end == "not utf-8" != got[2]:
                continue  # wsproto does not wait for the message's end to look
            assert (got[0], got[2]) == (messages, end), data
            if end is None:
                assert got[1] == [payload for payload in pings if payload != b"that was all"]

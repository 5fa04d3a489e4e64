"""What ``finstream subscribe`` makes of messages that come when a reader is too slow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trio_websocket import CloseReason, ConnectionClosed

from finstream.cli.addresses import Addresses
from finstream.cli.subscription import Subscription
from finstream.vocabulary.policies import PLAIN, Policy


def tick(seq: int, **members: Any) -> dict[str, Any]:
    return {"type": "tick", "asset": "a", "seq": seq, "symbol": "X", "bid_price": "1", "ts_event": 0, "ts_recv": 1, **members}


GAP = {"type": "gap", "topic": "a", "asset": "a", "first_seq": 2, "last_seq": 1001, "count": 1000, "reason": "slow_consumer"}


async def told(messages: list[dict[str, Any]], *, policy: Policy = PLAIN) -> tuple[list[str], list[str]]:
    """Lines for standard output, and notes, of one connection with these messages."""
    lines: list[str] = []
    notes: list[str] = []
    left = iter(messages)

    async def write(line: str) -> None:
        lines.append(line)

    async def next_message() -> str:
        if (message := next(left, None)) is None:
            raise ConnectionClosed(CloseReason(1000, ""))
        return json.dumps(message)

    subscription = Subscription(Addresses(), ["a"], write=write, note=notes.append, policy=policy)
    await subscription._read(next_message)
    return lines, notes


async def test_a_gap_is_told_once() -> None:
    lines, notes = await told([tick(1), GAP, tick(1002), tick(1004)], policy=Policy(policy="skip"))
    assert len(lines) == 3
    assert notes == ["a: 1,000 messages skipped, 2 to 1001", "a: 1 messages missed"]


@pytest.mark.parametrize("policy", [Policy(policy="conflate"), Policy(max_rate=1)])
async def test_what_was_merged_is_not_missed(policy: Policy) -> None:
    lines, notes = await told([tick(1), tick(1300, conflated=1298)], policy=policy)
    assert lines[1].endswith("+1,298 merged")
    assert "merged" not in lines[0]
    assert notes == []


async def test_warnings_are_passed_on() -> None:
    warning = {"type": "warning", "code": "slow_consumer", "queued_bytes": 1, "detail": "half of it is waiting"}
    assert await told([warning]) == ([], ["warning: half of it is waiting"])

"""What the ingestors print is what the engine accepts, and what the simulation calls garbage is what it rejects."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finstream_ingestors.sim.garbage import GARBAGE, garbage_line

from finstream import _fastpath
from finstream.new_york_offsets import NEW_YORK_OFFSETS

REASONS = {
    "half a line": "not_json",
    "not JSON": "not_json",
    "price too large": "decimal_out_of_range",
    "price too fine": "decimal_out_of_range",
    "member twice": "duplicate_member",
    "member of the engine": "reserved_member",
    "invalid UTF-8": "invalid_utf8",
    "NUL bytes": "control_character",
    "bad escape": "invalid_escape",
    "deep nesting": "too_deep",
}
"""Where the rule's name and the reason's are the same thing said twice, there is nothing to look up."""


def parse(line: bytes, *, is_replay: bool = False) -> tuple[str, bytes]:
    """As the pump does with its default bounds."""
    max_age_ms = -1 if is_replay else 7 * 24 * 3600 * 1000
    return _fastpath.parse_line(
        line, NEW_YORK_OFFSETS, received_ns=time.time_ns(), future_ms=60_000, max_age_ms=max_age_ms
    )


@pytest.mark.parametrize("rule", GARBAGE)
def test_each_lie_is_rejected(rule: str) -> None:
    line = garbage_line(GARBAGE[rule], time.time_ns()).rstrip(b"\n")
    if rule == "too long":
        assert len(line) > _fastpath.MAX_LINE_BYTES
        return
    kind, reason = parse(line)
    assert kind == "rejected"
    assert reason.decode() == REASONS.get(rule, reason.decode())


def test_the_simulations_ticks_are_accepted(run: Callable[..., Any]) -> None:
    lines = run("sim", "--count", "500", "--rate", "20000").stdout.splitlines()
    assert {parse(line.encode())[0] for line in lines} == {"tick"}


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("name", "path", "symbols"),
    [
        ("binance", "binance/spot_btcusdt_20240808.jsonl", "BTC/USDT"),
        ("binance", "binance/documented_examples.jsonl", "BNB/BTC"),
        ("binance", "binance/spot_aggtrade_depth_kline_20210404.jsonl", "BTC/USDT,ETH/USDT"),
        ("coinbase", "coinbase/exchange_matches_heartbeat_level2batch_btc_20260707.jsonl", "BTC/USD"),
        ("coinbase", "coinbase/exchange_ticker_matches_level2_20210417.jsonl", "SKL/USD"),
        ("coinbase", "coinbase/advanced_btc_eth_20260809.jsonl", "BTC/USD,ETH/USD"),
    ],
)
def test_each_line_of_a_venue_is_accepted(
    name: str, path: str, symbols: str, recordings: Path, run: Callable[..., Any]
) -> None:
    result = run(name, "--replay", str(recordings / path), "--symbols", symbols, "--speed", "max")
    kinds = [parse(line.encode(), is_replay=True)[0] for line in result.stdout.splitlines()]
    assert set(kinds) <= {"tick", "status", "heartbeat"}
    assert kinds.count("tick") > 0

"""``finstream deadletter``: what an engine has rejected, read back."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
LINES = [
    ("binance", "not_json", b"garbage"),
    ("binance", "price_not_positive", b'{"symbol":"A","price":"0","ts":1}'),
    ("kraken", "invalid_utf8", b'{"symbol":"\xff"}'),
    ("kraken", "timestamp_too_old", b'{"symbol":"A","price":"1.50","ts":1700000000}'),
]


def letter(at_us: int, asset: str, reason: str, line: bytes, *, whole: int | None = None) -> dict[str, object]:
    kept: dict[str, object] = {"at": at_us, "asset": asset, "reason": reason, "line_bytes": whole or len(line)}
    try:
        kept["line"] = line.decode()
    except UnicodeDecodeError:
        import base64

        kept["line_base64"] = base64.b64encode(line).decode()
    return kept


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Four lines, the first two in the older file; and one that the engine did not finish."""
    now_us = time.time_ns() // 1000
    letters = [letter(now_us - (4 - i) * 1_000_000_000, *each) for i, each in enumerate(LINES)]
    path = tmp_path / "dead.jsonl"
    (tmp_path / "dead.jsonl.1").write_text("".join(json.dumps(each) + "\n" for each in letters[:2]))
    path.write_text("".join(json.dumps(each) + "\n" for each in letters[2:]) + '{"at":17')
    file = tmp_path / "config.yaml"
    file.write_text(f"dead_letters: {{path: {path}, files: 2}}\n")
    return str(file)


def test_the_newest_lines_come_last(finstream: Run, config: str) -> None:
    told = finstream("deadletter", "list", "--config", config)
    assert (told.returncode, told.stderr) == (0, "")
    rows = told.stdout.splitlines()
    places = ["dead.jsonl.1:1", "dead.jsonl.1:2", "dead.jsonl:1", "dead.jsonl:2"]
    assert [row.split()[0] for row in rows[1:5]] == places
    assert rows[1].split()[-1] == "garbage"
    assert "4 rejected lines kept: 1 not_json" in rows[5]


def test_lines_are_chosen_by_asset_reason_and_age(finstream: Run, config: str) -> None:
    def listed(*options: str) -> list[str]:
        told = finstream("deadletter", "list", "--config", config, "--json", *options)
        assert told.returncode == 0, told.stderr
        return [json.loads(line)["reason"] for line in told.stdout.splitlines()]

    assert listed("--asset", "kraken") == ["invalid_utf8", "timestamp_too_old"]
    assert listed("--reason", "not_json") == ["not_json"]
    assert listed("--since", "2500s") == ["invalid_utf8", "timestamp_too_old"]
    assert listed("--last", "1") == ["timestamp_too_old"]
    assert listed("--asset", "nobody") == []


def test_one_line_in_full(finstream: Run, config: str) -> None:
    told = finstream("deadletter", "show", "dead.jsonl.1:2", "--config", config)
    assert told.returncode == 0
    assert "price_not_positive: price is zero or negative" in told.stdout
    assert told.stdout.splitlines()[-1] == '{"symbol":"A","price":"0","ts":1}'
    newest = finstream("deadletter", "show", "--config", config, "--json")
    assert json.loads(newest.stdout)["place"] == "dead.jsonl:2"


def test_a_line_that_is_not_there(finstream: Run, config: str) -> None:
    told = finstream("deadletter", "show", "dead.jsonl:99", "--config", config)
    assert (told.returncode, told.stdout) == (1, "")
    assert "no rejected line at dead.jsonl:99" in told.stderr


def test_lines_are_replayed_byte_for_byte(finstream: Run, config: str) -> None:
    told = finstream("deadletter", "replay", "--config", config, text=False)
    assert told.returncode == 0
    assert told.stdout == b"".join(line + b"\n" for _, _, line in LINES)


def test_what_was_cut_is_not_replayed(finstream: Run, config: str, tmp_path: Path) -> None:
    cut = letter(time.time_ns() // 1000, "binance", "line_too_long", b"x" * 1024, whole=70_000)
    (tmp_path / "dead.jsonl").write_text(json.dumps(cut) + "\n")
    told = finstream("deadletter", "replay", "--config", config, "--reason", "line_too_long")
    assert told.stdout == ""
    assert "1 line left out: only the beginning had been kept" in told.stderr


def test_an_engine_in_production_gets_none_of_it(finstream: Run, config: str) -> None:
    def replayed(mode: str) -> subprocess.CompletedProcess[str]:
        chosen = ("--config", config, "--reason", "not_json")
        return finstream("deadletter", "replay", *chosen, env=os.environ | {"FINSTREAM_MODE": mode})

    refused = replayed("production")
    assert (refused.returncode, refused.stdout) == (78, ""), "the code after which it is not started again"
    assert "origin: replay" in refused.stderr
    assert replayed("simulation").stdout == "garbage\n"


def test_nothing_has_been_rejected_yet(finstream: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"dead_letters: {{path: {tmp_path}/none.jsonl}}\n")
    told = finstream("deadletter", "list", "--config", str(file))
    assert (told.returncode, told.stdout) == (0, "no rejected lines\n")


@pytest.mark.parametrize("span", ["1", "h", "1y", "-1h"])
def test_a_span_that_is_none(finstream: Run, config: str, span: str) -> None:
    told = finstream("deadletter", "list", "--config", config, "--since", span)
    assert told.returncode == 2
    assert "write 90s, 15m, 2h or 1d" in told.stderr


def test_a_file_that_may_not_be_read(finstream: Run, config: str, tmp_path: Path) -> None:
    (tmp_path / "dead.jsonl").unlink()
    (tmp_path / "dead.jsonl").mkdir()
    told = finstream("deadletter", "list", "--config", config)
    assert told.returncode == 1
    assert "the dead-letter file cannot be read" in told.stderr

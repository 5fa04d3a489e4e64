"""Each ingestor as a program: help, exit codes, signals, and what it may import."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import finstream_ingestors
import pytest

PACKAGE = Path(finstream_ingestors.__file__).parent
NAMES = sorted(
    [path.stem for path in PACKAGE.glob("*.py") if "__main__" in path.read_text()]
    + [path.parent.name for path in PACKAGE.glob("*/__main__.py")]
)


def test_programs_are_found() -> None:
    assert {"binance", "coinbase", "keys", "kraken", "okx", "sim", "yahoo"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help_has_examples(name: str, run: Callable[..., Any]) -> None:
    result = run(name, "--help", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert f"python -m finstream_ingestors.{name} {'new' if name == 'keys' else '--'}" in result.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "hint"),
    [
        ("binance", [], "--symbols or --listing is needed"),
        ("binance", ["--symbols", "BTCUSDT"], "BASE/QUOTE"),
        ("binance", ["--no-such"], "--no-such"),
        ("binance", ["--symbols", "A/B", "--speed", "0"], "not a positive number"),
        ("binance", ["--symbols", "A/B", "--speed", "2"], "are for --replay"),
        ("binance", ["--symbols", "A/B", "--loop"], "are for --replay"),
        ("binance", ["--symbols", "A/B", "--replay", "no-such-file.jsonl"], "no-such-file.jsonl: No such file"),
        ("binance", ["--listing", "no-such-file.json"], "no-such-file.json"),
        ("binance", ["--symbols", "A/B", "--url", "http://example.org"], "not a WebSocket address"),
        ("yahoo", ["--symbols", "A/B", "--listing", "README.md"], "yahoo has none"),
        ("yahoo", ["--symbols", ",".join(f"S{number}" for number in range(101)), "--url", "ws://x"], "up to 100"),
        ("okx", ["--symbols", "AAPL", "--url", "ws://x"], "BASE/QUOTE"),
        ("kraken", ["--symbols", "A/B", "--url", "ws://x", "--lifetime-s", "0"], "not a positive number"),
        ("coinbase", ["--symbols", "A/B", "--feed", "other"], "--feed"),
        ("coinbase", ["--symbols", "A/B", "--replay", "README.md"], "looks like one of Coinbase's"),
        ("sim", ["--rate", "fast"], "--rate"),
        ("sim", ["--garbage", "1.5"], "between 0 and 1"),
        ("sim", ["--symbols", 'A"B'], "is no name"),
        ("sim", ["--count", "-1"], "whole number"),
    ],
)
def test_what_can_never_work_exits_with_78_and_the_remedy(
    name: str, arguments: list[str], hint: str, run: Callable[..., Any]
) -> None:
    result = run(name, *arguments)
    assert result.returncode == 78
    assert hint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_library_is_named_with_the_command_that_installs_it() -> None:
    program = (
        "import sys; sys.modules['websockets'] = None; from finstream_ingestors.binance.__main__ import main;"
        "sys.exit(main(['--symbols', 'A/B']))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 78
    assert "pip install 'finstream[ingestors]'" in result.stderr


@pytest.mark.parametrize("arguments", [["--rate", "1"], ["--rate", "20000"], ["--stall-every", "0.1"]])
def test_sigterm_ends_it_at_once_and_in_silence(arguments: list[str], start: Callable[..., Any]) -> None:
    program = start("sim", *arguments)
    program.next_tick()
    assert program.terminate() == 0
    assert program.stderr == ""


def test_sigterm_ends_it_when_nobody_reads(start: Callable[..., Any]) -> None:
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "finstream_ingestors.sim", "--rate", "20000", "--burst-every", "0.01"]
    with subprocess.Popen(command, stdout=writer) as process:
        os.read(reader, 1)
        process.terminate()
        assert process.wait(5) == 0
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("rate", ["5", "20000"])
def test_a_reader_that_leaves_ends_it_quietly(rate: str) -> None:
    command = [sys.executable, "-m", "finstream_ingestors.sim", "--rate", rate]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


def imported_modules(path: Path) -> set[str]:
    """The absolute imports of a file, by their first name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found


def test_ingestors_import_neither_the_engine_nor_anything_unnamed() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 20
    allowed = {*sys.stdlib_module_names, "msgspec", "websockets", "httpx", "google", "cryptography"}
    assert {str(path): extra for path in files if (extra := imported_modules(path) - allowed)} == {}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("finstream_ingestors.sim.__main__", ["msgspec", "websockets", "asyncio"]),
        ("finstream_ingestors.binance.__main__", ["websockets"]),
        ("finstream_ingestors.coinbase.__main__", ["websockets"]),
        ("finstream_ingestors.kraken.__main__", ["websockets", "httpx", "google", "cryptography"]),
        ("finstream_ingestors.okx", ["websockets", "httpx"]),
        ("finstream_ingestors.yahoo", ["websockets", "httpx", "google", "cryptography"]),
    ],
)
def test_what_a_program_does_not_need_is_not_loaded(module: str, forbidden: list[str]) -> None:
    program = f"import sys, {module}; print(*set({forbidden!r}) & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "\n"

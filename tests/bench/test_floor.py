"""The floor does the engine's work: same messages, same refusals where it can read a line at all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench import lines
from bench.load_client import Endpoint, LoadClient
from bench.processes import TrialFailed
from bench.systems.base import free_port
from bench.systems.certificate import certificate_missing, make_certificate
from bench.toolchain import Tools

GOOD = '{"symbol":"A/B","price":"1","volume":"2","ts":NOW,"bid":"3","ask":"4","trade_id":"5"}'


def measured(tools: Tools, file: Path, text: bytes) -> int:
    file.write_bytes(text)
    done = subprocess.run([tools.floor, "--measure", file, "1"], capture_output=True, check=True)
    ticks: int = msgspec.json.decode(done.stdout)["ticks"]
    return ticks


def test_it_accepts_the_producers_lines(tools: Tools, tmp_path: Path) -> None:
    assert measured(tools, tmp_path / "lines", lines.typical_lines()) == lines.LINES


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ('"1"', '"0"'), ('"1"', '"x"'), ('"1"', '"01"'), ('"1"', '"1."'), ('"1"', '".5"'), ('"1"', '""'),
        ('"1"', '"1234567890123456789012"'), ('"2"', '"-2"'), ('"A/B"', '""'), ('"5"}', '"5"'),
        ("NOW", "1"), ("NOW", "9999999999999999999"),
    ],
)  # fmt: skip
def test_it_refuses_what_is_wrong(tools: Tools, tmp_path: Path, part: str, instead: str) -> None:
    now = str(time.time_ns())
    text = "".join(line.replace("NOW", now) + "\n" for line in (GOOD, GOOD.replace(part, instead)))
    assert measured(tools, tmp_path / "lines", text.encode()) == 1


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest, tools: Tools, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Endpoint]]:
    port, tls = free_port(), request.param == "tls"
    if tls and (why := certificate_missing()):
        pytest.skip(why)
    process = subprocess.Popen([tools.floor, str(port), *(make_certificate(tmp_path) if tls else ())], stdin=subprocess.PIPE)
    yield process, Endpoint(port=port, stamp_member="ts_event", stamp_unit_ns=1000, tls=tls)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(5) == 0


def test_every_subscriber_gets_the_engines_message(
    server: tuple[subprocess.Popen[bytes], Endpoint], tools: Tools, tmp_path: Path
) -> None:
    process, endpoint = server
    first = 1_000_000_000
    # It may not listen yet.
    deadline = time.monotonic() + 5
    while True:
        try:
            client = LoadClient(tools.load_client, endpoint, 3, directory=tmp_path, timeout_s=5)
            break
        except TrialFailed:
            assert time.monotonic() < deadline
    with client:
        client.begin(first, time.time_ns(), 1000.0)
        assert process.stdin is not None
        process.stdin.write(lines.typical_lines())
        process.stdin.flush()
        receipt = client.finish(first + lines.LINES - 1, still_s=1.0)
    assert receipt.complete(first + lines.LINES - 1)
    assert receipt.write.negative == 0


def test_who_reads_late_gets_all_of_it(server: tuple[subprocess.Popen[bytes], Endpoint], tools: Tools, tmp_path: Path) -> None:
    """What sockets do not take is kept: 32 MiB of it, read by nobody before it has all been written."""
    process, endpoint = server
    deadline = time.monotonic() + 5
    while True:
        try:
            client = LoadClient(tools.load_client, endpoint, 1, directory=tmp_path, timeout_s=5)
            break
        except TrialFailed:
            assert time.monotonic() < deadline
    some, times = lines.typical_lines(), 30
    with client:
        client.begin(1_000_000_000, time.time_ns(), 1000.0)
        os.kill(client.pid, signal.SIGSTOP)
        assert process.stdin is not None
        for _ in range(times):
            process.stdin.write(some)
        process.stdin.flush()
        os.kill(client.pid, signal.SIGCONT)
        deadline = time.monotonic() + 20
        while (receipt := client.report()).messages < times * lines.LINES and not receipt.closed:
            assert time.monotonic() < deadline, receipt.messages
    assert (receipt.messages, receipt.closed, receipt.illegal) == (times * lines.LINES, 0, 0)

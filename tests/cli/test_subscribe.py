"""``finstream subscribe`` against a real engine, through reboots, closed pipes and Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
Interrupt = Callable[[subprocess.Popen[str]], tuple[int, str, str]]

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _uuid(note: str) -> str:
    found = UUID.search(note)
    assert found, note
    return found[0]


def _status(engine: Any, uuid: str) -> int:
    return httpx.get(f"{engine.addresses['public']}/v1/clients/{uuid}", trust_env=False).status_code


def test_so_many_messages_for_programs(engine: Any, finstream: Run) -> None:
    told = finstream("subscribe", "quick", "--json", "--count", "25")
    assert told.returncode == 0
    messages = [json.loads(line) for line in told.stdout.splitlines()]
    ticks = [message for message in messages if message["type"] == "tick"]
    assert messages[0]["type"] == "welcome"
    assert len(ticks) == 25
    assert [tick["seq"] for tick in ticks] == list(range(ticks[0]["seq"], ticks[0]["seq"] + 25))
    assert all(tick["simulated"] for tick in ticks)


def test_lines_for_people(engine: Any, finstream: Run) -> None:
    told = finstream("subscribe", "quick:BTC/USDT", "--count", "8")
    assert told.returncode == 0
    lines = told.stdout.splitlines()
    assert len(lines) == 8
    for line in lines:
        assert re.match(r"\d\d:\d\d:\d\d\.\d\d\d quick +BTC/USDT .*lag +[\d.]+ (µs|ms|s)$", line), line
    assert "quick:BTC/USDT (simulation)" in told.stderr


def test_an_end_after_so_many_seconds(engine: Any, finstream: Run) -> None:
    start = time.monotonic()
    told = finstream("subscribe", "spare", "--seconds", "1")
    assert told.returncode == 0
    assert 1 <= time.monotonic() - start < 10


def test_leaving_unregisters(engine: Any, finstream: Run) -> None:
    told = finstream("subscribe", "quick", "--count", "1")
    assert _status(engine, _uuid(told.stderr)) == 404


def test_ctrl_c_ends_cleanly(engine: Any, finstream_process: Start, interrupt: Interrupt) -> None:
    process = finstream_process("subscribe", "quick")
    assert process.stdout is not None
    process.stdout.readline()
    code, _, err = interrupt(process)
    assert code == 0
    assert "Traceback" not in err
    assert _status(engine, _uuid(err)) == 404


def test_a_reader_that_has_enough(engine: Any, finstream_process: Start) -> None:
    process = finstream_process("subscribe", "quick", "--json")
    head = subprocess.run(["head", "-n", "3"], stdin=process.stdout, capture_output=True, check=True, text=True)
    assert len(head.stdout.splitlines()) == 3
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "rror" not in process.stderr.read()
    assert process.wait(30) == 0


def test_a_reader_that_stops_does_not_block_the_end(
    engine: Any, finstream_process: Start, until: Callable[..., Any]
) -> None:
    process = finstream_process("subscribe", "quick", "--json", stderr=subprocess.DEVNULL)
    assert process.stdout is not None

    def is_full() -> bool:
        # The pipe takes no more once its 64 KiB wait; nobody reads them.
        import array
        import fcntl
        import termios

        waiting = array.array("i", [0])
        assert process.stdout is not None
        fcntl.ioctl(process.stdout, termios.FIONREAD, waiting)
        return waiting[0] > 61_440

    until(is_full)
    process.terminate()
    assert process.wait(30) == 0


def test_a_pipe_that_somebody_made_non_blocking(engine: Any, finstream_process: Start) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    process = finstream_process("subscribe", "quick", "--json", "--count", "600", stdout=write)
    os.close(write)
    time.sleep(2)  # as a slow reader does: the pipe is full by now
    with os.fdopen(read) as stream:
        lines = stream.read().splitlines()
    assert process.wait(30) == 0
    assert sum("seq" in json.loads(line) for line in lines) == 600


def test_an_unknown_asset(engine: Any, finstream: Run) -> None:
    told = finstream("subscribe", "quick", "nonsense")
    assert (told.returncode, told.stdout) == (1, "")
    assert "$.topics[1]" in told.stderr


def test_as_a_client_that_is_registered_already(engine: Any, finstream: Run) -> None:
    public = engine.addresses["public"]
    uuid = httpx.post(f"{public}/v1/clients", trust_env=False).json()["uuid"]
    path = f"{public}/v1/clients/{uuid}"
    httpx.put(f"{path}/subscriptions", json={"topics": ["quick:ETH/USDT"]}, trust_env=False)
    told = finstream("subscribe", "--client", uuid, "--count", "3", "--json")
    assert told.returncode == 0
    messages = [json.loads(line) for line in told.stdout.splitlines()]
    assert {message["symbol"] for message in messages if message["type"] == "tick"} == {"ETH/USDT"}
    assert _status(engine, uuid) == 200, "it was not ours to unregister"
    httpx.delete(path, trust_env=False)
    told = finstream("subscribe", "--client", uuid)
    assert told.returncode == 1
    assert "No such client" in told.stderr


def test_being_unregistered_is_the_end(engine: Any, finstream_process: Start) -> None:
    process = finstream_process("subscribe", "quick")
    assert process.stderr is not None
    assert process.stdout is not None
    uuid = _uuid(process.stderr.readline())
    process.stdout.readline()
    httpx.delete(f"{engine.addresses['public']}/v1/clients/{uuid}", trust_env=False)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "unregistered" in err


def _messages_until(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        message: dict[str, Any] = json.loads(line)
        if wanted(message):
            return message
    raise AssertionError("the output ended")


def test_it_comes_back_after_a_reboot_as_the_same_client(
    start_engine: Callable[..., Any], finstream: Run, finstream_process: Start, interrupt: Interrupt
) -> None:
    engine = start_engine()
    process = finstream_process("subscribe", "quick:BTC/USDT", "--json", env=engine.environment)
    welcome = _messages_until(process, lambda message: message["type"] == "welcome")
    _messages_until(process, lambda message: message["type"] == "tick")
    assert finstream("reboot", "--yes", env=engine.environment).returncode == 0
    again = _messages_until(process, lambda message: message["type"] == "welcome")
    assert again["client"] == welcome["client"]
    assert again["epoch"] != welcome["epoch"]
    assert again["topics"] == ["quick:BTC/USDT"]
    _messages_until(process, lambda message: message["type"] == "tick")
    code, _, err = interrupt(process)
    assert code == 0
    assert "connected again" in err


def test_it_registers_anew_where_it_was_forgotten(
    start_engine: Callable[..., Any], finstream_process: Start, interrupt: Interrupt, until: Callable[..., Any]
) -> None:
    """The engine is gone for good, and another one without its state answers at the same address."""
    engine = start_engine()
    process = finstream_process("subscribe", "quick", "--json", env=engine.environment)
    first = _messages_until(process, lambda message: message["type"] == "welcome")
    engine.process.kill()
    engine.process.wait()
    for file in engine.config.parent.glob("state.db*"):
        file.unlink()
    command = [sys.executable, "-m", "finstream.cli", "run", "--config", str(engine.config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as successor:
        try:
            again = _messages_until(process, lambda message: message["type"] == "welcome")
            assert again["client"] != first["client"]
            _messages_until(process, lambda message: message["type"] == "tick")
            code, _, err = interrupt(process)
        finally:
            successor.terminate()
    assert code == 0
    assert "registered a new one" in err


def test_no_reconnect(start_engine: Callable[..., Any], finstream: Run, finstream_process: Start) -> None:
    engine = start_engine()
    process = finstream_process("subscribe", "quick", "--no-reconnect", env=engine.environment)
    assert process.stdout is not None
    process.stdout.readline()
    assert finstream("reboot", "--yes", env=engine.environment).returncode == 0
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "restarting" in err

"""``finstream demo``: its engine comes and goes with it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
Until = Callable[..., Any]
DEMO = Path(__file__).parents[2] / "config/demo.yaml"


def _descendants(pid: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        new = [child for child in children.get(todo.pop(), []) if child not in found]
        found.update(new)
        todo += new
    return found


def _living(pids: set[int]) -> set[int]:
    def lives(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
        except OSError:
            return False

    return {pid for pid in pids if lives(pid)}


@pytest.fixture
def taken_ports() -> Iterator[None]:
    """Somebody listens on the usual ports: whether by now, or already."""
    sockets = []
    for port in (8080, 8081, 8090):
        with suppress(OSError):
            sockets.append(socket.create_server(("127.0.0.1", port)))
    yield
    for each in sockets:
        each.close()


def test_lines_where_there_is_no_terminal(finstream: Run) -> None:
    told = finstream("demo", "--seconds", "6", timeout=60)
    assert (told.returncode, told.stderr) == (0, "")
    assert "finstream subscribe steady liar:BTC/USDT" in told.stdout
    assert re.search(r"the NOC, in a browser: http://127\.0\.0\.1:\d+\n", told.stdout)
    assert told.stdout.endswith("the demo has ended, and its engine with it\n")
    ranks = [line for line in told.stdout.splitlines() if " arena " in line]
    assert len(ranks) >= 3
    assert all(name in ranks[-1] for name in ("steady", "slow", "flaky", "liar"))
    assert "4 slow" in ranks[-1], "the slow one is last"
    assert "degraded" in ranks[-1]
    assert len([line for line in told.stdout.splitlines() if " tick " in line]) >= 3


def test_taken_ports_are_told_and_avoided(taken_ports: None, finstream: Run) -> None:
    told = finstream("demo", "--seconds", "2", timeout=60)
    assert told.returncode == 0
    assert "127.0.0.1:8080, 127.0.0.1:8081, 127.0.0.1:8090 in use" in told.stdout
    hint = r"subscribe steady liar:BTC/USDT --public http://127.0.0.1:\d+ --stream ws://127.0.0.1:\d+"
    assert re.search(hint, told.stdout)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_however_it_ends_its_engine_ends_too(how: signal.Signals, finstream_process: Start, until: Until) -> None:
    process = finstream_process("demo")
    assert process.stdout is not None
    until(lambda: " tick " in process.stdout.readline())  # type: ignore[union-attr]
    descendants = _descendants(process.pid)
    assert len(descendants) >= 5, "an engine and four sources"
    process.send_signal(how)
    process.wait(60)
    assert process.returncode == (-9 if how == signal.SIGKILL else 0)
    until(lambda: not _living(descendants))


def test_it_survives_a_reboot(
    finstream: Run, finstream_process: Start, until: Until, ports: Callable[[int], list[int]], tmp_path: Path
) -> None:
    config = tmp_path / "demo.yaml"
    listen = {side: f"127.0.0.1:{port}" for side, port in zip(("public", "stream", "admin"), ports(3), strict=True)}
    config.write_text(f"{DEMO.read_text()}\nlisten: {json.dumps(listen)}\n")
    environment = {**os.environ, "FINSTREAM_PUBLIC": listen["public"], "FINSTREAM_ADMIN": listen["admin"]}
    process = finstream_process("demo", "--config", str(config))
    assert process.stdout is not None
    until(lambda: " tick " in process.stdout.readline())  # type: ignore[union-attr]

    def source() -> Any:
        told = finstream("assets", "steady", "--json", env=environment)
        return json.loads(told.stdout)["pid"] if told.returncode == 0 else None

    before = source()
    assert finstream("reboot", "--yes", env=environment).returncode == 0
    until(lambda: source() not in (before, None))  # somebody wants it again: the demo
    until(lambda: " tick " in process.stdout.readline())  # type: ignore[union-attr]


def test_an_engine_that_dies_is_told(finstream_process: Start, until: Until) -> None:
    process = finstream_process("demo")
    assert process.stdout is not None
    until(lambda: " tick " in process.stdout.readline())  # type: ignore[union-attr]
    engines = [pid for pid in _descendants(process.pid) if b"demo.yaml" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in engines:
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "does not answer any more" in err
    assert '"event":"ready"' in err, "the end of its log"


def test_a_configuration_that_cannot_be_used(finstream: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("mode: fun\n")
    assert finstream("demo", "--config", str(file)).returncode == 78


def test_the_screen_on_a_terminal(until: Until) -> None:
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "rb", buffering=0)) as screen:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "50"}
        process = subprocess.Popen(
            [sys.executable, "-m", "finstream.cli", "demo"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            shown = b""

            def shows(*words: bytes) -> bool:
                nonlocal shown
                shown = (shown + screen.read(65536))[-200_000:]
                return all(word in shown for word in words)

            until(lambda: shows(b"the arena", b"finstream arena --watch", b"BTC/USDT", b"degraded"))
            process.send_signal(signal.SIGINT)
            with suppress(OSError):  # EIO: the terminal's last user has left
                while data := screen.read(65536):
                    shown += data
            assert process.wait(60) == 0
            assert shown.rstrip().endswith(b"the demo has ended, and its engine with it")
        finally:
            process.kill()
            process.wait()


def test_its_state_is_gone_afterwards(finstream: Run, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    told = finstream("demo", "--seconds", "1", env=environment, cwd=tmp_path, timeout=60)
    assert told.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_json_is_not_for_the_demo(finstream: Run) -> None:
    assert finstream("demo", "--json").returncode == 2


def test_the_demo_configuration_is_the_one_in_the_package(finstream: Run) -> None:
    from importlib import resources

    packaged = resources.files("finstream.defaults").joinpath("demo.yaml")
    told = json.loads(finstream("config", "check", str(packaged), "--json").stdout)
    assert told["assets"] == ["steady", "slow", "flaky", "liar"]

"""Making real processes leave."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from finstream.children.ladder import HARD, climb, polite
from finstream.children.process import ChildProcess
from finstream.children.spawn import open_pipe, spawn
from finstream.children.spec import ChildSpec

Start = Callable[..., Awaitable[tuple[ChildProcess, list[int]]]]

FAMILY = """
import os, signal, subprocess, sys, time

def member(stubborn, own_session):
    source = 'import signal, time; '
    if stubborn:
        source += 'signal.signal(signal.SIGTERM, signal.SIG_IGN); '
    source += 'print(flush=True); time.sleep(300)'
    command = [sys.executable, '-SE', '-c', source]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=own_session)
    process.stdout.readline()
    return process.pid

"""


@pytest.fixture
def mark() -> str:
    return f"FINSTREAM_TEST_MARK={os.getpid()}-{time.monotonic_ns()}"


@pytest.fixture
async def start(program: Any, mark: str) -> AsyncIterator[Start]:
    """Starts a family; gives the leader and what it printed: process numbers."""
    leaders: list[ChildProcess] = []

    async def start(source: str) -> tuple[ChildProcess, list[int]]:
        command = program(FAMILY + textwrap.dedent(source))
        name, value = mark.split("=")
        ends = open_pipe()
        spec = ChildSpec(name="x", role="asset", command=tuple(command), cwd=None, env={name: value},
                         withheld=frozenset(), marks=(mark,))
        process = await spawn(spec, stdin=subprocess.DEVNULL, stdout=ends.theirs, stderr=2)
        leaders.append(process)
        os.close(ends.theirs)
        async with trio.lowlevel.FdStream(ends.ours) as stream:
            line = b""
            with trio.fail_after(20):
                while not line.endswith(b"\n"):
                    line += await stream.receive_some()
        return process, [int(word) for word in line.split()]

    yield start
    for leader in leaders:
        leader.signal_group(signal.SIGKILL)
        await leader.exited()
        await leader.reap()


async def climb_within(within_s: float, process: ChildProcess, rungs: Any, mark: str) -> Any:
    with trio.fail_after(within_s):
        return await climb(process, rungs, [mark])


async def test_one_who_listens_leaves_at_the_first_rung(start: Start, mark: str) -> None:
    process, _pids = await start("print(os.getpid(), flush=True); time.sleep(300)")
    left = await climb_within(5, process, polite(10.0), mark)
    assert left == (("SIGTERM",), (), ())


async def test_one_who_does_not_is_killed_with_its_group(start: Start, mark: str, alive: Any) -> None:
    process, pids = await start("""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(member(True, False), member(False, False), flush=True); time.sleep(300)
    """)
    begun = time.monotonic()
    left = await climb_within(10, process, polite(0.3), mark)
    assert time.monotonic() - begun >= 0.3
    assert left.signals == ("SIGTERM", "SIGKILL")
    assert left.unkillable == ()
    assert not any(map(alive, pids))


async def test_the_hard_ladder_does_not_ask(start: Start, mark: str, alive: Any) -> None:
    process, pids = await start("print(member(False, False), member(True, True), flush=True); time.sleep(300)")
    left = await climb_within(10, process, HARD, mark)
    assert left.signals == ("SIGKILL",)
    assert {stray.pid for stray in left.strays} <= set(pids)
    assert not any(map(alive, pids))


async def test_what_a_dead_leader_left_in_its_group_is_swept_up(start: Start, mark: str, alive: Any) -> None:
    process, pids = await start("print(member(False, False), member(True, False), flush=True); os._exit(3)")
    await process.exited()
    left = await climb_within(10, process, polite(0.3), mark)
    assert left.signals == ()
    assert not any(map(alive, pids))


async def test_a_grandchild_with_a_session_of_its_own_is_found(start: Start, mark: str, alive: Any) -> None:
    process, pids = await start("print(member(False, True), member(True, True), flush=True); time.sleep(300)")
    left = await climb_within(10, process, polite(0.5), mark)
    assert left.signals == ("SIGTERM",)
    assert sorted(stray.pid for stray in left.strays) == sorted(pids)
    assert not any(map(alive, pids))


async def test_strangers_are_left_alone(start: Start, mark: str, alive: Any) -> None:
    process, _pids = await start("print(os.getpid(), flush=True); time.sleep(300)")
    stranger = await trio.lowlevel.open_process(["sleep", "300"], start_new_session=True)
    try:
        await climb_within(5, process, polite(2.0), mark)
        assert alive(stranger.pid)
    finally:
        stranger.kill()
        await stranger.wait()


async def test_the_group_is_asked_once_only(start: Start, mark: str, tmp_path: Path) -> None:
    """To many programs a second SIGTERM means "at once": one who takes its time must not get it from the sweep."""
    told = tmp_path / "told"
    process, [pid] = await start(f"""
    if os.fork() == 0:
        def count(*_):
            with open({str(told)!r}, 'a') as file: file.write('T')
        signal.signal(signal.SIGTERM, count)
        print(os.getpid(), flush=True)
        end = time.monotonic() + 1
        while time.monotonic() < end: time.sleep(0.05)
        os._exit(0)
    time.sleep(300)
    """)
    left = await climb_within(10, process, polite(5.0), mark)
    assert left.signals == ("SIGTERM",)
    assert [stray.pid for stray in left.strays] == [pid]
    assert told.read_text() == "T"

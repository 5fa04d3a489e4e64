"""Nothing outlives the engine, whatever ends it. Real processes throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.children.guard import Guard
from finstream.children.guardian import find_processes

ENGINE = """
import sys, trio, structlog
import msgspec
from finstream.children.supervisor import Supervisor
from finstream.pump import Pump
from finstream.vocabulary.settings import Settings

class Bus:
    def publish(self, event, /):
        pass

async def main():
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    epoch, settings = sys.argv[1], msgspec.json.decode(sys.argv[2], type=Settings)
    pump = Pump()
    async with trio.open_nursery() as nursery:
        await nursery.start(pump.run)
        supervisor = Supervisor(pump=pump, bus=Bus(), logger=structlog.get_logger(), epoch=epoch, mode='production',
                                orphan_grace_s=0.5)
        await nursery.start(supervisor.run, settings)
        print('ready', flush=True)
        await trio.sleep_forever()

trio.run(main)
"""

FAMILY = """
import os, signal, subprocess, sys, time
from pathlib import Path

def member(source, **options):
    source = 'import os, signal, time; ' + source + '; print(os.getpid(), flush=True); time.sleep(300)'
    process = subprocess.Popen([sys.executable, '-SE', '-c', source], stdout=subprocess.PIPE, text=True, **options)
    return process.stdout.readline()

stubborn = 'signal.signal(signal.SIGTERM, signal.SIG_IGN)'
pids = [f'{os.getpid()}\\n', member('pass'), member(stubborn), member('pass', start_new_session=True),
        member(stubborn, start_new_session=True),
        # Nameless: without the mark, but still a descendant.
        member('pass', start_new_session=True, env={})]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
Path(sys.argv[1] + '.new').write_text(''.join(pids))
os.rename(sys.argv[1] + '.new', sys.argv[1])
while True:
    time.sleep(300)
"""


@pytest.fixture
def killed_at_the_end() -> Iterator[list[int]]:
    """Should a test fail, its processes are not to stay."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV])
async def test_no_orphan_survives_an_engine_that_was_killed(
    end: signal.Signals, program: Any, settings: Any, epoch: str, tmp_path: Path, wait_until: Any, alive: Any,
    killed_at_the_end: list[int],
) -> None:
    family = tmp_path / "family"
    configured = settings({"venue": {"command": program(FAMILY, str(family)), "start": "always"}})
    engine = await trio.lowlevel.open_process(
        [sys.executable, *program(ENGINE)[2:], epoch, msgspec.json.encode(configured).decode()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )
    killed_at_the_end.append(engine.pid)
    assert engine.stdout is not None
    assert engine.stderr is not None
    ready = b""
    with trio.fail_after(30):
        while not ready.endswith(b"\n"):
            ready += await engine.stdout.receive_some()
    assert ready == b"ready\n"
    await wait_until(family.exists)
    pids = list(map(int, family.read_text().split()))
    killed_at_the_end += pids
    assert len(pids) == 6
    assert all(map(alive, pids))

    engine.send_signal(end)
    assert await engine.wait() == -end
    await wait_until(lambda: not any(map(alive, pids)), f"the end of {pids}")
    # The guardian reports, and leaves as well: nobody holds the engine's standard error any more.
    told = b""
    with trio.fail_after(20):
        async for part in engine.stderr:
            told += part
    assert b"the engine is gone; ended what it left behind" in told
    await engine.stdout.aclose()
    await engine.stderr.aclose()


@pytest.fixture
async def guard(log: Any, epoch: str) -> AsyncIterator[Guard]:
    guard = Guard(epoch=epoch, logger=log.logger(), grace_s=0.3)
    async with trio.open_nursery() as nursery:
        await nursery.start(guard.run)
        yield guard
        with trio.CancelScope(shield=True), trio.fail_after(10):
            await guard.dismiss()


@pytest.fixture
async def bystander(killed_at_the_end: list[int]) -> AsyncIterator[trio.Process]:
    """A process in a session of its own, without a mark."""
    process = await trio.lowlevel.open_process(["sleep", "300"], start_new_session=True)
    killed_at_the_end.append(process.pid)
    yield process
    process.kill()
    await process.wait()


async def test_dismissed_it_leaves_at_once(guard: Guard, log: Any, alive: Any, bystander: trio.Process) -> None:
    pid = guard.pid
    assert pid is not None
    assert alive(pid)
    guard.watch(bystander.pid)
    guard.forget(bystander.pid)
    with trio.fail_after(5):
        await guard.dismiss()
    assert not alive(pid)
    assert guard.pid is None
    assert alive(bystander.pid)
    assert log.records == []


async def test_a_child_that_lost_its_mark_is_found_by_its_session(guard: Guard, bystander: trio.Process) -> None:
    guard.watch(bystander.pid)
    with trio.fail_after(5):
        await guard.dismiss()
        assert await bystander.wait() == -signal.SIGTERM


async def test_a_guardian_that_dies_is_replaced_and_told_all(
    guard: Guard, log: Any, bystander: trio.Process, wait_until: Any
) -> None:
    guard.watch(bystander.pid)
    first = guard.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await log.wait_for("the guardian ended although nobody asked it to", exit_code=-signal.SIGKILL)
    second = await wait_until(lambda: guard.pid)
    assert second != first
    with trio.fail_after(5):
        await guard.dismiss()
        assert await bystander.wait() == -signal.SIGTERM


async def test_a_guardian_that_does_not_listen_is_replaced(guard: Guard, log: Any, wait_until: Any) -> None:
    first = guard.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    for number in range(100_000, 120_000):  # more than its pipe holds
        guard.watch(number)
        guard.forget(number)
    await log.wait_for("the guardian ended although nobody asked it to")
    assert await wait_until(lambda: guard.pid) != first


@pytest.mark.parametrize("ignored", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_meant_for_all_of_us_do_not_end_it(
    guard: Guard, ignored: signal.Signals, alive: Any, wait_until: Any
) -> None:
    pid = guard.pid
    assert pid is not None
    await wait_until(lambda: _ignores_signals(pid))
    os.kill(pid, ignored)
    await trio.sleep(0.05)
    assert alive(pid)


def _ignores_signals(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.split("SigIgn:")[1].split()[0], 16) & (1 << (signal.SIGQUIT - 1)))


async def test_a_guardian_that_cannot_be_started_is_an_error(
    log: Any, epoch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    guard = Guard(epoch=epoch, logger=log.logger())
    with pytest.raises(FileNotFoundError):
        await guard.run()


async def test_only_processes_with_all_marks_are_found(epoch: str, killed_at_the_end: list[int]) -> None:
    marks = [{"A": epoch}, {"A": epoch, "B": "1"}, {"A": epoch + "0", "B": "1"}, {"XA": epoch, "B": "1"}]
    processes = [
        await trio.lowlevel.open_process(["sleep", "300"], env={"PATH": os.environ["PATH"], **mark}) for mark in marks
    ]
    killed_at_the_end += [process.pid for process in processes]
    assert [p.pid for p in find_processes([f"A={epoch}", "B=1"], [])] == [processes[1].pid]
    assert [p.pid for p in find_processes([f"A={epoch}"], [])] == [processes[0].pid, processes[1].pid]
    assert find_processes([], []) == []
    for process in processes:
        process.kill()
        await process.wait()
    assert find_processes([f"A={epoch}"], []) == []


async def test_a_name_in_stat_cannot_confuse_it(tmp_path: Path, epoch: str, killed_at_the_end: list[int]) -> None:
    odd = tmp_path / "a) Z 1 1 1 ("
    odd.write_text(textwrap.dedent("""\
        #!/bin/sh
        read forever
        """))
    odd.chmod(0o755)
    process = await trio.lowlevel.open_process([str(odd)], env={"A": epoch}, stdin=subprocess.PIPE)
    killed_at_the_end.append(process.pid)
    [found] = find_processes([f"A={epoch}"], [])
    assert (found.pid, found.parent, found.group) == (process.pid, os.getpid(), os.getpgid(0))
    assert process.stdin is not None
    await process.stdin.aclose()
    await process.wait()

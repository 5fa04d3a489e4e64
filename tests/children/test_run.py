"""The order in which a run ends, and that the pump reads a pipe to its end."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio

from finstream.children.asset import IngestorWires
from finstream.children.guard import Guard
from finstream.children.run import Ending, Run
from finstream.children.spawn import CannotStartError
from finstream.children.spec import ChildSpec


def spec(*command: str) -> ChildSpec:
    return ChildSpec(
        name="venue", role="asset", command=command, cwd=None, env={}, withheld=frozenset(), marks=("NOBODY=1",)
    )


async def test_first_the_child_then_its_pipe_then_our_end(log: Any, epoch: str, watched_wires: Any) -> None:
    guard, wires = Guard(epoch=epoch, logger=log.logger()), watched_wires
    async with trio.open_nursery() as readers:
        speaking = spec("sh", "-c", "echo last words >&2; sleep 60")
        run = Run(speaking, wires, guard=guard, logger=log.logger(), readers=readers)
        await run.start()
        wires.pid = run.pid
        run.connect(lambda _reason: None)
        await log.wait_for("child says")
        ending = await run.end(5.0, hard=False)
    assert wires.steps == [("connect", True), ("end_input", True), ("drain", False), ("release", False)]
    assert (ending.exit_code, ending.last_words, ending.how()) == (-15, "last words", "ended by SIGTERM")


async def test_one_that_has_left_is_not_asked_to(log: Any, epoch: str, watched_wires: Any) -> None:
    guard, wires = Guard(epoch=epoch, logger=log.logger()), watched_wires
    async with trio.open_nursery() as readers:
        run = Run(spec("sh", "-c", "exit 4"), wires, guard=guard, logger=log.logger(), readers=readers)
        await run.start()
        await run.exited()
        assert (await run.end(5.0, hard=False)).how() == "exit code 4"
    assert [step for step, _alive in wires.steps] == ["drain", "release"]


async def test_what_cannot_be_started_leaves_nothing_open(log: Any, epoch: str, watched_wires: Any) -> None:
    guard, before = Guard(epoch=epoch, logger=log.logger()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    wires = watched_wires
    async with trio.open_nursery() as readers:
        run = Run(spec("no-such-feed"), wires, guard=guard, logger=log.logger(), readers=readers)
        with pytest.raises(CannotStartError):
            await run.start()
    assert [step for step, _alive in wires.steps] == ["release"]
    assert len(os.listdir("/proc/self/fd")) == before - 4  # noqa: PTH208  (both ends of two pipes)


@pytest.mark.parametrize(
    ("code", "words"),
    [(None, "it hangs in the kernel"), (0, "exit code 0"), (-9, "ended by SIGKILL"), (-63, "ended by signal 63")],
)
def test_endings_in_words(code: int | None, words: str) -> None:
    assert Ending(code, 1.0, "").how() == words


async def test_draining_waits_for_all_that_is_in_the_pipe(pump: Any, log: Any) -> None:
    asset = pump.add_asset("venue")
    wires = IngestorWires(pump, asset, spec("true"), log.logger(), lambda _block_bytes: None)
    line = b'{"symbol":"X","price":"1","ts":1700000000}\n'
    os.set_blocking(wires.theirs[1], False)
    lines = (1 << 20) // len(line) - 1
    assert os.write(wires.theirs[1], line * lines) == len(line) * lines
    wires.connect(lambda _reason: None)
    wires.close_theirs()
    await wires.drain()
    wires.release()
    wires.release()  # may be called again
    assert pump.asset_statistics(asset).ticks == lines
    for _name, stream in wires.logs:
        stream.close()
    assert log.records == []


async def test_draining_does_not_wait_for_ever(pump: Any, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else holds the pipe open, whom we could not end."""
    monkeypatch.setattr("finstream.children.asset.DRAIN_S", 0.1)
    wires = IngestorWires(pump, pump.add_asset("venue"), spec("true"), log.logger(), lambda _block_bytes: None)
    wires.connect(lambda _reason: None)
    with trio.fail_after(5):
        await wires.drain()
    assert log.find("the ingestor's pipe was given up before its end", level="warning")
    wires.release()
    wires.close_theirs()
    for _name, stream in wires.logs:
        stream.close()

"""What only a run with wires of our own can show: the pump's word coming late."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio

from finstream.children.guard import Guard
from finstream.children.runner import Runner
from finstream.children.spec import ChildSpec
from finstream.vocabulary.settings import AssetSettings


class Role:
    """A child that is always wanted, and whose states are noted."""

    linger_s = 0.0

    def __init__(self, wires: Any) -> None:
        self._wires = wires
        self.states: list[str] = []
        self.runner: Runner | None = None

    def is_wanted(self) -> bool:
        return True

    def open_wires(self, spec: ChildSpec) -> Any:
        return self._wires

    def changed(self, previous: str) -> None:
        assert self.runner is not None
        self.states.append(self.runner.life.state)


@pytest.mark.parametrize(
    ("late", "states"),
    [
        # A full pipe that is still being read when its child has done all it had to: no fault.
        ("BackpressureOverflow", ["starting", "running", "done"]),
        ("StdoutClosed", ["starting", "running", "done"]),
        # An operator's word counts to the last.
        ("Paused", ["starting", "running", "stopping", "paused"]),
    ],
)
async def test_a_stop_that_comes_when_the_child_has_left(
    late: str, states: list[str], watched_wires: Any, log: Any, epoch: str, wait_until: Any
) -> None:
    watched_wires.on_drain = lambda: watched_wires.stop(late)
    spec = ChildSpec(
        name="venue", role="asset", command=("true",), cwd=None, env={}, withheld=frozenset(), marks=("NOBODY=1",)
    )
    role = Role(watched_wires)
    role.runner = Runner(
        role, spec, AssetSettings(command=["true"]), guard=Guard(epoch=epoch, logger=log.logger()), logger=log.logger(),
        jitter=lambda: 0.5, wall_us=lambda: time.time_ns() // 1000,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(role.runner.run)
        await wait_until(lambda: role.states[-1:] == states[-1:])
        nursery.cancel_scope.cancel()
    assert role.states == [*states, "idle"]

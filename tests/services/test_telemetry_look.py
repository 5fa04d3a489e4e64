"""A look where the machine has run out of something; whole looks are in the engine's tests."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from finstream.services.telemetry_look import Look, LookFailedError


@pytest.mark.parametrize("failure", [RuntimeError("can't start new thread"), OSError(errno.EMFILE, "Too many open files")])
async def test_without_a_thread_or_a_file_descriptor_it_says_that_it_failed(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_sync(*_: Any) -> None:
        raise failure

    parts: Any = SimpleNamespace(children=lambda: SimpleNamespace(assets=[], sinks=[]))
    look = Look(parts, epoch="epoch", mode="simulation")
    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    with pytest.raises(LookFailedError, match=str(failure.args[-1])):
        await look.now()

"""Memory for each connection: what it is compared with, and its sign."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import TrialFailed
from bench.scenarios.idle import kib_each
from bench.systems.fed import FedSystem, Server
from bench.toolchain import Tools
from bench.workbench import Workbench

TAKEN_MIB = 256
FORGETFUL = f"""if True:
    import signal, subprocess, sys
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    taken = bytearray({TAKEN_MIB} << 20)
    taken[::4096] = b"x" * len(taken[::4096])
    server = subprocess.Popen(sys.argv[1:])
    signal.sigwait([signal.SIGUSR1])
    del taken
    print("let go", flush=True)
    server.wait()
"""


def test_what_connections_took_is_divided_among_them() -> None:
    assert kib_each(1000, 3000, 500) == 4.0


@pytest.mark.parametrize("connected_kib", [900, 1000])
def test_memory_that_did_not_grow_is_a_failure(connected_kib: int) -> None:
    with pytest.raises(TrialFailed, match=r"went from 1,000 KiB to (900|1,000) while 500 connections came"):
        kib_each(1000, connected_kib, 500)


class Watched(Server):
    """The third time that somebody looks at it, it lets go of what it took when it started."""

    looks = 0

    @property
    def pids(self) -> list[int]:
        self.looks += 1
        if self.looks == 3:
            os.kill(self._program.pid, signal.SIGUSR1)
            assert self._program.lines.read(10) == b"let go"
        return super().pids


class Forgetful(FedSystem):
    """The floor, in a process that takes much memory before it serves."""

    name = "forgetful"
    work = "typed"

    def __init__(self, tools: Tools) -> None:
        self._floor = tools.floor

    def missing(self) -> str | None:
        return None

    def versions(self) -> dict[str, str]:
        return {}

    def command(self, port: int) -> list[str]:
        return [sys.executable, "-c", FORGETFUL, str(self._floor), str(port)]

    @contextlib.contextmanager
    def running(self, directory: Path, ingestor: list[str]) -> Iterator[Server]:
        with super().running(directory, ingestor) as server:
            yield Watched(server._program, server._endpoint)


@pytest.mark.slow
def test_memory_comes_to_rest_before_the_first_connection(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> None:
    bench = Workbench(tools, tmp_path_factory.mktemp("w"), load_cpu=None)
    with bench.session(Forgetful(tools), 1, weighed=True) as session:
        assert 0 < session.bare_kib < TAKEN_MIB << 10
        assert session.bare_kib <= session.anonymous_kib()

"""An engine of the demo's own: a process whose state is in a directory that is gone afterwards, on free ports."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import msgspec
import trio

from finstream.cli.addresses import Addresses
from finstream.services.config import load
from finstream.vocabulary.addresses import split_address
from finstream.vocabulary.errors import FinStreamError
from finstream.vocabulary.settings import ListenSettings, Settings

__all__ = ["DemoEngine", "EngineFailed", "running_engine"]

_READY_S = 30.0
_STOP_S = 15.0
_PR_SET_PDEATHSIG = 1
_LOG_TAIL_LINES = 15


class EngineFailed(FinStreamError):  # noqa: N818 - reads as what happened
    """The demo's engine ended by itself; the message holds the end of its log."""


class _Ready(msgspec.Struct, frozen=True, tag_field="event", tag="ready"):
    public: str
    stream: str
    admin: str


class DemoEngine:
    def __init__(self, process: subprocess.Popen[bytes], log: Path, taken: list[str]) -> None:
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._log = log
        self.addresses = Addresses()
        self.taken = taken
        """The usual addresses that somebody else listens on."""

    async def wait_ready(self) -> None:
        """Raises:
        EngineFailed: it ended, or was not ready in time.
        """
        assert self._process.stdout is not None
        received = b""
        with trio.move_on_after(_READY_S):
            async with trio.lowlevel.FdStream(os.dup(self._process.stdout.fileno())) as stream:
                while b"\n" not in received and (chunk := await stream.receive_some()):
                    received += chunk
        try:
            ready = msgspec.json.decode(received.partition(b"\n")[0], type=_Ready)
        except msgspec.DecodeError:
            raise self.failure("the demo's engine did not become ready") from None
        self.addresses = Addresses(public=ready.public, stream=ready.stream, admin=ready.admin)

    async def ended(self) -> None:
        """Wait until the engine's process has ended, however."""
        await trio.lowlevel.wait_readable(self._pidfd)

    def failure(self, what: str) -> EngineFailed:
        tail = self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return EngineFailed("\n  ".join([f"{what}; the end of its log:", *tail]))

    async def stop(self) -> None:
        """End it as an operator would; by force if that takes too long. The process is gone afterwards."""
        self._process.terminate()
        with trio.move_on_after(_STOP_S):
            await self.ended()
        self._process.kill()  # does nothing to one that has ended
        await self.ended()
        self._process.wait()
        trio.lowlevel.notify_closing(self._pidfd)
        os.close(self._pidfd)
        if self._process.stdout is not None:
            self._process.stdout.close()


@asynccontextmanager
async def running_engine(config: Path, directory: Path) -> AsyncIterator[DemoEngine]:
    """Start an engine with ``config``, its state in ``directory``, and wait until it is ready; leaving stops it.

    Raises:
      ConfigError: the configuration cannot be used.
      EngineFailed: the engine did not come up.
    """
    settings, taken = _at_home(load(config), directory)
    file = directory / "demo.yaml"
    file.write_bytes(msgspec.yaml.encode(settings))
    log = directory / "engine.log"
    with log.open("wb") as stderr:
        engine = DemoEngine(_start(file, stderr), log, taken)
    try:
        await engine.wait_ready()
        yield engine
    finally:
        with trio.CancelScope(shield=True):
            await engine.stop()


def _at_home(settings: Settings, directory: Path) -> tuple[Settings, list[str]]:
    replace = msgspec.structs.replace
    usual = settings.listen
    addresses = {side: getattr(usual, side) for side in ("public", "stream", "admin")}
    taken = [address for address in addresses.values() if not _is_free(address)]
    # Not port 0: after a reboot the engine has to be found again.
    free = {side: _free_address() if address in taken else address for side, address in addresses.items()}
    return replace(
        settings,
        listen=ListenSettings(**free, origins=usual.origins),
        state=replace(settings.state, path=str(directory / "state.db")),
        dead_letters=replace(settings.dead_letters, path=str(directory / "deadletter.jsonl")),
    ), taken


def _is_free(address: str) -> bool:
    host, port = split_address(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As the engine will: without this a port is taken for a minute after its last user.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _start(file: Path, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was quicker
            os.kill(os.getpid(), signal.SIGTERM)

    # Not through Trio, which forks in a thread that ends soon: the kernel takes that for the parent's death.
    return subprocess.Popen(
        [sys.executable, "-m", "finstream.cli", "run", "--config", str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,  # Ctrl-C is for the demo, which stops its engine in good order
        preexec_fn=die_with_parent,
    )

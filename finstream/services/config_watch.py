"""Hot reload: the configuration file is watched, and what changed in it is applied while the engine runs.

A change of the file and an operator's command go the same way, one at a time: load, plan, apply, ``ConfigReloaded``. A
file that is wrong changes nothing: logged, ``ConfigRejected``.

The watch on the file's directory only rings the bell; whether there is anything to do is decided by the file's content.
So it does not matter how an editor writes: in place, by replacing the file, through a symbolic link (also one that is
switched over, as in a mounted ConfigMap), or on a file system that does not tell of changes at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import msgspec
import trio
from watchfiles import awatch
from watchfiles._rust_notify import WatchfilesRustInternalError

from finstream.services.config import load
from finstream.services.config_plan import Plan, plan
from finstream.services.config_trial import effective, try_out
from finstream.services.logs import Logger
from finstream.services.ports import Publisher
from finstream.vocabulary.errors import ConfigError, RequestError
from finstream.vocabulary.events import ConfigRejected, ConfigReloaded
from finstream.vocabulary.settings import Settings

__all__ = ["Apply", "ConfigStatistics", "ConfigWatch"]

Apply = Callable[[Settings, Plan], Awaitable[None]]
"""Bring the engine from the settings it runs with to these. Runs to its end before the next reload begins."""

_MISSING_S = 0.5
"""A file that is gone for longer is reported; some editors remove it and write it anew."""
_STEP_MS = 250
"""How often a thread looks whether the bell rang; each look costs the machine a wake-up."""
_LOOK_ANYWAY_MS = 5000
_LOOK_UNWATCHED_S = 1
_Signature = tuple[int, ...]


class ConfigStatistics(msgspec.Struct, frozen=True):
    reloads: int
    rejections: int


class _Request(msgspec.Struct):
    origin: str
    done: trio.Event
    outcome: Plan | ConfigError | None = None


class ConfigWatch:
    """``settings`` are those the engine was started with, from the same file; ``running`` are those in effect now.

    ``prepare`` reads again whatever other files the configuration names, before a new one is applied; it may raise ConfigError.
    The file is read once it has stayed as it is for ``settle_s``: an editor that writes in place empties it first.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        bus: Publisher,
        logger: Logger,
        apply: Apply,
        prepare: Callable[[], None] = lambda: None,
        settle_s: float = 0.1,
    ) -> None:
        self.running = settings
        self._settle_s = settle_s
        self._path = path
        self._bus = bus
        self._logger = logger
        self._apply = apply
        self._prepare = prepare
        self._requests, self._requested = trio.open_memory_channel[_Request](0)
        self._seen = b""
        self._seen_signature: _Signature = ()
        self._reloads = self._rejections = 0

    def try_out(self, text: str | None = None) -> Plan:
        """What :meth:`reload` would change now, or would if ``text`` were in the file.

        Raises:
          ConfigError: it would be rejected.
        """
        return try_out(self.running, self._path, text)

    def statistics(self) -> ConfigStatistics:
        return ConfigStatistics(self._reloads, self._rejections)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch and reload until cancelled. What ``apply`` raises ends it."""
        async with trio.open_nursery() as nursery, self._requested:
            nursery.start_soon(self._watch)
            task_status.started()
            async for request in self._requested:
                try:
                    request.outcome = await self._reload(request.origin)
                except ConfigError as error:
                    request.outcome = error
                finally:
                    request.done.set()

    async def reload(self, origin: str) -> Plan:
        """Load the file and apply it; needs :meth:`run` to run. ``origin`` says in the log who asked.

        Once it has begun, the reload goes on to its end, also when the caller is cancelled.

        Raises:
          ConfigError: the file is wrong; the engine goes on as it was.
          RequestError: ``wrong-state``; the engine is stopping.
        """
        request = _Request(origin, trio.Event())
        with suppress(trio.BrokenResourceError):
            await self._requests.send(request)
            await request.done.wait()
        if request.outcome is None:
            raise RequestError("wrong-state", "the engine is stopping")
        if isinstance(request.outcome, ConfigError):
            raise request.outcome
        return request.outcome

    async def _reload(self, origin: str) -> Plan:
        self._note_seen()
        try:
            new = load(self._path)
            applicable = effective(self.running, new)
            self._prepare()
        except ConfigError as error:
            self._logger.error("configuration rejected", path=str(self._path), error=str(error), origin=origin)
            self._bus.publish(ConfigRejected(path=str(self._path), error=str(error)))
            self._rejections += 1
            raise
        changes = plan(self.running, new)
        await self._apply(applicable, changes)
        self.running = applicable
        self._reloads += 1
        told = {
            "started": changes.started,
            "stopped": changes.stopped,
            "restarted": changes.restarted,
            "needs_engine_restart": changes.needs_engine_restart,
        }
        self._logger.info("configuration reloaded", path=str(self._path), origin=origin, hot=changes.hot, **told)
        self._bus.publish(ConfigReloaded(path=str(self._path), **told))
        return changes

    async def _watch(self) -> None:
        with suppress(ConfigError):  # if it changed since the engine read it, the first look finds that out
            if load(self._path) == self.running:
                self._note_seen()
        complained = False
        while True:
            try:
                await self._look_whenever_rung()
            except* (OSError, WatchfilesRustInternalError) as failure:
                if not complained:
                    reasons = [str(error) for error in failure.exceptions]
                    self._logger.warning("cannot watch the configuration; looking every second", reasons=reasons)
                complained = True
                await trio.sleep(_LOOK_UNWATCHED_S)
                await self._look()

    async def _look_whenever_rung(self) -> None:
        """Returns when other directories are to be watched."""
        directories = self._directories()
        # Ending the watch takes this event or up to the time-out, because a thread waits for it.
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_set_when_cancelled, stop)
            wakes = awatch(
                *(path for path, _inode in directories),
                recursive=False,
                watch_filter=None,
                debounce=2 * _STEP_MS,
                step=_STEP_MS,
                rust_timeout=_LOOK_ANYWAY_MS,
                yield_on_timeout=True,
                stop_event=stop,
            )
            async with aclosing(wakes):
                async for _changes in wakes:
                    await self._look()
                    if self._directories() != directories:
                        break
            nursery.cancel_scope.cancel()

    def _directories(self) -> set[tuple[Path, int]]:
        """Where the file's name stands, and where the file itself lies. By inode too: a directory may be replaced."""
        parents = {self._path.absolute().parent, self._path.resolve().parent}
        return {(parent, parent.stat().st_ino) for parent in parents}

    async def _look(self) -> None:
        """Reload if the content is not what was seen last."""
        if _signature(self._path) == self._seen_signature:
            return
        await self._settled()
        if _digest(self._path) == self._seen:
            self._note_seen()
            return
        with suppress(ConfigError):  # told by _reload
            await self.reload("file")

    def _note_seen(self) -> None:
        # In this order: what is written in between changes the signature and is looked at again.
        self._seen_signature = _signature(self._path)
        self._seen = _digest(self._path)

    async def _settled(self) -> None:
        quiet_since = trio.current_time()
        signature = _signature(self._path)
        while trio.current_time() - quiet_since < (self._settle_s if signature else _MISSING_S):
            await trio.sleep(self._settle_s / 4)
            before, signature = signature, _signature(self._path)
            if signature != before:
                quiet_since = trio.current_time()


def _signature(path: Path) -> _Signature:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return f"unreadable: {error.errno}".encode()


async def _set_when_cancelled(event: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        event.set()

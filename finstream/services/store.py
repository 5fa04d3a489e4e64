"""What outlives the engine: the registered clients, in an SQLite file.

Writes are put behind: ``save`` and ``forget`` only note the newest state of a client; a task writes what was noted in
one transaction, soon after. The engine never waits for the disk. If the file cannot be used (no such directory, disk
full, taken by another engine) the clients simply do not outlive the engine; that is logged, counted, and tried again.

The file is for the present only, so its loss is no drama: a damaged one is moved aside, and nothing is ever synced to
disk. What was written survives the death of the engine, not that of the machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import apsw
import msgspec
import trio

from finstream.services import store_file
from finstream.services.logs import Logger
from finstream.vocabulary.policies import Policy
from finstream.vocabulary.settings import STANDARD_CLASS

if TYPE_CHECKING:
    from apsw import AsyncConnection

__all__ = ["ClientRecord", "Store", "StoreStatistics"]

_BATCH_DELAY_S = 0.02
"""Between the first change and the write; what changes within it shares a transaction."""
_BATCH_ROWS = 5_000
_MAX_PENDING = 100_000
"""Changes noted while the file cannot be written; far more than there are clients."""
_RETRY_S = 5.0
_COMPLAIN_EVERY_S = 60.0
_PATIENCE_S = 5.0
"""How long a start waits for the file, and a stop for the last write."""

_topics = msgspec.json.Decoder(list[str])
_policies = msgspec.json.Decoder(dict[str, Policy])

StoreState = Literal["opening", "open", "failing", "closed"]


class ClientRecord(msgspec.Struct, frozen=True):
    """A registered client as it is kept. Times are microseconds since the epoch."""

    uuid: str
    registered_at: int
    topics: list[str]
    expires_at: int | None
    """When its window is over; None: it is connected, or was when the engine ended."""
    policies: dict[str, Policy] = {}
    """Of those topics that have any choices."""
    client_class: str = STANDARD_CLASS


class StoreStatistics(msgspec.Struct, frozen=True):
    state: StoreState
    pending: int
    """Changes not written yet."""
    written: int
    """Changes written."""
    failed_writes: int
    """Transactions, and attempts to open the file, that failed."""
    lost: int
    """Changes given up because too many were pending."""
    last_error: str


class Store:
    """``most_clients`` bounds what is read at the start."""

    def __init__(self, path: Path, *, logger: Logger, most_clients: int, retry_s: float = _RETRY_S) -> None:
        self._path = path
        self._logger = logger
        self._most_clients = most_clients
        self._retry_s = retry_s
        self._loaded: list[ClientRecord] = []
        self._opened = trio.Event()
        self._pending: dict[str, ClientRecord | None] = {}
        self._noted = trio.Event()
        self._idle = trio.Event()
        self._state: StoreState = "opening"
        self._written = self._failed_writes = self._lost = 0
        self._last_error = ""
        self._complained_at: float | None = None

    # --- for the sessions ---

    async def load(self) -> list[ClientRecord]:
        """What was kept when the engine ended, once; empty if the file cannot be used. Needs :meth:`run` to run."""
        await self._opened.wait()
        loaded, self._loaded = self._loaded, []
        return loaded

    def save(self, record: ClientRecord) -> None:
        """Keep this state of a client. Never blocks, never fails."""
        self._note(record.uuid, record)

    def forget(self, uuid: str) -> None:
        """Keep a client no longer. Never blocks, never fails."""
        self._note(uuid, None)

    def _note(self, uuid: str, record: ClientRecord | None) -> None:
        self._pending.pop(uuid, None)
        self._pending[uuid] = record
        if len(self._pending) > _MAX_PENDING:
            del self._pending[next(iter(self._pending))]
            self._lost += 1
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        self._noted.set()

    async def flushed(self) -> None:
        """Wait until everything noted so far has been written, however long that takes."""
        while self._pending:
            await self._idle.wait()

    def statistics(self) -> StoreStatistics:
        return StoreStatistics(
            self._state, len(self._pending), self._written, self._failed_writes, self._lost, self._last_error
        )

    # --- the task ---

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the file until cancelled, then write what is pending and close it, for at most five seconds.

        Tells that it has started when what the file held can be loaded, or the file could not be used in that time.
        """
        connection: AsyncConnection | None = None
        try:
            with trio.move_on_after(_PATIENCE_S) as patience:
                connection = await self._open(first=True)
            if patience.cancelled_caught:
                self._failed(TimeoutError(f"not opened within {_PATIENCE_S:g} s"))
            self._opened.set()
            task_status.started()
            while connection is None:
                await trio.sleep(self._retry_s)
                connection = await self._open(first=False)
            while True:
                await self._noted.wait()
                await trio.sleep(_BATCH_DELAY_S if self._state == "open" else self._retry_s)
                await self._write_pending(connection)
        finally:
            self._opened.set()
            with trio.move_on_after(_PATIENCE_S, shield=True):
                if connection is not None and self._pending:
                    await self._write_pending(connection)
            if connection is not None:
                await store_file.close(connection, within_s=_PATIENCE_S)
            if self._pending:
                self._logger.error("clients could not be kept", pending=len(self._pending), error=self._last_error)
            self._state = "closed"

    async def _open(self, *, first: bool) -> AsyncConnection | None:
        """Open and read; a later success starts from an empty file, because all that counts is in what is pending."""
        try:
            connection, moved_to = await store_file.open_file(self._path)
        except (apsw.Error, OSError, store_file.NewerSchema) as error:
            self._failed(error)
            return None
        try:
            if moved_to is not None:
                self._logger.error("the state file was damaged and moved aside", path=str(self._path), to=str(moved_to))
            if first:
                self._loaded = [_record(row) for row in await store_file.read(connection, self._most_clients)]
            else:
                await store_file.clear(connection)
        except (apsw.Error, msgspec.DecodeError) as error:
            self._failed(error)
            await store_file.close(connection, within_s=_PATIENCE_S)
            return None
        except BaseException:
            await store_file.close(connection, within_s=_PATIENCE_S)
            raise
        self._works()
        return connection

    async def _write_pending(self, connection: AsyncConnection) -> None:
        while self._pending:
            batch = dict(_first(self._pending.items(), _BATCH_ROWS))
            saved = [_row(record) for record in batch.values() if record is not None]
            forgotten = [(uuid,) for uuid, record in batch.items() if record is None]
            try:
                await store_file.write(connection, saved, forgotten)
            except apsw.Error as error:
                self._failed(error)
                return
            self._works()
            self._written += len(batch)
            for uuid, record in batch.items():
                # What was noted during the write is newer and stays.
                if uuid in self._pending and self._pending[uuid] is record:
                    del self._pending[uuid]
        self._noted = trio.Event()
        self._idle.set()

    def _works(self) -> None:
        if self._state == "failing":
            self._logger.info("the state file can be used again", path=str(self._path))
            self._complained_at = None
        self._state = "open"

    def _failed(self, error: Exception) -> None:
        self._state = "failing"
        self._failed_writes += 1
        self._last_error = f"{type(error).__name__}: {error}"
        now = trio.current_time()
        if self._complained_at is None or now - self._complained_at >= _COMPLAIN_EVERY_S:
            self._complained_at = now
            self._logger.error(
                "the state file cannot be used: clients will not be resumed after a restart; trying again",
                path=str(self._path), error=self._last_error, failed=self._failed_writes,
            )  # fmt: skip


def _first(items: Iterable[Any], count: int) -> list[Any]:
    return [item for _index, item in zip(range(count), items, strict=False)]


def _row(record: ClientRecord) -> store_file.Row:
    topics, policies = (msgspec.json.encode(each).decode() for each in (record.topics, record.policies))
    return (record.uuid, record.registered_at, topics, record.expires_at, policies, record.client_class)


def _record(row: store_file.Row) -> ClientRecord:
    uuid, registered_at, topics, expires_at, policies, client_class = row
    return ClientRecord(
        uuid, registered_at, _topics.decode(topics), expires_at, _policies.decode(policies), client_class
    )

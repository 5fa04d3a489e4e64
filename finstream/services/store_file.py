"""The SQLite file of the store: its schema, how it is opened, read and written."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import apsw.aio
import trio

from finstream.vocabulary.errors import FinStreamError

if TYPE_CHECKING:
    from apsw import AsyncConnection

__all__ = ["NewerSchema", "Row", "clear", "close", "open_file", "read", "write"]

_SCHEMA = (
    # user_version 1
    """
    CREATE TABLE clients (
        uuid TEXT PRIMARY KEY,
        registered_at INTEGER NOT NULL,
        topics TEXT NOT NULL,
        expires_at INTEGER
    ) STRICT, WITHOUT ROWID
    """,
    # user_version 2
    """
    ALTER TABLE clients ADD COLUMN policies TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE clients ADD COLUMN class TEXT NOT NULL DEFAULT 'standard'
    """,
)
"""A file of version n gets the statements from index n on."""


Row = tuple[str, int, str, int | None, str, str]
"""A client: uuid, registered_at, topics as JSON, expires_at, policies by topic as JSON, class."""
_COLUMNS = "uuid, registered_at, topics, expires_at, policies, class"


class NewerSchema(FinStreamError):  # noqa: N818 (a fact about the file, named as one)
    """A newer FinStream wrote the file; it is left alone."""


async def open_file(path: Path) -> tuple[AsyncConnection, Path | None]:
    """Open the file, make it if there is none, and bring its schema up to date.

    Returns the connection, and where a damaged file was moved, if one was in the way. The caller closes the connection.

    Raises:
      NewerSchema, apsw.Error, OSError
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return await _open(path), None
    except (apsw.NotADBError, apsw.CorruptError):
        moved_to = _move_aside(path)
        return await _open(path), moved_to


async def _open(path: Path) -> AsyncConnection:
    connection = await _connect(path)
    try:
        # One engine a file. It also spares the shared-memory file, which not every file system can do.
        await connection.pragma("locking_mode", "exclusive")
        version = await connection.pragma("user_version")
        if version > len(_SCHEMA):
            known = len(_SCHEMA)
            raise NewerSchema(f"its schema is version {version}, this program knows {known}; name another state.path")
        await connection.pragma("journal_mode", "wal")
        await connection.pragma("synchronous", "off")
        await _migrate(connection, version)
    except BaseException:
        await close(connection, within_s=1)
        raise
    return connection


async def _connect(path: Path) -> AsyncConnection:
    # APSW would also take deadlines from the surrounding scopes, as errors of its own. Cancellation says it all.
    apsw.aio.deadline.set(math.inf)
    controllers: list[apsw.aio.Trio] = []

    def controller() -> apsw.aio.Trio:
        controllers.append(apsw.aio.Trio(thread_name="store"))
        return controllers[-1]

    previous = apsw.async_controller.set(controller)  # type: ignore[arg-type]
    try:
        return await apsw.Connection.as_async(str(path))
    except BaseException:
        # Without this the connection's thread waits for its next call, and the process for the thread, for ever.
        for left_alone in controllers:
            left_alone.close()  # type: ignore[no-untyped-call]
        raise
    finally:
        apsw.async_controller.reset(previous)


async def _migrate(connection: AsyncConnection, version: int) -> None:
    await connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA[version:]:
        await connection.execute(statement)
    await connection.pragma("user_version", len(_SCHEMA))
    await connection.execute("COMMIT")


def _move_aside(path: Path) -> Path:
    moved_to = path.with_name(f"{path.name}.damaged-{time.time_ns() // 1_000_000_000}")
    path.rename(moved_to)
    for companion in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + companion).unlink()
    return moved_to


async def read(connection: AsyncConnection, most: int) -> list[Row]:
    """Oldest registration first."""
    query = f"SELECT {_COLUMNS} FROM clients ORDER BY registered_at LIMIT ?"  # noqa: S608 (our own words)
    return [row async for row in await connection.execute(query, (most,))]


async def write(connection: AsyncConnection, saved: list[Row], forgotten: list[tuple[str]]) -> None:
    """Everything in one transaction, or nothing.

    Raises:
      apsw.Error
    """
    if not await connection.get_autocommit():
        await connection.execute("ROLLBACK")  # of a transaction that failed, or was cancelled, on its way
    await connection.execute("BEGIN IMMEDIATE")
    try:
        upsert = f"INSERT OR REPLACE INTO clients ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 (our own words)
        await connection.executemany(upsert, saved)
        await connection.executemany("DELETE FROM clients WHERE uuid = ?", forgotten)
        await connection.execute("COMMIT")
    except apsw.Error:
        # A full disk may have rolled it back already.
        with suppress(apsw.Error):
            await connection.execute("ROLLBACK")
        raise


async def clear(connection: AsyncConnection) -> None:
    await connection.execute("DELETE FROM clients")


async def close(connection: AsyncConnection, *, within_s: float) -> None:
    """Close, shielded from cancellation, for at most ``within_s``.

    The connection's thread is no daemon: it must be told to end, or the process would wait for it for ever.
    """
    with trio.move_on_after(within_s, shield=True) as patience, suppress(apsw.Error):
        await connection.aclose()
    if patience.cancelled_caught:
        # Ends the thread once it comes back from what it hangs in.
        connection.async_controller.close()  # type: ignore[no-untyped-call]

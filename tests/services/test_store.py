"""The store against real files: kept, resumed, damaged, full, taken, unusable."""

# ruff: noqa: ASYNC240 - the files are small, local and the point of it all

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from finstream.services import store_file
from finstream.services.store import ClientRecord, Store

MakeStore = Callable[..., AbstractAsyncContextManager[Store]]


def record(uuid: str, *topics: str, registered_at: int = 1, expires_at: int | None = None) -> ClientRecord:
    return ClientRecord(uuid, registered_at, list(topics), expires_at)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "finstream.db"


@pytest.fixture
def running(path: Path, logger: Any) -> MakeStore:
    """A store at work, for as long as the context lasts."""

    @asynccontextmanager
    async def run(path: Path = path, **settings: Any) -> AsyncIterator[Store]:
        store = Store(path, logger=logger, **({"most_clients": 1000} | settings))
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            nursery.cancel_scope.cancel()

    return run


def run_script(script: str, *arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """A program of its own, because it will come to harm."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments], capture_output=True, text=True, timeout=timeout
    )


async def test_what_was_noted_is_there_after_the_next_start(running: MakeStore, path: Path) -> None:
    async with running() as store:
        assert await store.load() == []
        store.save(record("a", "binance", "kraken:BTC/USDT", registered_at=2, expires_at=99))
        store.save(record("b", registered_at=1))
        store.save(record("gone"))
        store.forget("gone")
        store.forget("never there")
    assert path.is_file(), "and its directory was made"
    async with running() as store:
        assert await store.load() == [
            record("b", registered_at=1), record("a", "binance", "kraken:BTC/USDT", registered_at=2, expires_at=99),
        ]  # fmt: skip
        assert await store.load() == [], "once"
        store.save(record("a", "changed"))
        store.forget("b")
    async with running() as store:
        assert await store.load() == [record("a", "changed")]


async def test_changes_are_written_soon_without_being_asked(running: MakeStore, path: Path) -> None:
    async with running() as store:
        for number in range(500):
            store.save(record("a", str(number)))
            store.save(record(f"other {number}"))
        assert store.statistics().pending == 501
        with trio.fail_after(5):
            await store.flushed()
        state = store.statistics()
        assert (state.state, state.pending, state.failed_writes, state.lost) == ("open", 0, 0, 0)
        assert state.written == 501, "the newest state of each, once"


async def test_what_changes_during_the_write_is_not_forgotten(
    running: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_write = store_file.write

    async with running() as store:

        async def write(*arguments: Any) -> None:
            await really_write(*arguments)
            monkeypatch.setattr(store_file, "write", really_write)
            store.save(record("changed", "newer"))
            store.forget("gone")
            store.save(record("back"))

        monkeypatch.setattr(store_file, "write", write)
        store.save(record("changed", "older"))
        store.save(record("gone"))
        store.forget("back")
        await store.flushed()
    async with running() as store:
        assert await store.load() == [record("back"), record("changed", "newer")]


async def test_what_was_written_survives_sigkill(path: Path, running: MakeStore) -> None:
    script = """
        import os, signal, sys, trio, structlog
        from pathlib import Path
        from finstream.services.store import ClientRecord, Store

        async def main():
            store = Store(Path(sys.argv[1]), logger=structlog.get_logger(), most_clients=10)
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                store.save(ClientRecord("kept", 7, ["binance"], None))
                await store.flushed()
                os.kill(os.getpid(), signal.SIGKILL)
        trio.run(main)
    """
    assert run_script(script, str(path)).returncode == -signal.SIGKILL
    async with running() as store:
        assert await store.load() == [record("kept", "binance", registered_at=7)]


async def test_no_more_than_the_most_is_read_the_oldest_first(running: MakeStore) -> None:
    async with running() as store:
        for number in range(10):
            store.save(record(f"c{number}", registered_at=number))
    async with running(most_clients=3) as store:
        assert [kept.uuid for kept in await store.load()] == ["c0", "c1", "c2"]


async def test_the_file_is_small_and_plain_for_other_tools(running: MakeStore, path: Path) -> None:
    async with running() as store:
        store.save(record("a", "binance:BTC/USDT", expires_at=5))
    assert sorted(file.name for file in path.parent.iterdir()) == ["finstream.db"], "no log is left behind"
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT * FROM clients").fetchall() == [
            ("a", 1, '["binance:BTC/USDT"]', 5, "{}", "standard"),
        ]
    connection.close()


@pytest.mark.parametrize("garbage", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_damaged_file_is_moved_aside(
    running: MakeStore, path: Path, garbage: bytes, log_entries: list[dict[str, Any]]
) -> None:
    path.parent.mkdir()
    path.write_bytes(garbage)
    async with running() as store:
        assert await store.load() == []
        assert store.statistics().state == "open"
        store.save(record("a"))
    (entry,) = log_entries
    assert entry["event"] == "the state file was damaged and moved aside"
    assert Path(entry["to"]).read_bytes() == garbage
    async with running() as store:
        assert await store.load() == [record("a")]


async def test_a_damaged_page_inside_costs_the_clients_not_the_engine(
    running: MakeStore, path: Path, log_entries: list[dict[str, Any]]
) -> None:
    async with running() as store:
        for number in range(1000):
            store.save(record(f"client {number}", "binance"))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    async with running() as store:
        assert await store.load() == []
        store.save(record("a"))
    assert [entry["event"] for entry in log_entries if entry["log_level"] == "error"]


async def test_a_newer_engines_file_is_left_alone(
    running: MakeStore, path: Path, log_entries: list[dict[str, Any]]
) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    async with running() as store:
        assert await store.load() == []
        assert store.statistics().state == "failing"
        assert "version 99" in store.statistics().last_error
    assert path.read_bytes() == before
    assert "state.path" in log_entries[0]["error"]


@pytest.mark.parametrize("place", ["a file as the directory", "a directory as the file"])
async def test_a_path_that_cannot_be_used_costs_the_engine_nothing(
    running: MakeStore, tmp_path: Path, place: str, log_entries: list[dict[str, Any]]
) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "x" / "state.db" if place.startswith("a file") else tmp_path
    async with running(path, retry_s=0.02) as store:
        assert await store.load() == []
        store.save(record("a"))
        await trio.sleep(0.1)
        state = store.statistics()
        assert state.state == "failing"
        assert state.pending == 1
        assert state.failed_writes > 1, "it is tried again"
        assert state.last_error
    complaints = [entry for entry in log_entries if "cannot be used" in entry["event"]]
    assert len(complaints) == 1, "and complained of once a minute"
    assert log_entries[-1]["event"] == "clients could not be kept"


async def test_a_file_that_becomes_usable_gets_what_has_been_noted(
    running: MakeStore, tmp_path: Path, log_entries: list[dict[str, Any]]
) -> None:
    (tmp_path / "var").write_text("in the way")
    path = tmp_path / "var" / "state.db"
    async with running(path, retry_s=0.02) as store:
        store.save(record("a"))
        store.save(record("b"))
        store.forget("b")
        (tmp_path / "var").unlink()
        with trio.fail_after(5):
            await store.flushed()
        assert store.statistics().state == "open"
    assert log_entries[-1]["event"] == "the state file can be used again"
    async with running(path) as store:
        assert await store.load() == [record("a")]


async def test_a_second_engine_on_the_same_file_goes_without_and_takes_over_later(
    running: MakeStore, path: Path
) -> None:
    async with running() as first:
        first.save(record("of the first"))
        await first.flushed()
        async with running(retry_s=0.02) as second:
            assert await second.load() == []
            assert "locked" in second.statistics().last_error
            second.save(record("of the second"))
            first.save(record("of the first", "still works"))
            await first.flushed()
    async with running() as third:
        assert await third.load() == [record("of the first", "still works")]


async def test_changes_without_end_are_bounded_while_nothing_can_be_written(
    running: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finstream.services.store._MAX_PENDING", 10)
    (tmp_path / "file").write_text("")
    async with running(tmp_path / "file" / "state.db") as store:
        for number in range(25):
            store.save(record(str(number)))
        state = store.statistics()
        assert (state.pending, state.lost) == (10, 15)


def test_a_full_disk_is_logged_counted_and_survived_and_writing_goes_on_when_there_is_room(tmp_path: Path) -> None:
    script = """
        import json, resource, signal, sys, trio, structlog
        from pathlib import Path
        from finstream.services.store import ClientRecord, Store

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails instead of killing
        capture = structlog.testing.LogCapture()
        logger = structlog.wrap_logger(None, processors=[capture])

        def room(size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        async def main():
            store = Store(Path(sys.argv[1]), logger=logger, most_clients=1000, retry_s=0.02)
            told = {}
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                store.save(ClientRecord("small", 1, ["x"], None))
                await store.flushed()
                room(65536)
                for number in range(500):
                    store.save(ClientRecord(f"client {number}", 2, ["y" * 1000], None))
                with trio.fail_after(10):
                    while not store.statistics().failed_writes:
                        await trio.sleep(0.01)
                told["full"] = store.statistics()
                room(resource.RLIM_INFINITY)
                with trio.fail_after(10):
                    await store.flushed()
                told["room"] = store.statistics()
                nursery.cancel_scope.cancel()
            import msgspec
            print(msgspec.json.encode([told, capture.entries]).decode())
        trio.run(main)
    """
    done = run_script(script, str(tmp_path / "state.db"))
    assert done.returncode == 0, done.stderr
    told, entries = msgspec.json.decode(done.stdout)
    assert told["full"]["state"] == "failing"
    assert told["full"]["pending"] == 500
    assert told["full"]["last_error"].startswith(("FullError", "IOError"))
    assert told["room"]["state"] == "open"
    assert told["room"]["pending"] == 0
    assert [entry["log_level"] for entry in entries] == ["error", "info"]
    with sqlite3.connect(tmp_path / "state.db") as connection:
        assert connection.execute("SELECT count(*) FROM clients").fetchone() == (501,)
    connection.close()


def test_a_file_system_that_hangs_holds_up_neither_the_start_nor_the_end(tmp_path: Path) -> None:
    script = """
        import sys, time, apsw, trio, structlog
        from pathlib import Path
        from finstream.services import store
        from finstream.services.store import Store

        store._PATIENCE_S = 0.2
        apsw.connection_hooks.append(lambda _connection: time.sleep(1.5))  # in the connection's thread

        async def main():
            began = time.monotonic()
            kept = Store(Path(sys.argv[1]), logger=structlog.get_logger(), most_clients=1000)
            async with trio.open_nursery() as nursery:
                await nursery.start(kept.run)
                assert time.monotonic() - began < 1, "started"
                assert await kept.load() == []
                print(kept.statistics().last_error)
                nursery.cancel_scope.cancel()
            assert time.monotonic() - began < 1, "ended"
            await trio.sleep(2)  # until the thread has come back
        trio.run(main)
    """
    done = run_script(script, str(tmp_path / "state.db"))
    assert done.returncode == 0, done.stderr
    assert "not opened within 0.2 s" in done.stdout


async def test_no_thread_is_left_behind_however_it_ends(running: MakeStore, tmp_path: Path, logger: Any) -> None:
    before = set(threading.enumerate())

    def threads() -> list[str]:
        return [thread.name for thread in set(threading.enumerate()) - before if "store" in thread.name]

    async with running() as store:
        store.save(record("a"))
    (tmp_path / "file").write_text("")
    async with running(tmp_path / "file" / "state.db"):
        pass
    for checkpoints in range(12):  # cancelled at each of the steps of opening
        store = Store(tmp_path / "other.db", logger=logger, most_clients=10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run)
            for _ in range(checkpoints):
                await trio.sleep(0.001)
            store.save(record("a"))
            nursery.cancel_scope.cancel()
    with trio.fail_after(5):
        while threads():  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_what_is_pending_at_the_end_is_written(running: MakeStore, logger: Any, path: Path) -> None:
    store = Store(path, logger=logger, most_clients=10)
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        for number in range(10):
            store.save(record(str(number)))
        nursery.cancel_scope.cancel()
    assert store.statistics().pending == 0
    assert store.statistics().state == "closed"
    async with running() as again:
        assert len(await again.load()) == 10

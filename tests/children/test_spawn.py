"""Starting real processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from finstream.children.spawn import CannotStartError, Ends, open_pipe, open_pty, open_socketpair, spawn
from finstream.children.spec import ChildSpec


def spec(*command: str, **members: Any) -> ChildSpec:
    plain = ChildSpec(
        name="venue", role="asset", command=command, cwd=None, env={}, withheld=frozenset(), marks=("NOBODY=1",)
    )
    return replace(plain, **members)


async def output_of(child: ChildSpec, ends: Ends | None = None) -> tuple[bytes, int]:
    """All that a child writes to its standard output, and its exit code."""
    ends = ends or open_pipe()
    try:
        process = await spawn(child, stdin=subprocess.DEVNULL, stdout=ends.theirs, stderr=subprocess.DEVNULL)
    finally:
        os.close(ends.theirs)
    data = b""
    async with trio.lowlevel.FdStream(ends.ours) as stream:
        try:
            async for part in stream:
                data += part
        except trio.BrokenResourceError:
            pass  # how a pseudo-terminal ends
    await process.exited()
    assert process.has_exited()
    return data, await process.reap()


async def test_the_environment_is_the_engines_without_what_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    monkeypatch.setenv("SECRET", "2")
    data, code = await output_of(spec("env", env={"KEY": "value"}, withheld=frozenset({"SECRET"})))
    lines = data.decode().splitlines()
    assert code == 0
    assert "OURS=1" in lines
    assert "KEY=value" in lines
    assert not any(line.startswith("SECRET=") for line in lines)


async def test_it_leads_a_session_of_its_own_with_the_usual_signals(program: Any) -> None:
    source = "import os; print(os.getsid(0) == os.getpgid(0) == os.getpid())"
    data, _code = await output_of(spec(*program(source)))
    assert data == b"True\n"
    # Python ignores SIGPIPE, and a child that inherited that would go on writing into a broken pipe.
    data, _code = await output_of(spec("grep", "SigIgn", "/proc/self/status"))
    assert not int(data.split()[1], 16) & (1 << (signal.SIGPIPE - 1))


async def test_it_inherits_no_other_descriptor(program: Any) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        data, _code = await output_of(spec(*program("import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))")))
    finally:
        os.close(reading)
        os.close(writing)
    assert data == b"[0, 1, 2, 3]\n"  # 3 is the directory being listed


async def test_exit_codes_and_signals() -> None:
    assert await output_of(spec("sh", "-c", "exit 78")) == (b"", 78)
    assert await output_of(spec("sh", "-c", "kill -9 $$")) == (b"", -9)


@pytest.mark.parametrize("unbuffer", ["none", "stdbuf"])
@pytest.mark.parametrize("program", ["no-such-program-here", "/no/such/program"])
async def test_a_missing_command(program: str, unbuffer: str) -> None:
    with pytest.raises(CannotStartError, match=f"there is no '{program}': command") as caught:
        await output_of(spec(program, unbuffer=unbuffer))
    assert ("PATH" in str(caught.value)) == ("/" not in program)


async def test_other_commands_that_cannot_work(tmp_path: Path) -> None:
    plain, empty, lost = tmp_path / "plain", tmp_path / "empty", tmp_path / "lost"
    plain.write_text("echo hello\n")
    empty.write_text("\0")
    empty.chmod(0o755)
    lost.write_text("#!/no/such/interpreter\n")
    lost.chmod(0o755)
    for child, message in [
        (spec(str(plain)), "is not executable"),
        (spec(str(empty)), "is no program"),
        (spec(str(lost)), "names an interpreter in its first line that does not exist"),
        (spec("./lost", cwd=str(tmp_path)), "names an interpreter"),
        (spec("true", cwd="/no/such/folder"), "cwd '/no/such/folder' cannot be entered: No such file"),
        (spec("true", "a\0b"), "null byte"),
        (spec("true", env={"A=B": "c"}), "illegal environment variable name"),
    ]:
        with pytest.raises(CannotStartError, match=message):
            await output_of(child)


async def test_a_relative_command_is_looked_for_in_its_cwd(tmp_path: Path) -> None:
    feed = tmp_path / "feed"
    feed.write_text("#!/bin/sh\npwd\n")
    feed.chmod(0o755)
    for unbuffer in ("none", "stdbuf"):
        assert await output_of(spec("./feed", cwd=str(tmp_path), unbuffer=unbuffer)) == (f"{tmp_path}\n".encode(), 0)


async def test_a_pseudo_terminal_passes_bytes_unchanged() -> None:
    data, code = await output_of(spec("sh", "-c", "test -t 1 && printf 'a\\tb\\n\\004\\r\\n'"), open_pty())
    assert (data, code) == (b"a\tb\n\x04\r\n", 0)


async def test_stdbuf_makes_a_stdio_program_flush_its_lines() -> None:
    """cut buffers by stdio; it gets one line and then no end of input."""
    ends, feed = open_pipe(), open_pipe()
    process = await spawn(
        spec("cut", "-c1", unbuffer="stdbuf"), stdin=feed.ours, stdout=ends.theirs, stderr=subprocess.DEVNULL
    )
    os.close(ends.theirs)
    os.close(feed.ours)
    async with trio.lowlevel.FdStream(ends.ours) as stream:
        os.write(feed.theirs, b"abc\n")
        with trio.fail_after(10):
            assert await stream.receive_some() == b"a\n"
        os.close(feed.theirs)
    await process.exited()
    await process.reap()


def test_the_ends_are_not_inherited_and_the_large_pipe_is_large() -> None:
    for ends in (open_pipe(), open_pipe(large=True), open_pty(), open_socketpair()):
        assert not any(map(os.get_inheritable, ends))
        list(map(os.close, ends))
    ends = open_pipe(large=True)
    assert fcntl.fcntl(ends.ours, fcntl.F_GETPIPE_SZ) == 1 << 20
    list(map(os.close, ends))


async def test_signals_reach_the_whole_group() -> None:
    ends = open_pipe()
    process = await spawn(
        spec("sh", "-c", "sleep 60 & sleep 60"), stdin=subprocess.DEVNULL, stdout=ends.theirs, stderr=subprocess.DEVNULL
    )
    os.close(ends.theirs)
    assert not process.has_exited()
    process.signal_group(signal.SIGTERM)
    async with trio.lowlevel.FdStream(ends.ours) as stream:
        with trio.fail_after(10):
            assert await stream.receive_some() == b""  # nobody holds the pipe any more
    await process.exited()
    assert await process.reap() == -signal.SIGTERM

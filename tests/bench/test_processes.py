"""Processes are started, measured and ended; real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.processes import Lines, Program, TrialFailed, anonymous_kib, cpu_ns, memory_kib, process_tree, settled

ROOT = Path(__file__).parent.parent.parent
STUBBORN = "import signal, subprocess, sys; signal.signal(15, signal.SIG_IGN); child = subprocess.Popen(['sleep', '60']);"


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def test_a_program_answers_and_ends(tmp_path: Path) -> None:
    program = Program(["cat"], directory=tmp_path, name="cat", stdin=subprocess.PIPE)
    program.write_line("hello")
    assert program.lines.read(5) == b"hello"
    program.stop()
    program.stop()
    assert program.process.returncode is not None


def test_who_does_not_listen_is_killed_with_its_descendants(tmp_path: Path) -> None:
    code = f"{STUBBORN} print(child.pid, flush=True); child.wait()"
    program = Program([sys.executable, "-c", code], directory=tmp_path, name="stubborn")
    child = int(program.lines.read(10))
    assert set(process_tree([program.pid])) == {program.pid, child}
    program.stop(grace_s=0.1)
    assert program.process.returncode == -signal.SIGKILL
    wait_until_gone(child)


def test_the_end_of_a_program_is_told_with_its_last_words(tmp_path: Path) -> None:
    code = "import sys; print('first', file=sys.stderr); sys.exit('no such venue')"
    program = Program([sys.executable, "-c", code], directory=tmp_path, name="short")
    with pytest.raises(TrialFailed, match="short has gone away"):
        program.lines.read(10)
    program.process.wait(10)
    with pytest.raises(TrialFailed, match="short ended with code 1: no such venue"):
        program.check_alive()
    program.stop()


def test_programs_do_not_outlive_a_killed_driver(tmp_path: Path) -> None:
    code = f"""if True:
        import os, pathlib
        from bench.processes import Program
        program = Program(["sleep", "60"], directory=pathlib.Path({str(tmp_path)!r}), name="sleep")
        print(program.pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    wait_until_gone(int(done.stdout))


def test_no_answer_in_time_is_told() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"half a line")
    with pytest.raises(TrialFailed, match="it gave no answer within"):
        Lines(reading, "it").read(0.05)
    os.close(writing)
    os.close(reading)


def test_accounts_of_our_own_process() -> None:
    own = os.getpid()
    before = cpu_ns([own])
    began = time.thread_time_ns()
    while time.thread_time_ns() - began < 20_000_000:
        pass
    assert cpu_ns([own]) - before >= 19_000_000
    assert memory_kib([own]) > 1000


def test_accounts_of_a_process_that_is_gone_are_nothing() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert (cpu_ns([gone.pid]), memory_kib([gone.pid])) == (0, 0)


def test_memory_without_files_is_exact_and_no_other_process_changes_it(tmp_path: Path) -> None:
    """A process maps a file and touches 8 MiB of its own; another one that maps the same file halves its share of that only."""
    data = tmp_path / "data"
    data.write_bytes(bytes(16 << 20))
    code = """if True:
        import mmap, os, sys
        print(flush=True); sys.stdin.readline()
        file = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
        seen = sum(file[::4096])
        own = bytearray(b"x" * int(sys.argv[2]))
        print(flush=True); sys.stdin.readline()
    """
    first, second = (
        Program([sys.executable, "-c", code, str(data), size], directory=tmp_path, name=size, stdin=subprocess.PIPE)
        for size in (str(8 << 20), "0")
    )
    try:
        first.lines.read(10)
        bare, bare_pss = anonymous_kib([first.pid]), memory_kib([first.pid])
        first.write_line("map")
        first.lines.read(10)
        alone, alone_pss = anonymous_kib([first.pid]), memory_kib([first.pid])
        assert 8192 <= alone - bare < 8192 + 1024
        assert alone_pss - bare_pss >= 23 << 10
        second.lines.read(10)
        second.write_line("map")
        second.lines.read(10)
        assert anonymous_kib([first.pid]) == alone
        assert memory_kib([first.pid]) < alone_pss - (7 << 10)
    finally:
        first.stop()
        second.stop()


def test_a_figure_is_taken_once_it_rests() -> None:
    readings = iter([1000, 5000, 4000, 2000] + 100 * [1995])
    assert settled(lambda: next(readings), for_s=0.02) == 1995


def test_a_figure_that_never_rests_is_told() -> None:
    readings = iter(range(100, 100_000, 10))
    with pytest.raises(TrialFailed, match=r"did not come to rest within 0\.1 s"):
        settled(lambda: next(readings), for_s=0.05, timeout_s=0.1)

"""Starting, stopping and measuring processes, by what Linux tells in /proc."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

__all__ = [
    "Lines",
    "Program",
    "TrialFailed",
    "anonymous_kib",
    "cpu_ns",
    "machine_busy_s",
    "memory_kib",
    "process_tree",
    "settled",
]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_AT_REST = 0.01
_READINGS = 10
_libc = ctypes.CDLL(None)


class TrialFailed(Exception):  # noqa: N818 - an outcome to report, not a fault of this program
    """A system under test, the load client or the producer did not do its part. The message goes into the results."""


def process_tree(roots: Iterable[int]) -> list[int]:
    """The processes and all their descendants that are alive."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names alone are wanted
        if entry.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                stat = Path("/proc", entry, "stat").read_text()
                parent = int(stat[stat.rindex(")") + 2 :].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, ())
    return found


def cpu_ns(pids: Iterable[int]) -> int:
    """Time on a CPU of all living threads of the processes: the scheduler's own account, exact to the nanosecond."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
                with contextlib.suppress(OSError):
                    total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
    return total


def memory_kib(pids: Iterable[int]) -> int:
    """Proportional set size: shared pages are divided among those who share them, those of programs' files too: it falls when
    another process maps the same ones."""
    return _rollup_kib(pids, ("Pss:",))


def anonymous_kib(pids: Iterable[int]) -> int:
    """What is in no file: heaps, stacks, shared memory; a page that several of them share is divided among them. No other program
    can change it."""
    return _rollup_kib(pids, ("Pss_Anon:", "Pss_Shmem:"))


def _rollup_kib(pids: Iterable[int], names: tuple[str, ...]) -> int:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(names):
                    total += int(line.split()[1])
    return total


def settled(read: Callable[[], int], *, for_s: float = 1.0, timeout_s: float = 20.0) -> int:
    """What ``read`` gives once it has not changed by more than a hundredth for so long: a system that was just started still takes
    memory and gives it back.

    Raises:
      TrialFailed: it went on changing.
    """
    deadline = time.monotonic() + timeout_s
    reference, since = read(), time.monotonic()
    while (now := time.monotonic()) - since < for_s:
        if now > deadline:
            raise TrialFailed(f"its memory did not come to rest within {timeout_s:g} s")
        time.sleep(for_s / _READINGS)
        value = read()
        if abs(value - reference) > reference * _AT_REST:
            reference, since = value, time.monotonic()
    return read()


def machine_busy_s() -> float:
    """CPU time that all of the machine has spent so far, over all CPUs."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


class Lines:
    """Lines from a pipe or socket, each waited for with a deadline."""

    def __init__(self, fd: int, whose: str) -> None:
        self._fd = fd
        self._whose = whose
        self._buffer = b""

    def read(self, timeout_s: float) -> bytes:
        """The next line, without its line feed.

        Raises:
          TrialFailed: it did not come in time, or the writer is gone.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                raise TrialFailed(f"{self._whose} gave no answer within {timeout_s:g} s")
            chunk = os.read(self._fd, 1 << 20)
            if not chunk:
                raise TrialFailed(f"{self._whose} has gone away")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _end_with_the_driver() -> None:
    """Between fork and exec. To the kernel the parent is the thread that forked: our main thread, the only one."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """A process of ours in its own process group (so that Ctrl-C reaches the driver alone), its stderr in a file.

    :meth:`stop` must be called; it takes the descendants along. Should the driver be killed, the process gets SIGTERM.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        name: str,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=directory,
                process_group=0,
                preexec_fn=_end_with_the_driver,
                env=None if env is None else {**os.environ, **env},
            )
        assert self.process.stdout is not None
        self.stdout = self.process.stdout
        self.lines = Lines(self.stdout.fileno(), name)

    @property
    def pid(self) -> int:
        return self.process.pid

    def write_line(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise TrialFailed(f"{self.name} has gone away: {self.last_words()}") from error

    def last_words(self) -> str:
        """The last line that it wrote to stderr, as far as it matters."""
        written = self._log.read_text(errors="replace").strip().splitlines()
        return written[-1].strip()[:300] if written else "it said nothing"

    def check_alive(self) -> None:
        """Raises TrialFailed when the process has ended."""
        if (code := self.process.poll()) is not None:
            raise TrialFailed(f"{self.name} ended with code {code}: {self.last_words()}")

    def stop(self, grace_s: float = 10.0) -> None:
        """Close its input, ask it to end, and after ``grace_s`` kill it with all its descendants. Does nothing the
        second time."""
        if self.stdout.closed:
            return
        family = process_tree([self.pid])
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self.stdout.close()

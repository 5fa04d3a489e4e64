"""What the engine's process and those of its children use of the machine, as the kernel tells it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil

__all__ = ["ProcessStatistics", "Processes", "SystemStatistics"]


class ProcessStatistics(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    cpu_s: float
    """Since it started; of all its threads, in user and kernel mode."""
    cpu_cores: float
    """Since the look before: 1 is one core kept busy. 0 at the first look."""
    memory_bytes: int
    """Resident."""
    threads: int
    open_fds: int


class SystemStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's own process, without its children, and the machine."""

    engine: ProcessStatistics
    started_at: int
    """Of the process; microseconds since the epoch."""
    most_fds: int
    """So many file descriptors the engine may have open."""
    cores: int
    """That the machine has."""
    load_1m: float
    """Processes that ran or wanted to, on average over a minute."""
    memory_total_bytes: int
    memory_available_bytes: int


_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class _Look:
    """What is remembered of a process between two looks.

    It reads /proc/PID/stat by itself (fields by proc_pid_stat(5)): psutil reads three files for the same figures, and with
    hundreds of children that was most of what telemetry costs.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stat = Path(f"/proc/{pid}/stat")
        self._fds = f"/proc/{pid}/fd"
        self._cpu_s: float | None = None
        self._at = 0.0

    def again(self) -> ProcessStatistics:
        """Raises OSError: it has ended, or the kernel does not tell."""
        # The name, in parentheses, may hold anything; behind it comes the third field.
        fields = self._stat.read_bytes().rpartition(b")")[2].split()
        user, system, threads, resident = (int(fields[number - 3]) for number in (14, 15, 20, 24))
        cpu_s, now = (user + system) * _TICK_S, time.monotonic()
        cores = 0.0 if self._cpu_s is None or now <= self._at else max(0.0, cpu_s - self._cpu_s) / (now - self._at)
        self._cpu_s, self._at = cpu_s, now
        return ProcessStatistics(
            pid=self._pid,
            cpu_s=round(cpu_s, 2),
            cpu_cores=round(cores, 4),
            memory_bytes=resident * _PAGE_BYTES,
            threads=threads,
            open_fds=len(os.listdir(self._fds)),  # noqa: PTH208 - a Path for each of them would be made to be counted
        )


class Processes:
    """Used by one thread at a time. All calls read files of /proc, which may take milliseconds with hundreds of children."""

    def __init__(self) -> None:
        self._engine = _Look(os.getpid())
        self._started_at = int(psutil.Process().create_time() * 1e6)
        self._children: dict[int, _Look] = {}
        self._system: SystemStatistics | None = None

    def system(self) -> SystemStatistics:
        """As it is now; as it was the time before where the kernel does not tell (all file descriptors are in use, say).

        Raises:
          OSError, psutil.Error: it has not told yet.
        """
        try:
            self._system = self._read()
        except (psutil.Error, OSError):
            if self._system is None:
                raise
        return self._system

    def _read(self) -> SystemStatistics:
        memory = psutil.virtual_memory()
        return SystemStatistics(
            engine=self._engine.again(),
            started_at=self._started_at,
            most_fds=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            cores=os.cpu_count() or 1,
            load_1m=round(os.getloadavg()[0], 2),
            memory_total_bytes=memory.total,
            memory_available_bytes=memory.available,
        )

    def children(self, pids: Iterable[int]) -> dict[int, ProcessStatistics]:
        """By pid; those of which the kernel tells nothing are left out: most have just ended."""
        looks, self._children = self._children, {}
        found = {}
        for pid in pids:
            try:
                look = looks.get(pid) or _Look(pid)
                found[pid] = look.again()
                self._children[pid] = look
            except OSError:
                continue  # it has ended meanwhile, or the kernel does not tell just now
        return found

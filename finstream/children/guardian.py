"""The guardian: a process of its own that outlives the engine for as long as it takes to leave no orphan.

Standard library only: this file is also run as a script, by its path, by an interpreter that knows nothing of the
project.

Theory of operation. The engine holds the writing end of the guardian's standard input, and nobody else does. However
the engine ends, by a clean stop, an exception or SIGKILL, the kernel closes that end, and the guardian reads the end of
file. It then looks for what is left:

* every process whose environment holds the engine's mark (``FINSTREAM_ENGINE=<epoch>``), which every descendant
  inherits, whatever session or process group it made for itself;
* every process in the session of a child that the engine told of (``+PID`` when it started, ``-PID`` once nothing of it
  was left), for those that overwrote their environment, as programs do that set their own title;
* every descendant of these, for those that were started with an empty environment.

They get SIGTERM, and after the grace SIGKILL. Processes are held by pidfd from the moment they are found, so that no
signal can hit a stranger who was given a used number, and so that one whose parent is gone by the next look is not
forgotten.

What escapes: a process that emptied its environment, made a session of its own *and* lost its parent before the engine
ended. That takes intent; keep such programs in a container.

Why not PR_SET_PDEATHSIG: the kernel sends it when the *thread* that forked ends, and threads that start our children
come and go.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

__all__ = ["KILL_WAIT_S", "Found", "find_processes", "sweep"]

_LOOK_AGAIN_S = 0.1
KILL_WAIT_S = 5.0
"""A process that takes longer to die of SIGKILL hangs in the kernel (on a dead network file system, say) and is given
up."""


class Found(NamedTuple):
    """A living process (no zombie). ``pid`` and ``started`` together name it for ever."""

    pid: int
    started: int
    parent: int
    group: int
    session: int


def find_processes(marks: Collection[str], sessions: Collection[int]) -> list[Found]:
    """The living processes that carry all ``marks`` (``NAME=value``) in their environment or belong to one of
    ``sessions``, and the descendants of all these. Never the caller. Takes some 50 µs for each process of the
    system."""
    wanted = [f"\0{mark}\0".encode() for mark in marks]
    everybody = [process for name in os.listdir("/proc") if name.isdigit() and (process := _look_at(int(name)))]  # noqa: PTH208
    ours = {process.pid for process in everybody if process.session in sessions or _is_marked(process.pid, wanted)}
    children: dict[int, list[int]] = {}
    for process in everybody:
        children.setdefault(process.parent, []).append(process.pid)
    unvisited = list(ours)
    while unvisited:
        new = [pid for pid in children.get(unvisited.pop(), ()) if pid not in ours]
        ours.update(new)
        unvisited += new
    ours.discard(os.getpid())
    return [process for process in everybody if process.pid in ours]


def _look_at(pid: int) -> Found | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123  (pathlib would double the time of a look at all)
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None  # it has ended in the meantime
    if fields[0] in b"ZX":
        return None
    return Found(pid, started=int(fields[19]), parent=int(fields[1]), group=int(fields[2]), session=int(fields[3]))


def _is_marked(pid: int, wanted: list[bytes]) -> bool:
    if not wanted:
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:  # noqa: PTH123
            entries = b"\0" + environ.read() + b"\0"
    except OSError:
        return False  # ended, or another user's, whom we could not signal either
    return all(mark in entries for mark in wanted)


class _Held:
    """A process held by its pidfd until it has ended."""

    def __init__(self, process: Found, pidfd: int) -> None:
        self.process = process
        self.pidfd = pidfd
        self.told: set[signal.Signals] = set()

    def tell(self, what: signal.Signals) -> None:
        if what not in self.told:
            self.told.add(what)
            with suppress(OSError):  # ended, or another user's; either way there is nothing more to do than wait
                signal.pidfd_send_signal(self.pidfd, what)


def sweep(
    find: Callable[[], list[Found]],
    grace_s: float,
    *,
    quiet_looks: int = 1,
    spare_group: int | None = None,
    kill_wait_s: float = KILL_WAIT_S,
) -> tuple[list[Found], list[Found]]:
    """End all processes that ``find`` finds: SIGTERM at once, SIGKILL once ``grace_s`` is over.

    Over when ``quiet_looks`` looks in a row, 0.1 s apart, found nothing: a process that was just being started shows
    its mark a moment later only. Members of the process group ``spare_group`` had their SIGTERM from somebody else; to
    many programs a second one means "at once". Blocks for up to ``grace_s + kill_wait_s``.

    Returns (all that were found, those that did not even die of SIGKILL).
    """
    held: dict[tuple[int, int], _Held] = {}
    ended: list[Found] = []
    kill_at = time.monotonic() + grace_s
    give_up_at = kill_at + kill_wait_s
    quiet = 0
    try:
        while (now := time.monotonic()) < give_up_at:
            for process in find():
                key = (process.pid, process.started)
                if key not in held and (pidfd := _hold(process)) is not None:
                    held[key] = _Held(process, pidfd)
            if not held:
                quiet += 1
                if quiet >= quiet_looks:
                    return ended, []
                time.sleep(_LOOK_AGAIN_S)
                continue
            quiet = 0
            for victim in held.values():
                if now >= kill_at:
                    victim.tell(signal.SIGKILL)
                elif victim.process.group != spare_group:
                    victim.tell(signal.SIGTERM)
            until = kill_at if now < kill_at else give_up_at
            for key in _wait_for_any(held, min(_LOOK_AGAIN_S, until - now)):
                victim = held.pop(key)
                os.close(victim.pidfd)
                ended.append(victim.process)
        left = [victim.process for victim in held.values()]
        return ended + left, left
    finally:
        for victim in held.values():
            os.close(victim.pidfd)


def _hold(process: Found) -> int | None:
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        return None
    again = _look_at(process.pid)
    if again is None or again.started != process.started:  # the number was given to somebody else
        os.close(pidfd)
        return None
    return pidfd


def _wait_for_any(held: dict[tuple[int, int], _Held], timeout_s: float) -> list[tuple[int, int]]:
    poll = select.poll()
    by_fd = {victim.pidfd: key for key, victim in held.items()}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    return [by_fd[fd] for fd, _events in poll.poll(timeout_s * 1000 + 1)]


# --- the script ---------------------------------------------------------------------------------------------------


def _outlive_the_engine() -> tuple[set[int], bool]:
    """Read what the engine says until it is gone. Returns (sessions that may be left, whether it said good-bye)."""
    sessions: set[int] = set()
    goodbye = False
    with os.fdopen(0, "rb") as engine:
        for line in engine:
            word = line.strip()
            if word == b"goodbye":
                goodbye = True
            elif word.startswith(b"+"):
                sessions.add(int(word))
            elif word.startswith(b"-"):
                sessions.discard(-int(word))
    return sessions, goodbye


def _report(found: list[Found], left: list[Found], goodbye: bool) -> None:
    """One line in the form of the engine's log, on the standard error inherited from the engine, if it can be written
    now."""
    message = {
        "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": "error" if left else "warning",
        "component": "guardian",
        "event": "ended what the engine left behind" if goodbye else "the engine is gone; ended what it left behind",
        "pids": [process.pid for process in found][:100],
        "unkillable": [process.pid for process in left],
    }
    if select.select([], [2], [], 0)[1]:
        os.write(2, json.dumps(message).encode() + b"\n")


def main() -> None:
    """``guardian.py MARK GRACE_S``, the engine's pipe on standard input."""
    # A Ctrl-C or a service manager's SIGTERM goes to all of us; the guardian's work begins when the others are gone.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)
    mark, grace_s = sys.argv[1], float(sys.argv[2])
    sessions, goodbye = _outlive_the_engine()
    found, left = sweep(lambda: find_processes([mark], sessions), grace_s, quiet_looks=1 if goodbye else 3)
    if found:
        _report(found, left, goodbye)


if __name__ == "__main__":
    main()

"""Starting one child: pipes, environment, and what went wrong, in words."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import tty
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import trio

from finstream.children.process import ChildProcess
from finstream.children.spec import ChildSpec

__all__ = ["CannotStartError", "Ends", "open_pipe", "open_pty", "open_socketpair", "spawn"]

_PIPE_BYTES = 1 << 20
"""The most that Linux gives to everybody. It is what a burst may grow to while the pump does something else."""

_HOPELESS = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOEXEC, errno.EISDIR, errno.ELOOP, errno.E2BIG,
    errno.ENAMETOOLONG, errno.ETXTBSY, errno.ELIBBAD,
}
"""What the next attempt would end in as well; all others (no memory, too many processes) may pass."""


class CannotStartError(Exception):
    """The command cannot be executed, now or later: a matter of configuration. The message says why."""


class Ends(NamedTuple):
    """The two ends of a connection, as file descriptors; neither is inherited by accident. The caller closes both."""

    ours: int
    theirs: int


def open_pipe(*, large: bool = False) -> Ends:
    """A pipe that the child writes. ``large``: 1 MiB if the system allows, else its usual 64 KiB."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    if large:
        with suppress(OSError):  # this user's share of pipe memory is used up; a small pipe works as well
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return Ends(reading, writing)


def open_pty() -> Ends:
    """A pseudo-terminal that the child writes; most programs flush after each line on one. Bytes pass unchanged."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    return Ends(ours, theirs)


def open_socketpair() -> Ends:
    """Two connected stream sockets, for a child's standard input."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Ends(ours.detach(), theirs.detach())


async def spawn(spec: ChildSpec, *, stdin: int, stdout: int, stderr: int) -> ChildProcess:
    """Start the child as the leader of a session of its own, with these descriptors (or ``subprocess.DEVNULL``) and the
    usual signal handling (SIGPIPE included). Closes none of them.

    Once the process exists it is returned, whatever is cancelled.

    Raises:
      CannotStartError: the command cannot be executed.
      OSError: the system cannot start a process now.
    """
    if spec.unbuffer == "stdbuf" and (missing := await trio.to_thread.run_sync(_missing_program, spec)):
        raise CannotStartError(missing)  # stdbuf itself would only exit with 127
    environment = {name: value for name, value in os.environ.items() if name not in spec.withheld} | spec.env
    try:
        process = await trio.lowlevel.open_process(
            spec.argv(), stdin=stdin, stdout=stdout, stderr=stderr, cwd=spec.cwd, env=environment,
            start_new_session=True,
        )
    except OSError as error:
        if error.errno in _HOPELESS:
            raise CannotStartError(_explain(spec, error)) from error
        raise
    except ValueError as error:  # a NUL byte in an argument, or "=" in the name of a variable
        raise CannotStartError(f"{spec.command[0]}: {error}") from error
    try:
        return ChildProcess(process)
    except OSError:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
        raise


def _missing_program(spec: ChildSpec) -> str:
    program = spec.argv()[2]
    path = spec.env.get("PATH", os.environ.get("PATH"))
    if os.sep in program:
        found = os.access(Path(spec.cwd or ".", program), os.X_OK)
    else:
        found = shutil.which(program, path=path) is not None
    return "" if found else _no_such_command(program)


def _no_such_command(program: str) -> str:
    where = "the path" if os.sep in program else "a program of that name in the engine's PATH"
    return f"there is no {program!r}: command[0] needs {where}"


def _explain(spec: ChildSpec, error: OSError) -> str:
    if spec.cwd is not None and error.filename == spec.cwd:
        return f"cwd {spec.cwd!r} cannot be entered: {error.strerror}"
    program = spec.argv()[0]
    if error.errno == errno.ENOENT:
        if Path(spec.cwd or ".", program).exists():
            return f"{program!r} names an interpreter in its first line that does not exist"
        return _no_such_command(program)
    if error.errno == errno.EACCES:
        return f"{program!r} is not executable (chmod +x, or name its interpreter as command[0])"
    if error.errno == errno.ENOEXEC:
        return f"{program!r} is no program: a script needs a first line like #!/bin/sh"
    return f"{program!r} cannot be executed: {error.strerror}"



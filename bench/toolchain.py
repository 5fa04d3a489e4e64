"""Builds the load tools of bench/load with the system's C compiler, once, into bench/build."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["ToolchainError", "Tools", "build_tools", "compiler_version"]

LOAD = Path(__file__).parent / "load"
BUILD = Path(__file__).parent / "build"

_SOURCES = {
    "load_client": ("load_client.c", "subscribers.c", "brokers.c", "receipts.c", "connection.c", "tls.c"),
    "producer": ("producer.c", "lines.c"),
    "histogram_check": ("histogram_check.c",),
    "floor": ("floor.c", "floor_wire.c"),
}
_ALL_OUT = {"floor": ("-O3", "-march=native")}
"""It is to be as fast as this machine can be."""
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion")


class ToolchainError(Exception):
    """The message says what to do about it."""


class Tools(NamedTuple):
    load_client: Path
    producer: Path
    histogram_check: Path
    floor: Path


def _compiler() -> str:
    found = shutil.which(os.environ.get("CC", "gcc")) or shutil.which("cc")
    if found is None:
        raise ToolchainError("no C compiler found: install gcc (Debian: apt install gcc libc6-dev), or name one in CC")
    return found


def compiler_version() -> str:
    answer = subprocess.run([_compiler(), "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.partition("\n")[0]


def build_tools(into: Path = BUILD, *, extra_flags: tuple[str, ...] = ()) -> Tools:
    """Compile what is older than its sources. ``extra_flags`` go to the compiler (give them a folder of their own).

    Raises:
      ToolchainError: no compiler, or it refused; with its words.
    """
    into.mkdir(parents=True, exist_ok=True)
    newest = max(file.stat().st_mtime for file in (*LOAD.iterdir(), Path(__file__)))
    for name, sources in _SOURCES.items():
        target = into / name
        if target.exists() and target.stat().st_mtime > newest:
            continue
        # Compiled beside its place and moved there, so that two runs at once do not meet half a program.
        with tempfile.TemporaryDirectory(dir=into) as scratch:
            out = Path(scratch) / name
            command = [
                _compiler(),
                *_FLAGS,
                *_ALL_OUT.get(name, ()),
                *extra_flags,
                *(str(LOAD / source) for source in sources),
                "-o",
                str(out),
                "-lm",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ToolchainError(f"could not compile {name}: {' '.join(command)}\n{done.stderr}")
            out.replace(target)
    return Tools(*(into / name for name in Tools._fields))

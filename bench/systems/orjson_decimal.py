"""orjson with Decimal: the quickest general JSON parser of Python, and exact prices made of its strings."""

from __future__ import annotations

import subprocess

import msgspec

from bench.processes import TrialFailed
from bench.setup import ROOT, python_for, versions_in
from bench.systems.base import ParsingSystem


class _Measured(msgspec.Struct):
    ns: int
    ticks: int


class OrjsonDecimal(ParsingSystem):
    name = "orjson-decimal"
    work = "typed"
    note = "in a process of its own; bare numbers would be floats, so only decimals in strings are exact; does not rank"
    shapes = ("typical", "long", "hostile")

    def missing(self) -> str | None:
        return None if python_for("orjson") else "python -m bench --setup (or pip install orjson)"

    def versions(self) -> dict[str, str]:
        return versions_in(python_for("orjson"), "orjson")

    def parse(self, lines: bytes, repeat: int) -> tuple[int, int]:
        command = [str(python_for("orjson")), "-m", "bench.peers.orjson_ticks", str(repeat)]
        done = subprocess.run(command, input=lines, cwd=ROOT, capture_output=True, check=False)
        if done.returncode:
            raise TrialFailed(f"orjson: {done.stderr.decode(errors='replace').strip().splitlines()[-1]}")
        measured = msgspec.json.decode(done.stdout, type=_Measured)
        return measured.ns, measured.ticks


SYSTEMS = (OrjsonDecimal(),)

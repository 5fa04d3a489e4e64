"""Streams without and with something beside them: pairs that other programs disturb are taken again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.results import DISTURBED_CORES, Outcome
from bench.scenarios.beside import compare
from bench.systems import all_systems
from bench.systems.floor import Floor
from bench.toolchain import build_tools
from bench.workbench import Workbench, usual_load_cpu

ROUNDS = 3

pytestmark = pytest.mark.slow


def compared(directory: Path, disturbed: int) -> tuple[int, Outcome]:
    """How many pairs there were when a program of nobody's kept a core busy in the first so many, and what came of it."""
    pairs = 0

    @contextmanager
    def beside() -> Iterator[None]:
        nonlocal pairs
        pairs += 1
        if pairs > disturbed:
            yield
            return
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as stranger:
            try:
                yield
            finally:
                stranger.kill()

    floor = all_systems()["floor"]
    assert isinstance(floor, Floor)
    bench = Workbench(build_tools(), directory, load_cpu=usual_load_cpu())
    with bench.session(floor, 2) as session:
        outcome = compare(session, 500.0, 0.4 * ROUNDS, beside, rounds=ROUNDS)
    return pairs, outcome


def test_a_pair_that_was_disturbed_is_taken_again(tmp_path: Path) -> None:
    pairs, outcome = compared(tmp_path, disturbed=1)
    assert ROUNDS < pairs <= 2 * ROUNDS
    assert outcome.complete


def test_there_is_an_end_to_that_and_it_is_told(tmp_path: Path) -> None:
    pairs, outcome = compared(tmp_path, disturbed=1000)
    assert pairs == 2 * ROUNDS
    assert outcome.foreign_cores > DISTURBED_CORES

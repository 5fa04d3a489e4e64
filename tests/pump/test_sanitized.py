"""The pump under AddressSanitizer and UndefinedBehaviorSanitizer: a bounded run of what sanitized.py does by hand."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import sanitized

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def _instrumented() -> None:
    try:
        sanitized.build()
    except sanitized.Unavailable as reason:
        pytest.skip(f"no sanitizers here: {reason}")


@pytest.mark.usefixtures("_instrumented")
def test_the_sanitizers_are_at_work() -> None:
    sanitized.prove()


PARTS = 3
COMMANDS = {
    "fuzzing": [*sanitized.FUZZ, "--inputs", "3000", "--seed", "2", "--direct", "0.1"],
    **{f"tests of the pump, {part + 1} of {PARTS}": sanitized.pump_tests(part, PARTS) for part in range(PARTS)},
    "tests of tls": sanitized.TLS_TESTS,
}


@pytest.fixture(scope="module")
def runs(_instrumented: None) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """All of them under way, as many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield {name: pool.submit(sanitized.python, *command) for name, command in COMMANDS.items()}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", COMMANDS)
def test_the_sanitizers_find_nothing(name: str, runs: dict[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    done = runs[name].result()
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert ("3000 inputs read alike" if name == "fuzzing" else " passed") in done.stdout

"""The pump under AddressSanitizer and UndefinedBehaviorSanitizer: a bounded run of what sanitized.py does by hand."""

from __future__ import annotations

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


@pytest.mark.usefixtures("_instrumented")
@pytest.mark.timeout(300)
def test_fuzzing_breaks_nothing() -> None:
    fuzzed = sanitized.python(*sanitized.FUZZ, "--inputs", "3000", "--seed", "2", "--direct", "0.1")
    assert fuzzed.returncode == 0, fuzzed.stderr[-5000:]
    assert "3000 inputs read alike" in fuzzed.stdout


@pytest.mark.usefixtures("_instrumented")
@pytest.mark.timeout(900)
def test_the_tests_of_the_pump_break_nothing() -> None:
    tested = sanitized.python(*sanitized.TESTS)
    assert tested.returncode == 0, tested.stdout[-5000:] + tested.stderr[-5000:]
    assert " passed" in tested.stdout


@pytest.mark.usefixtures("_instrumented")
@pytest.mark.timeout(300)
def test_the_tests_of_tls_break_nothing() -> None:
    tested = sanitized.python(*sanitized.TLS_TESTS)
    assert tested.returncode == 0, tested.stdout[-5000:] + tested.stderr[-5000:]
    assert " passed" in tested.stdout

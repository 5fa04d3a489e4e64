from __future__ import annotations

import pytest
import structlog

from finstream import endings
from finstream.endings import explain
from finstream.servers.listeners import ListenError
from finstream.vocabulary.errors import ConfigError, PumpFailed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a.b", "is wrong", "right it"), endings.MISCONFIGURED),
        (ListenError("public", "127.0.0.1:80", "Permission denied", taken=False), endings.UNAVAILABLE),
        (PumpFailed("the pump ended"), endings.PUMP_FAILED),
        (
            ExceptionGroup("", [ExceptionGroup("", [RuntimeError("a consequence"), PumpFailed("x")])]),
            endings.PUMP_FAILED,
        ),
    ],
)
def test_a_known_end_is_one_clear_line(error: Exception, code: int) -> None:
    with structlog.testing.capture_logs() as lines:
        assert explain(error, structlog.get_logger()) == code
    (line,) = lines
    assert (line["log_level"], line["exit_code"]) == ("error", code)
    assert "exc_info" not in line
    assert "Group" not in line["event"]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ExceptionGroup("", [ValueError(), KeyError()])])
def test_a_bug_is_told_with_its_traceback(error: Exception) -> None:
    with structlog.testing.capture_logs() as lines:
        assert explain(error, structlog.get_logger()) == endings.INTERNAL
    assert [(line["log_level"], line["exc_info"]) for line in lines] == [("critical", error)]

"""The ten-line ingestors in other languages run as they are."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import finstream_ingestors
import pytest

EXAMPLES = Path(finstream_ingestors.__file__).parent / "examples"


@pytest.mark.parametrize(("program", "file"), [("sh", "shell.sh"), ("node", "node.mjs")])
def test_an_example_prints_a_tick_a_second_and_leaves_when_told(program: str, file: str) -> None:
    executable = shutil.which(program)
    if executable is None:
        pytest.skip(f"{program} is not installed")
    with subprocess.Popen([executable, EXAMPLES / file], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        started_s = time.monotonic()
        ticks: list[Any] = [json.loads(process.stdout.readline()) for _ in range(3)]
        elapsed_s = time.monotonic() - started_s
        process.terminate()
        assert process.wait(5) in {0, -signal.SIGTERM}
    assert elapsed_s > 1.5  # the second and third came a second apart: nothing was held back in a buffer
    for tick in ticks:
        assert {"symbol", "price", "volume", "trade_id", "ts"} == set(tick)
        assert isinstance(tick["price"], str)
    assert [tick["trade_id"] for tick in ticks] == [1, 2, 3]
    stamps = [tick["ts"] for tick in ticks]
    assert stamps == sorted(stamps)

"""The examples run as they are, but for the engine's address."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .engine import Engine

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [("print_ticks", ["tick"], r"tick \d+ S\d \d+ None None -?\d+\.\d ms"), ("lag_alarm", ["0", "tick"], "tick: late, ")],
)
def test_example(engine: Engine, tmp_path: Path, name: str, arguments: list[str], says: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    assert "connect(URL)" in text
    here = tmp_path / f"{name}.py"
    here.write_text(text.replace("connect(URL)", f"connect({engine.public_url!r}, stream_url={engine.stream_url!r})"))
    with subprocess.Popen([sys.executable, "-u", str(here), *arguments], stdout=subprocess.PIPE, text=True) as example:
        assert example.stdout is not None
        try:
            for line in example.stdout:
                if re.match(says, line):
                    break
            else:
                pytest.fail(f"it ended with code {example.wait(10)}")
        finally:
            example.kill()


def test_all_of_them_are_read_by_python() -> None:
    for path in sorted(EXAMPLES.glob("*.py")):
        compile(path.read_text(), str(path), "exec")

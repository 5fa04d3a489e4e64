"""The examples run as they are, but for the engine's address and topic."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .engine import Engine

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def at(engine: Engine, text: str) -> str:
    """An example with this engine's addresses in place of the usual ones."""
    assert "http://127.0.0.1:8080" in text
    assert "connect(URL)" in text
    text = text.replace("http://127.0.0.1:8080", engine.public_url)
    return text.replace("connect(URL)", f"connect(URL, stream_url='{engine.stream_url}')")


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("print_ticks", ["tick"], r"tick \d+ S\d \d+ None None -?\d+\.\d ms"),
        ("lag_alarm", ["0", "tick"], "tick: late, "),
        ("best_source", ["S0"], "--- from nobody to tick: first"),
        ("best_source", ["S0"], r"tick S0 \d+ None None"),
    ],
)
def test_example(engine: Engine, tmp_path: Path, name: str, arguments: list[str], says: str) -> None:
    here = tmp_path / f"{name}.py"
    here.write_text(at(engine, (EXAMPLES / f"{name}.py").read_text()))
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


def outputs(notebook: Path) -> dict[str, str]:
    """Of each code cell, by its id, what stands below it, as text."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    return {cell["id"]: "".join(line for one in cell["outputs"] for line in one["data"]["text/plain"]) for cell in cells}


def test_the_notebook(engine: Engine, tmp_path: Path) -> None:
    shipped = EXAMPLES / "ticks.ipynb"
    assert set(outputs(shipped).values()) == {""}, "it is kept without what it said once"
    text = shipped.read_text()
    assert r'TOPIC = \"steady\"' in text
    here, done = tmp_path / "ticks.ipynb", tmp_path / "done.ipynb"
    here.write_text(at(engine, text).replace("steady", "tick"))
    program = "from nbclient.cli import main; main()"
    command = [sys.executable, "-c", program, "--timeout=60", f"--output={done.stem}", str(here)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert run.returncode == 0, run.stderr
    said = outputs(done)
    assert "S0" in said["ticks"]
    assert "99%" in said["lag"]
    assert "open" in said["candles"]
    assert "close" in said["candles"]
    assert "tick" in said["arena"]

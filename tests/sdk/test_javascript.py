"""The client for JavaScript: its own tests (sdk/js/test) run by Node, against real engines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "sdk/js/test"


def _node() -> tuple[str, int]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node 20 or newer")
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    major = int(version.lstrip("v").partition(".")[0])
    if major < 20:
        pytest.skip(f"needs Node 20 or newer; this is {version}")
    return node, major


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", sorted(TESTS.glob("*.test.js")), ids=lambda file: file.name)
def test_in_node(file: Path) -> None:
    node, major = _node()
    # Before version 22 Node has its WebSocket only on request; later ones do not know the option.
    options = "" if major >= 22 else "--experimental-websocket --disable-warning=ExperimentalWarning"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FINSTREAM_")}
    environment |= {"FINSTREAM_PYTHON": sys.executable, "NODE_OPTIONS": options}
    command = [node, "--test", "--test-reporter=spec", str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=280)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-5_000:]}"
    assert "tests 0" not in done.stdout, "it tests something"


def test_there_are_tests() -> None:
    assert len(list(TESTS.glob("*.test.js"))) >= 5

"""The client for JavaScript: its own tests (sdk/js/test) run by Node, against real engines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "sdk/js"
FILES = sorted((PACKAGE / "test").glob("*.test.js"))
CONNECTING = {"client.test.js", "conformance.test.js", "worker.test.js"}


def _run(node: Any, file: Path, *, nodes_own: bool = False) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FINSTREAM_")}
    environment |= {"FINSTREAM_PYTHON": sys.executable}
    if nodes_own:
        environment |= {"FINSTREAM_NODES_OWN": "yes", **node.with_web_socket()}
    command = [node.program, "--test", "--test-reporter=spec", str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=280)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr[-5_000:]}"
    assert "tests 0" not in done.stdout, "it tests something"
    assert "skipped 0" in done.stdout, "a test that is left out here has to be left out where its reader sees it"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_in_node(node: Any, file: Path) -> None:
    """With the WebSocket that the client brings along."""
    if file.name == "types.test.js" and not (PACKAGE / "node_modules/.bin/tsc").exists():
        pytest.skip("needs TypeScript: make setup, or npm ci in sdk/js")
    _run(node, file)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", [file for file in FILES if file.name in CONNECTING], ids=lambda file: file.name)
def test_with_nodes_own_web_socket(node: Any, file: Path) -> None:
    """As browsers have it, and passed as any other."""
    _run(node, file, nodes_own=True)


def test_there_are_tests() -> None:
    assert len(FILES) >= 5
    assert {file.name for file in FILES} > CONNECTING

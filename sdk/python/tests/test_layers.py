"""The core of the client does no I/O: it cannot, having nothing to do it with."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src/finstream_client"
FACES = {"__init__", "_async_client", "_face", "_iteration", "_turns", "asyncio", "rest", "sync", "tables", "trio"}
CORE = sorted(path for path in PACKAGE.glob("*.py") if path.stem not in FACES)
PLAIN = {
    "__future__", "base64", "collections", "dataclasses", "decimal", "hashlib", "http", "logging", "os", "random", "time", "typing",
    "urllib", "msgspec", "finstream_client",
}  # fmt: skip


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_imports_nothing_that_does_io(path: Path) -> None:
    names = imported(path)
    assert {name.split(".")[0] for name in names} <= PLAIN
    assert not any(name.split(".")[1] in FACES for name in names if name.startswith("finstream_client."))


def test_it_is_most_of_the_package() -> None:
    assert {"_session", "_wire", "_frames", "messages"} <= {path.stem for path in CORE}

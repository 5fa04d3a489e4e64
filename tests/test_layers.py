"""Dependencies point one way: vocabulary <- the pump's face <- children, services <- servers <- engine, cli."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What each layer may import of the project, itself aside.
ALLOWED = {
    "vocabulary": set(),
    "_fastpath": set(),
    "new_york_offsets": set(),
    "pump_snapshots": set(),
    "pump_events": {"pump_snapshots"},
    "pump": {"vocabulary", "_fastpath", "new_york_offsets", "pump_snapshots", "pump_events"},
    "_tls": set(),
    "acceptor": {"vocabulary", "_tls"},
    "token_bucket": set(),
    "children": {"vocabulary", "pump", "token_bucket"},
    "services": {"vocabulary", "pump"},
    "servers": {"vocabulary", "pump", "acceptor", "token_bucket", "children", "services"},
    "endings": {"vocabulary", "pump", "children", "services", "servers"},
    "beginnings": {"vocabulary", "pump", "children", "services", "servers"},
    "stopping": {"vocabulary", "services", "endings"},
    "leaving": {"vocabulary", "children", "services"},
    "engine": {"vocabulary", "pump", "children", "services", "servers", "beginnings", "endings", "leaving", "stopping"},
    "cli": {"vocabulary", "pump", "children", "services", "servers", "beginnings", "endings", "engine"},
}


def imported(path: Path) -> Iterator[str]:
    yield from imported_by(path.read_text(), path.relative_to(ROOT).parent.parts)


def imported_by(source: str, package: tuple[str, ...]) -> Iterator[str]:
    """The full names of what a module of ``package`` imports, relative imports included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> str | None:
    """``finstream.services.bus`` belongs to ``services``; None for what is not of the project, or the package itself."""
    parts = module.split(".")
    return parts[1] if parts[0] == "finstream" and len(parts) > 1 and parts[1] in ALLOWED else None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import finstream.engine", "finstream.engine"),
        ("from finstream import engine", "finstream.engine"),
        ("from finstream.engine import main", "finstream.engine"),
        ("from ..engine import main", "finstream.engine"),
        ("from .. import engine", "finstream.engine"),
        ("from . import bus", "finstream.services.bus"),
        ("from .bus import Bus", "finstream.services.bus"),
    ],
)
def test_every_way_to_import_is_seen(source: str, name: str) -> None:
    assert name in imported_by(source, ("finstream", "services"))


def modules() -> list[Path]:
    return sorted((ROOT / "finstream").rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    layer = path.relative_to(ROOT / "finstream").parts[0].removesuffix(".py")
    if layer == "__init__":
        return
    assert layer in ALLOWED, f"give {layer} its place in the order"
    wrong = {name for name in imported(path) if (found := layer_of(name)) not in {None, layer} and found not in ALLOWED[layer]}
    assert not wrong


@pytest.mark.parametrize("folder", ["ingestors", "sinks", "sdk/python/src"])
def test_plugins_do_not_import_the_engine(folder: str) -> None:
    wrong = {
        f"{path.name}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] == "finstream"
    }
    assert not wrong


def test_the_native_part_imports_nothing_of_the_project() -> None:
    for path in [*(ROOT / "finstream").glob("*.pyx"), *(ROOT / "finstream").glob("*.pxd")]:
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] == ["from"] and words[1].startswith("finstream"):
                assert words[1].startswith("finstream._"), f"{path.name}: {line}"
                assert words[2] == "cimport", f"{path.name}: {line}"
            assert words[:2] != ["import", "finstream"], f"{path.name}: {line}"

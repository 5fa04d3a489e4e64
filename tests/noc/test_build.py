"""What was built, and from what: small enough, well typed, in the wheel, and from the public registry."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MOST_BYTES = 200_000


def test_all_of_it_is_small(built: Path) -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in built.rglob("*") if path.is_file()}
    assert any(name.endswith(".js") for name in sizes)
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_the_wheel_carries_it(built: Path, tmp_path: Path) -> None:
    # All but compiling: what a wheel takes of the Python packages.
    program = "import setuptools; setuptools.setup()"
    command = [sys.executable, "-W", "ignore", "-c", program, "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = {path.relative_to(tmp_path / "finstream/page") for path in (tmp_path / "finstream/page").rglob("*") if path.is_file()}
    assert found == {path.relative_to(built) for path in built.rglob("*") if path.is_file()}


def test_what_is_installed_comes_from_the_registry_that_npm_asks() -> None:
    lock = json.loads((ROOT / "noc/package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert package.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/"), name


@pytest.mark.slow
def test_types_and_accessibility(node: Any) -> None:
    if not (ROOT / "noc/node_modules").exists():
        pytest.skip("needs the page's tools: make page")
    modules = ROOT / "noc/node_modules"
    for script in (
        [modules / "@sveltejs/kit/svelte-kit.js", "sync"],
        [modules / "svelte-check/bin/svelte-check", "--fail-on-warnings"],
    ):
        told = subprocess.run([node.program, *map(str, script)], cwd=ROOT / "noc", capture_output=True, text=True)
        assert told.returncode == 0, told.stdout + told.stderr


def test_nothing_is_shown_as_html() -> None:
    sources = [path for path in (ROOT / "noc/src").rglob("*") if path.suffix in {".svelte", ".ts"}]
    assert len(sources) > 20
    for path in sources:
        for way in ("{@html", "innerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in path.read_text(), f"{path.name}: {way}"

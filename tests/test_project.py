"""The project's own files agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from finstream import _fastpath
from finstream.vocabulary.reasons import REJECTIONS

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {"finstream": "finstream", "finstream_ingestors": "ingestors", "finstream_sinks": "sinks"}


def test_every_package_is_in_the_wheel() -> None:
    found = {
        ".".join([package, *path.parent.relative_to(ROOT / folder).parts])
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found <= set(PROJECT["tool"]["setuptools"]["packages"])


def parts_of(source: Path) -> set[str]:
    """Names of our own parts that a native source is made of, by way of others too."""
    direct = set(re.findall(r"^from finstream\.(\w+) cimport", source.read_text(), re.MULTILINE))
    return direct.union(*(parts_of(source.with_name(f"{part}.pxd")) for part in direct))


def test_every_native_part_makes_the_extension_stale() -> None:
    modules = PROJECT["tool"]["setuptools"]["ext-modules"]
    extensions = {extension["name"].removeprefix("finstream."): extension for extension in modules}
    assert set(extensions) == {path.stem for path in (ROOT / "finstream").glob("*.pyx")}
    for name, extension in extensions.items():
        assert set(extension["depends"]) == {f"finstream/{part}.pxd" for part in parts_of(ROOT / "finstream" / f"{name}.pyx")}


def test_the_pump_counts_by_the_reasons_that_are_documented() -> None:
    assert list(REJECTIONS) == list(_fastpath.REJECTIONS)

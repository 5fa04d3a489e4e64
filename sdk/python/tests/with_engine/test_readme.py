"""What the README shows runs as it is, but for the engine's addresses and its topics."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .engine import Engine

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
TOPICS = {'"binance:BTC/USDT"': '"tick:S0"', '"coinbase:BTC/USD"': '"tick:S1"', '"binance"': '"tick"', '"BTC/USDT"': '"S0"'}


def test_there_is_something_to_show() -> None:
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(engine: Engine, number: int) -> None:
    """What goes on for ever prints something; what does not ends well."""
    text = BLOCKS[number]
    for usual, ours in TOPICS.items():
        text = text.replace(usual, ours)
    text = re.sub(r'connect\((?:"http://127\.0\.0\.1:8080")?\)', f"connect('{engine.public_url}', stream_url='{engine.stream_url}')", text)
    text = text.replace("http://127.0.0.1:8080", engine.public_url)
    goes_on = ".stream(" in text and "islice(" not in text
    with subprocess.Popen([sys.executable, "-uc", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            if goes_on:
                assert program.stdout.readline(), program.stderr.read()
            else:
                _, said = program.communicate(timeout=60)
                assert program.returncode == 0, said
        finally:
            program.kill()


def test_some_end_and_some_go_on() -> None:
    """Or the test above would not have told them apart."""
    assert {"for row in engine.arena" in block for block in BLOCKS if ".stream(" not in block} == {True}
    assert sum("islice(" in block for block in BLOCKS) == 1

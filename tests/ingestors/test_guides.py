"""The programs in the guides run as they are printed there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import finstream_ingestors
import pytest

from finstream import _fastpath
from finstream.new_york_offsets import NEW_YORK_OFFSETS

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r"<!-- file (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def files(guide: str) -> dict[str, str]:
    return dict(FILE.findall((DOCS / guide).read_text()))


@pytest.mark.parametrize(("program", "name"), [("sh", "tick.sh"), (sys.executable, "tick.py"), ("node", "tick.mjs")])
def test_the_first_programs(program: str, name: str, tmp_path: Path) -> None:
    executable = shutil.which(program)
    if executable is None:
        pytest.skip(f"{program} is not installed")
    path = tmp_path / name
    path.write_text(files("writing-an-ingestor.md")[name])
    with subprocess.Popen([executable, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline().rstrip(b"\n")
        process.terminate()
    now_ns = time.time_ns()
    kind, message = _fastpath.parse_line(line, NEW_YORK_OFFSETS, received_ns=now_ns, future_ms=1000, max_age_ms=20_000)
    assert kind == "tick", message


def test_the_lines_in_the_text_are_accepted() -> None:
    lines = re.findall(r"^\{.*\}$", (DOCS / "writing-an-ingestor.md").read_text(), re.MULTILINE)
    assert len(lines) == 3
    assert {_fastpath.parse_line(line.encode(), NEW_YORK_OFFSETS)[0] for line in lines} == {"tick"}


def test_the_example_venue(tmp_path: Path) -> None:
    package = tmp_path / "finstream_ingestors"
    package.mkdir()
    (package / "kit").symlink_to(Path(finstream_ingestors.__file__).parent / "kit")
    (package / "__init__.py").touch()
    for name, text in files("adding-a-venue.md").items():
        (package / name).write_text(text)
    guide = (DOCS / "adding-a-venue.md").read_text()
    messages = re.findall(r'`(\{"ch":.*?\})`', guide)
    assert len(messages) == 2
    refusal = '{"ch":"error","text":"no such symbol"}'
    (tmp_path / "acme.jsonl").write_text("\n".join([messages[1], messages[0], refusal]))
    result = subprocess.run(
        [sys.executable, "-m", "finstream_ingestors.acme", "--replay", "acme.jsonl", "--symbols", "BTC/USDT"],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "FINSTREAM_MODE": "simulation"},
    )
    assert result.returncode == 0, result.stderr
    _, quote, trade, error, end = map(json.loads, result.stdout.splitlines())
    assert quote["bid_volume"] == "1.5"
    assert (trade["side"], trade["price"], trade["ask_volume"]) == ("buy", "67123.45", "0.2")
    assert error["detail"] == "Acme: no such symbol"
    assert end["detail"] == "3 messages: 1 trades, 1 quotes"

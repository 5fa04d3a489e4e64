"""Systems that a file describes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.processes import TrialFailed
from bench.systems.base import ParsingSystem, StreamingSystem, System
from bench.systems.external import load_external

PARSER = 'import sys; n = len(open(sys.argv[1]).readlines()); print("some words"); print(\'{"each": %d}\' % (n * int(sys.argv[2])))'


def load(tmp_path: Path, text: str) -> dict[str, System]:
    file = tmp_path / "external.toml"
    file.write_text(text)
    return load_external(file)


def load_parser(tmp_path: Path, command: list[str], more: str = "") -> ParsingSystem:
    text = f'[[system]]\nname = "parser"\nwork = "typed"\n[system.parse]\ncommand = {json.dumps(command)}\n{more}'
    parser = load(tmp_path, text)["parser"]
    assert isinstance(parser, ParsingSystem)
    return parser


def test_kinds_follow_from_what_is_there(tmp_path: Path) -> None:
    systems = load(
        tmp_path,
        f"""
        [[system]]
        name = "server"
        work = "relay"
        command = ["{sys.executable}", "--port", "{{port}}"]
        [[system]]
        name = "parser"
        work = "typed"
        parse = {{command = ["/nonexistent/program", "{{lines}}"]}}
        """,
    )
    server, parser = systems["server"], systems["parser"]
    assert (isinstance(server, StreamingSystem), isinstance(server, ParsingSystem)) == (True, False)
    assert (isinstance(parser, StreamingSystem), isinstance(parser, ParsingSystem)) == (False, True)
    assert server.missing() is None
    assert "/nonexistent/program" in (parser.missing() or "")


def test_a_parser_tells_its_own_time(tmp_path: Path) -> None:
    parser = load_parser(tmp_path, [sys.executable, "-c", PARSER, "{lines}", "{repeat}"], 'member = "each"')
    assert parser.parse(b"a\nb\n", 3) == (6 * 6, 6)


def test_a_parser_that_fails_is_told(tmp_path: Path) -> None:
    parser = load_parser(tmp_path, ["/bin/sh", "-c", "echo no >&2; exit 3"])
    with pytest.raises(TrialFailed, match="code 3: no"):
        parser.parse(b"a\n", 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("system = 1", "Expected `array`"),
        ('[[system]]\nname = "x"', "missing required field `work`"),
        ('[[system]]\nname = "x"\nwork = "typed"\nport = 1', "unknown field `port`"),
        ('[[system]]\nname = "X y"\nwork = "typed"', "matching regex"),
        ('[[system]]\nname = "x"\nwork = "typed"', "nothing to measure"),
        (2 * '[[system]]\nname = "x"\nwork = "typed"\ncommand = ["x"]\n', "two systems are called 'x'"),
        ("not toml", "external.toml"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load(tmp_path, text)

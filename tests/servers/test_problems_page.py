"""docs/problems.md has every word that the engine uses, with the figures that go with it, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finstream import endings
from finstream.children.lifecycle import REASONS
from finstream.vocabulary.problems import PROBLEMS, type_uri
from finstream.vocabulary.reasons import CLOSINGS, REJECTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "problems.md").read_text()


def table(heading: str) -> dict[str, list[str]]:
    """The rows under a heading: the first cell's word, the others."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(heading + "\n")]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")][2:]
    found = {cells[0].strip("`"): cells[1:] for cells in rows}
    assert len(found) == len(rows)
    return found


def test_problems() -> None:
    rows = table("Problems")
    assert {word: int(cells[0]) for word, cells in rows.items()} == {
        word: kind.status for word, kind in PROBLEMS.items()
    }
    assert type_uri("x") == "urn:finstream:problem:x"


def test_closings() -> None:
    said = {word: (int(code), again) for word, (code, again, *_) in table("Closing reasons").items()}
    assert said == {
        word: (closing.close_code, "yes" if closing.reconnect else "no") for word, closing in CLOSINGS.items()
    }


def test_rejections() -> None:
    assert list(table("Rejection reasons")) == list(REJECTIONS)


def test_reasons_of_states() -> None:
    assert set(table("Reasons of an asset's state")) == set(REASONS)


def test_exit_codes() -> None:
    codes = {
        endings.OK,
        endings.TOLD_TWICE,
        endings.UNAVAILABLE,
        endings.INTERNAL,
        endings.PUMP_FAILED,
        endings.MISCONFIGURED,
    }
    assert {int(code) for code in table("Exit codes")} == codes


@pytest.mark.parametrize(
    "heading", ["Problems", "Closing reasons", "Rejection reasons", "Reasons of an asset's state", "Exit codes"]
)
def test_each_says_what_to_do(heading: str) -> None:
    for word, cells in table(heading).items():
        assert len(cells[-1].rstrip("|").strip()) > 10, word

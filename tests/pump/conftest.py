"""What the pump's tests share. The helpers beside this file (twin, parsers, strategies, rig) are plain modules."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from parsers import Parser
    from rig import Rig


@pytest.fixture(params=["twin", "native"])
def parse(request: pytest.FixtureRequest) -> Parser:
    """Each of the two parsers in turn: a table of this kind holds for both."""
    import parsers

    return parsers.by_twin if request.param == "twin" else parsers.native


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A running pump, with everything that is connected to it closed afterwards."""
    from rig import running

    async with running() as rig:
        yield rig

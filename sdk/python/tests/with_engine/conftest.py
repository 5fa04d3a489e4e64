from __future__ import annotations

from collections.abc import Iterator

import pytest

from .engine import Engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Started, in simulation, with the asset ``tick``: S0 and S1 in turns, 100 ticks a second."""
    engine = Engine(tmp_path_factory.mktemp("engine"), {})
    try:
        engine.start()
        yield engine
    finally:
        engine.end()

"""The connectors' scenarios give their figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.results import Measurement, load_results
from bench.scenarios.connectors import trade_messages

pytestmark = pytest.mark.recordings


@pytest.fixture(autouse=True)
def recordings() -> None:
    if not (Path(__file__).parents[3] / "shared" / "fixtures").is_dir():
        pytest.skip("the recorded venue messages are not here (../shared/fixtures)")


def measured(tmp_path: Path, scenario: str) -> list[Measurement]:
    file = tmp_path / "results.json"
    arguments = ["--scenario", scenario, "--seconds", "0.3", "--repeat", "1", "--retries", "0", "--json", str(file)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return load_results(file).measurements


@pytest.mark.parametrize("venue", ["binance", "coinbase", "kraken", "okx"])
def test_both_ways_of_reading_tell_the_same_trades(venue: str, tmp_path: Path) -> None:
    found = {row.system: row for row in measured(tmp_path, f"connectors@{venue}")}
    assert set(found) == {"ingestors", "json-decimal"}
    assert not [row.problem for row in found.values() if row.problem]
    past = 1 if venue == "okx" else 0  # what its subscription brings first
    assert found["ingestors"].values["trades"] == found["json-decimal"].values["trades"] - past
    assert found["ingestors"].values["messages_per_s"] > 0


def test_the_running_connector_is_timed(tmp_path: Path) -> None:
    (row,) = measured(tmp_path, "connector-latency@1000")
    assert row.problem is None
    assert row.complete
    assert row.values["trades"] == 300
    assert 0 < row.values["p50_us"] <= row.values["p99_us"] < 10**7


def test_only_trades_are_measured() -> None:
    assert len(trade_messages("kraken")) == 10
    assert len(trade_messages("okx")) == 69

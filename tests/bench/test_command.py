"""The whole command, with tiny durations: that it works and what it leaves behind, never how fast."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.results import Results, load_results

ROOT = Path(__file__).parent.parent.parent


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


def run(tmp_path: Path, *arguments: str) -> Results:
    file = tmp_path / "results.json"
    done = bench("--repeat", "1", "--retries", "0", "--json", str(file), *arguments)
    assert done.returncode == 0, done.stderr
    for plot in tmp_path.glob("*.svg"):
        ElementTree.parse(plot)
    return load_results(file)


def test_listing() -> None:
    done = bench("--list")
    assert done.returncode == 0
    assert "latency@100" in done.stdout
    assert "websockets-relay" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenario", "parsing"], "no scenario 'parsing'; there are parse"),
        (["--scenario", "latency@7"], "latency has no point '7'; it has 1, 100"),
        (["--system", "seed"], "no system 'seed'; there are finstream"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(arguments: list[str], told: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.slow
def test_parse_writes_figures_plot_and_machine(tmp_path: Path) -> None:
    results = run(tmp_path, "--scenario", "parse@short", "--seconds", "0.1")
    assert [m.system for m in results.measurements] == ["finstream", "msgspec-decimal"]
    assert all(m.values["ns_per_tick"] > 0 and m.problem is None for m in results.measurements)
    assert {"cpu", "python", "compiler", "system"} <= set(results.machine)
    assert results.systems["msgspec-decimal"]["msgspec"]
    assert (tmp_path / "parse.svg").exists()
    again = bench("--show", str(tmp_path / "results.json"), "--json", str(tmp_path / "shown" / "x.json"))
    assert again.returncode == 0
    assert (tmp_path / "shown" / "parse.svg").read_text() == (tmp_path / "parse.svg").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("system", ["finstream", "websockets", "websockets-relay"])
def test_latency_is_complete_and_leaves_no_process(tmp_path: Path, system: str) -> None:
    before = children()
    results = run(tmp_path, "--scenario", "latency@1", "--system", system, "--seconds", "0.2")
    (measurement,) = results.measurements
    assert measurement.problem is None
    assert measurement.complete
    assert measurement.histograms["write"].count == measurement.histograms["due"].count == 200
    assert {"p50_us", "p999_us", "cpu_us", "load_cores", "memory_kib"} <= set(measurement.values)
    assert (tmp_path / "latency-1.svg").exists()
    assert children() <= before


@pytest.mark.slow
def test_deliveries_finds_a_rate(tmp_path: Path) -> None:
    results = run(tmp_path, "--scenario", "deliveries@1", "--system", "websockets-relay", "--seconds", "0.1")
    (measurement,) = results.measurements
    assert measurement.complete
    assert measurement.values["ticks_per_s"] >= 1
    assert (tmp_path / "deliveries.svg").exists()


@pytest.mark.slow
def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    before = children()
    arguments = (
        "--scenario",
        "latency@1",
        "--system",
        "websockets",
        "--seconds",
        "60",
        "--json",
        str(tmp_path / "x.json"),
    )
    driver = subprocess.Popen([sys.executable, "-m", "bench", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while len(children() - before) < 3:  # server, producer and client
        assert time.monotonic() < deadline
        assert driver.poll() is None
        time.sleep(0.02)
    driver.terminate()
    assert driver.wait(20) == 128 + 15
    assert children() <= before


def children() -> set[str]:
    """Command lines of all processes that serve a benchmark."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if (
            entry.name.isdigit()
            and int(entry.name) != os.getpid()
            and ("bench/build/" in command or "bench.peers" in command)
        ):
            found.add(f"{entry.name} {command}")
    return found

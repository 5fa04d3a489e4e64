"""The whole command, with tiny durations: that it works and what it leaves behind, never how fast."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.results import Results, load_results, save_results
from bench.scenarios import all_scenarios
from bench.systems import all_systems
from bench.toolchain import BUILD, build_tools

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
    assert [m.system for m in results.measurements] == ["finstream", "msgspec-decimal"]  # the others do not read short lines
    assert all(m.values["ns_per_tick"] > 0 and m.problem is None for m in results.measurements)
    assert {"cpu", "python", "compiler", "system"} <= set(results.machine)
    assert results.systems["msgspec-decimal"]["msgspec"]
    assert (tmp_path / "parse.svg").exists()
    again = bench("--show", str(tmp_path / "results.json"), "--json", str(tmp_path / "shown" / "x.json"))
    assert again.returncode == 0
    assert (tmp_path / "shown" / "parse.svg").read_text() == (tmp_path / "parse.svg").read_text()


def test_quick_is_once_and_brief_if_not_said_otherwise(tmp_path: Path) -> None:
    chosen = ("--scenario", "parse@short", "--system", "msgspec-decimal", "--json", str(tmp_path / "results.json"))
    for more, told in (((), ("1", "0.5")), (("--repeat", "2", "--seconds", "0.1"), ("2", "0.1"))):
        done = bench("--quick", *chosen, *more)
        assert done.returncode == 0, done.stderr
        settings = load_results(tmp_path / "results.json").settings
        assert (settings["repeats"], settings["seconds"]) == told


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
@pytest.mark.peers
@pytest.mark.parametrize(
    "system", ["floor", "floor-wss", "mosquitto", "nats", "node-ws", "node-ws-relay", "picows", "picows-relay"]
)
def test_every_peer_that_is_installed_delivers_all(tmp_path: Path, system: str) -> None:
    if why := all_systems()[system].missing():
        pytest.skip(why)
    before = children()
    (measurement,) = run(tmp_path, "--scenario", "fan-out@10x200", "--system", system, "--seconds", "0.2").measurements
    assert measurement.problem is None
    assert measurement.complete
    assert children() <= before


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    ["fan-out@10x200", "pipe", "stalled", "policies@2000", "symbols", "noise", "telemetry", "first-tick@shell", "idle@1000"],
)
def test_every_scenario_gives_its_figures(tmp_path: Path, scenario: str) -> None:
    before = children()
    (measurement,) = run(tmp_path, "--scenario", scenario, "--system", "finstream", "--seconds", "0.4").measurements
    columns = {column.key for column in all_scenarios()[measurement.scenario].columns}
    assert measurement.problem is None
    assert measurement.complete is not False
    assert columns <= set(measurement.values)
    assert children() <= before


@pytest.mark.slow
def test_a_storm_ends_when_all_stream_again(tmp_path: Path) -> None:
    (measurement,) = run(tmp_path, "--scenario", "storm", "--system", "floor", "--seconds", "0.3").measurements
    assert measurement.problem is None
    assert measurement.complete
    assert measurement.values["reconnects_per_s"] > 0


@pytest.mark.slow
def test_external_systems_take_part(tmp_path: Path) -> None:
    build_tools()
    described = f"""
    [[system]]
    name = "mine"
    work = "typed"
    command = ["{BUILD / "floor"}", "{{port}}"]
    stamp_member = "ts_event"
    stamp_unit = "us"
    """
    (tmp_path / "external.toml").write_text(described)
    arguments = ("--external", str(tmp_path / "external.toml"), "--system", "mine", "--seconds", "0.2")
    (measurement,) = run(tmp_path, "--scenario", "latency@1", *arguments).measurements
    assert (measurement.system, measurement.complete, measurement.problem) == ("mine", True, None)


def test_bars_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    save_results(Results(), file)
    done = bench("--bars", str(file))
    assert done.returncode == 0
    assert "not measured in this run" in done.stdout
    assert bench("--bars", str(tmp_path / "none.json")).returncode == 1


def test_finstream_bench_is_the_same_command(tmp_path: Path) -> None:
    """It is looked for beside the package, so it runs from any folder."""
    command = [str(Path(sys.executable).parent / "finstream"), "bench", "--list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, bench("--list").stdout)


def test_finstream_bench_tells_its_usage() -> None:
    command = [str(Path(sys.executable).parent / "finstream"), "bench", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[0].strip() == "Usage: finstream bench [OPTIONS]"


def test_finstream_bench_explains_itself_where_there_is_no_source_tree(tmp_path: Path) -> None:
    told = "import sys, finstream.cli.bench as b; from pathlib import Path; b._CHECKOUT = Path(sys.argv.pop()); b.bench()"
    done = subprocess.run([sys.executable, "-c", told, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "part of the source tree" in done.stderr
    assert "make bench" in done.stderr


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
            and ("bench/build/" in command or "bench.peers" in command or "bench/peers" in command)
        ):
            found.add(f"{entry.name} {command}")
    return found

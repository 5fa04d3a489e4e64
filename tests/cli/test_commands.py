"""The commands that ask one thing of a running engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Until = Callable[..., Any]


def _register(engine: Any) -> str:
    answer = httpx.post(f"{engine.addresses['public']}/v1/clients", trust_env=False)
    uuid: str = answer.json()["uuid"]
    return uuid


def test_assets_for_people(engine: Any, finstream: Run) -> None:
    told = finstream("assets")
    assert (told.returncode, told.stderr) == (0, "")
    title, *rows = [line.split() for line in told.stdout.splitlines()]
    assert title[:2] == ["asset", "state"]
    assert [row[0] for row in rows] == ["quick", "spare"]


def test_assets_for_programs(engine: Any, finstream: Run) -> None:
    told = json.loads(finstream("assets", "--json").stdout)
    assert [asset["name"] for asset in told["assets"]] == ["quick", "spare"]
    one = json.loads(finstream("assets", "spare", "--json").stdout)
    assert one["name"] == "spare"
    assert one["statistics"]["rejected"] == {}


def test_one_asset_with_its_counters(engine: Any, finstream: Run) -> None:
    told = finstream("assets", "spare")
    assert "python -m finstream_ingestors.sim --rate 5" in told.stdout
    assert "rejected" in told.stdout


def test_the_arena(engine: Any, finstream: Run) -> None:
    assert finstream("subscribe", "quick", "--count", "10").returncode == 0
    told = finstream("arena")
    assert (told.returncode, told.stderr) == (0, "")
    title, first, *_ = [line.split() for line in told.stdout.splitlines()]
    assert title == ["rank", "asset", "lag", "smoothed", "p50", "p99", "ticks/s", "usually", "ticks", "silent", "health"]
    assert first[:2] == ["1", "quick"]
    places = json.loads(finstream("arena", "--json").stdout)["arena"]
    assert [place["asset"] for place in places] == ["quick", "spare"]
    of_symbol = json.loads(finstream("arena", "--symbol", "BTC/USDT", "--json").stdout)["arena"]
    assert [place["asset"] for place in of_symbol] == ["quick"]
    assert of_symbol[0]["ticks"] < places[0]["ticks"]


def test_the_arena_watched(
    engine: Any, finstream_process: Callable[..., subprocess.Popen[str]], interrupt: Callable[..., tuple[int, str, str]]
) -> None:
    process = finstream_process("arena", "--watch", "--every", "0.05", "--json")
    assert process.stdout is not None
    for _ in range(3):
        assert json.loads(process.stdout.readline())["arena"]
    code, _, err = interrupt(process)
    assert (code, err) == (0, "")


def test_pause_start_and_restart(engine: Any, finstream: Run, until: Until) -> None:
    def state() -> str:
        found: str = json.loads(finstream("assets", "spare", "--json").stdout)["state"]
        return found

    told = finstream("pause", "spare")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("spare: ")
    until(lambda: state() == "paused")
    assert json.loads(finstream("start", "spare", "--json").stdout)["asset"] == "spare"
    until(lambda: state() != "paused")
    told = finstream("pause", "no-such-asset")
    assert told.returncode == 1
    assert "No such asset" in told.stderr
    assert "finstream assets" in told.stderr


def test_the_log_level(engine: Any, finstream: Run) -> None:
    assert finstream("logs", "level", "debug").stdout == "info → debug\n"
    assert json.loads(finstream("logs", "level", "info", "--json").stdout) == {"level": "info", "previous": "debug"}


def test_reload(engine: Any, finstream: Run) -> None:
    assert "nothing changed" in finstream("reload").stdout
    before: str = engine.config.read_text()
    try:
        engine.config.write_text(before + "  third:\n    origin: synthetic\n    command: [sleep, '60']\n")
        # The engine watches the file as well: whoever comes first, the asset is there afterwards.
        assert finstream("reload").returncode == 0
        names = [asset["name"] for asset in json.loads(finstream("assets", "--json").stdout)["assets"]]
        assert names == ["quick", "spare", "third"]
        engine.config.write_text("assets: 5\n")
        told = finstream("reload")
        assert (told.returncode, told.stdout) == (1, "")
        assert "field:  assets" in told.stderr
    finally:
        engine.config.write_text(before)
        assert finstream("reload").returncode == 0


def test_clients(engine: Any, finstream: Run, finstream_process: Callable[..., subprocess.Popen[str]]) -> None:
    uuid = _register(engine)
    shown = finstream("clients", "show", uuid)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert uuid in shown.stdout
    assert "waiting" in shown.stdout
    assert json.loads(finstream("clients", "show", uuid, "--json").stdout)["topics"] == []
    path = f"{engine.addresses['public']}/v1/clients/{uuid}/subscriptions"
    body = {"topics": ["quick", "spare"], "policy": "conflate", "max_rate": 2.5}
    assert httpx.post(path, json=body, trust_env=False).status_code == 200
    told = finstream("clients", "show", uuid).stdout
    assert re.search(r"^policies\.quick\.policy +conflate$", told, re.MULTILINE)
    assert re.search(r"^policies\.spare\.max_rate +2\.5$", told, re.MULTILINE)
    process = finstream_process("subscribe", "--client", uuid)
    assert process.stdout is not None
    process.stdout.readline()
    told = finstream("clients", "show", uuid).stdout
    assert re.search(r"^statistics\.skipped +0$", told, re.MULTILINE)
    assert re.search(r"^statistics\.conflated +[\d,]+$", told, re.MULTILINE)
    process.kill()
    assert finstream("clients", "delete", uuid).stdout == f"unregistered {uuid}\n"
    gone = finstream("clients", "show", uuid, "--json")
    assert (gone.returncode, gone.stdout) == (1, "")
    problem = json.loads(gone.stderr)
    assert problem["type"] == "urn:finstream:problem:unknown-client"
    assert problem["status"] == 404


@pytest.mark.parametrize(
    "arguments", [["assets"], ["arena", "--watch"], ["subscribe", "quick"], ["pause", "quick"], ["reboot", "--yes"]]
)
def test_nobody_there(finstream: Run, arguments: list[str]) -> None:
    told = finstream(*arguments)
    assert (told.returncode, told.stdout) == (69, "")
    assert "No engine answers at http://127.0.0.1:1" in told.stderr
    assert "finstream run" in told.stderr
    if arguments[0] != "reboot":
        told = finstream(*arguments, "--json")
        assert (told.returncode, json.loads(told.stderr)["type"]) == (69, "urn:finstream:problem:unreachable")


def test_something_else_there(finstream: Run) -> None:
    """An HTTP server that is no engine."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told = finstream("assets", "--public", f"127.0.0.1:{server.server_port}")
        server.shutdown()
    assert told.returncode == 1
    assert "not from a FinStream engine" in told.stderr


def test_a_proxy_in_the_environment_is_not_asked(engine: Any, finstream: Run) -> None:
    environment = {**engine.environment, "http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    assert finstream("assets", env=environment).returncode == 0


def test_the_admin_token(start_engine: Callable[..., Any], finstream: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINSTREAM_ADMIN_TOKEN", "s3cret")
    engine = start_engine()
    environment = dict(engine.environment)
    assert finstream("reload", env=environment).returncode == 0
    for wrong in ({**environment, "FINSTREAM_ADMIN_TOKEN": "guess"}, _without(environment, "FINSTREAM_ADMIN_TOKEN")):
        told = finstream("reload", env=wrong)
        assert told.returncode == 1
        assert "The admin token is missing or wrong" in told.stderr
        assert "set FINSTREAM_ADMIN_TOKEN" in told.stderr


def _without(environment: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key != name}


def test_reboot(start_engine: Callable[..., Any], finstream: Run) -> None:
    engine = start_engine()
    told = finstream("reboot", env=engine.environment, stdin=subprocess.DEVNULL)
    assert told.returncode == 130, "nobody said yes"
    told = finstream("reboot", "--yes", env=engine.environment)
    assert (told.returncode, told.stdout) == (0, "the engine is restarting\n")
    assert json.loads(engine.process.stdout.readline())["event"] == "ready", "it came back, on the same standard output"
    assert finstream("assets", env=engine.environment).returncode == 0


def test_run_tells_a_configuration_that_cannot_be_used(finstream: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("mode: production\nassets: {x: {command: [a], origin: synthetic}}\n")
    told = finstream("run", "--config", str(file))
    assert (told.returncode, told.stdout) == (78, "")
    assert "simulation" in told.stderr
    assert finstream("run", "--config", str(tmp_path / "none.yaml")).returncode == 78


def test_a_closed_standard_output_ends_quietly(engine: Any, finstream: Run) -> None:
    read, write = os.pipe()
    os.close(read)
    told = finstream("assets", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (told.returncode, told.stderr) == (0, "")

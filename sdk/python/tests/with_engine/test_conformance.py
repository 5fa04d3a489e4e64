"""Every scenario of the shared suite, through every face, against the real engine. `sdk/conformance/README.md` has the rules."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from finstream_client import Backoff

from .engine import SCENARIOS, Engine, filled
from .faces import FACES, Face
from .network import Network
from .trace import Trace, matches

_CHOICES = ("policy", "trades", "max_rate")


class Run:
    """One scenario's world."""

    def __init__(self, face: type[Face], directory: Path, settings: dict[str, Any]) -> None:
        self._face = face
        self.engine = Engine(directory, settings)
        self.network = Network(self.engine.stream_port)
        self.names: dict[str, Any] = {}
        self.clients: dict[str, Face] = {}
        self.traces: dict[str, Trace] = {}
        self._http = httpx.Client(trust_env=False, timeout=10)

    def do(self, step: dict[str, Any]) -> None:
        step = filled(step, self.names)
        getattr(self, f"do_{step['do']}")(step)

    def do_open(self, step: dict[str, Any]) -> None:
        options: dict[str, Any] = {
            "url": f"http://127.0.0.1:{self.engine.public_port}",
            "stream_url": f"ws://127.0.0.1:{self.network.port}",
            "uuid": step.get("uuid"),
        }
        if "backoff" in step:
            options["backoff"] = Backoff(**step["backoff"])
        trace = self.traces[step["client"]] = Trace()
        self.clients[step["client"]] = self._face(trace, topics_of(step), choices_of(step), options)

    def do_subscribe(self, step: dict[str, Any]) -> None:
        self.clients[step["client"]].subscribe(topics_of(step), choices_of(step))

    def do_unsubscribe(self, step: dict[str, Any]) -> None:
        self.clients[step["client"]].unsubscribe(topics_of(step))

    def do_close(self, step: dict[str, Any]) -> None:
        self.clients.pop(step["client"]).close()

    def do_expect(self, step: dict[str, Any]) -> None:
        item = self.traces[step["client"]].expect(step["item"], step.get("never", []), within(step))
        for name, path in step.get("save", {}).items():
            value: Any = item
            for part in path.split("."):
                value = value[part]
            self.names[name] = value

    def do_count(self, step: dict[str, Any]) -> None:
        self.traces[step["client"]].count(step["item"], step.get("distinct"), step["at_least"], within(step))

    def do_accounted(self, step: dict[str, Any]) -> None:
        self.traces[step["client"]].accounted(step["asset"])

    def do_none(self, step: dict[str, Any]) -> None:
        self.traces[step["client"]].none(step["item"])

    def do_network(self, step: dict[str, Any]) -> None:
        getattr(self.network, step["action"])()

    def do_attempts(self, step: dict[str, Any]) -> None:
        self.network.await_attempts(step["at_least"], within(step))

    def do_engine(self, step: dict[str, Any]) -> None:
        match step["action"]:
            case "kill":
                self.engine.stop(9)
            case "reboot":
                answer = self._http.post(f"http://127.0.0.1:{self.engine.admin_port}/v1/reboot")
                assert answer.status_code == 202, answer.text
                self.engine.await_ready()
            case "stop":
                self.engine.stop()
            case "start":
                self.engine.start()
            case other:
                raise AssertionError(other)

    def do_rest(self, step: dict[str, Any]) -> None:
        deadline = time.monotonic() + within(step)
        while True:
            answer = self._http.request(
                step["method"], f"http://127.0.0.1:{self.engine.public_port}{step['path']}", json=step.get("body")
            )
            told = answer.json() if answer.content else None
            if answer.status_code == step.get("status", 200) and ("json" not in step or matches(step["json"], told)):
                return
            assert step["method"] == "GET", answer.text
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.02)

    def end(self) -> None:
        for client in self.clients.values():
            client.close()
        self.network.end()
        self._http.close()
        self.engine.end()


def within(step: dict[str, Any]) -> float:
    return float(step.get("within_s", 10))


def choices_of(step: dict[str, Any]) -> dict[str, Any]:
    return {name: step[name] for name in _CHOICES if name in step}


def topics_of(step: dict[str, Any]) -> list[str]:
    topics: list[str] = []
    for topic in step.get("topics", []):
        if isinstance(topic, str):
            topics.append(topic)
            continue
        for number in range(topic["count"]):
            asset, _, symbol = filled(topic["$topics"], {"n": number}).partition(":")
            topics.append(f"{asset}:{symbol.ljust(topic.get('pad', 0), '_')}")
    return topics


NAMES = sorted(path.stem for path in SCENARIOS.glob("*.json") if path.stem != "base")
# What only takes data ends with the engine's refusal, where the scenario goes on: test_faces.py has that.
CASES = [(name, face) for name in NAMES for face in FACES if (name, face) != ("refused_topic", "raw")]


def test_there_are_scenarios() -> None:
    assert len(NAMES) >= 6


@pytest.mark.parametrize(("scenario", "face"), CASES)
def test_scenario(scenario: str, face: str, tmp_path: Path) -> None:
    told = json.loads((SCENARIOS / f"{scenario}.json").read_text())
    run = Run(FACES[face], tmp_path, told.get("engine", {}))
    try:
        run.engine.start()
        for number, step in enumerate(told["steps"]):
            try:
                run.do(step)
            except AssertionError as error:
                raise AssertionError(f"step {number}, {step}: {error}") from None
    finally:
        run.end()

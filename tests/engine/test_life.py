"""Start, stop, restart, death: the engine as a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed


def last_words(client: Any, tools: Any) -> tuple[dict[str, Any], int]:
    goodbye = tools.hear(client, "goodbye")
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=5)
    return goodbye, closed.value.rcvd.code


def test_the_ready_line(engine: Any) -> None:
    ready = engine.start().ready
    assert list(ready) == ["event", "public", "stream", "admin"]
    assert ready["event"] == "ready"
    assert ready["public"].startswith("http://127.0.0.1:")
    assert ready["stream"].startswith("ws://127.0.0.1:")
    assert ready["admin"].startswith("http://127.0.0.1:")
    assert engine.public("GET", "/health/liveness").json() == {"status": "alive"}
    assert engine.public("GET", "/health/readiness").json() == {"status": "ready", "memory": "normal"}
    assert engine.admin("GET", "/health/readiness").json() == {"status": "ready", "memory": "normal"}
    engine.stop()
    assert engine.process.stdout.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(engine: Any, tools: Any, number: int) -> None:
    engine.start()
    with engine.connect(engine.register()) as client:
        client.send('{"op":"subscribe","topics":["tick"]}')
        tools.hear(client, "tick")
        epoch = engine.log("ready", 1)[0]["epoch"]
        engine.process.send_signal(number)
        goodbye, code = last_words(client, tools)
    assert engine.process.wait(10) == 0
    assert (goodbye["code"], goodbye["reconnect"], code) == ("engine_stopping", True, 1001)
    assert tools.processes(f"FINSTREAM_ENGINE={epoch}") == []
    assert [line["event"] for line in engine.log("stopped")] == ["stopped"]
    assert "Traceback" not in engine.log_text()


def test_the_grace_of_the_ingestors_is_kept(engine: Any, tools: Any) -> None:
    engine.config["assets"] = {"stubborn": engine.asset("stubborn", start="always", stop_grace_s=0.5)}
    engine.start()
    tools.until(lambda: engine.asset_state("stubborn")["state"] == "running")
    began = time.monotonic()
    assert engine.stop() == 0
    assert 0.5 <= time.monotonic() - began < 5
    assert tools.processes(engine.scripts["stubborn"]) == []


def test_a_second_signal_ends_it_at_once(engine: Any, tools: Any) -> None:
    engine.config["assets"] = {"stubborn": engine.asset("stubborn", start="always", stop_grace_s=60)}
    engine.start()
    tools.until(lambda: engine.asset_state("stubborn")["state"] == "running")
    engine.process.send_signal(signal.SIGTERM)
    tools.until(lambda: engine.log("child changed state")[-1]["state"] == "stopping")
    assert engine.process.poll() is None
    assert engine.stop(within_s=5) == 1
    tools.until(lambda: tools.processes(engine.scripts["stubborn"]) == [])


def test_killed_it_leaves_no_orphan(engine: Any, tools: Any) -> None:
    engine.config["assets"]["stubborn"] = engine.asset("stubborn", start="always")
    engine.config["assets"]["tick"]["start"] = "always"
    engine.start()
    for name in ("tick", "stubborn"):
        tools.until(lambda name=name: engine.asset_state(name)["state"] == "running")
    epoch = engine.log("ready", 1)[0]["epoch"]
    assert len(tools.processes(f"FINSTREAM_ENGINE={epoch}")) >= 2
    assert engine.stop(signal.SIGKILL) == -signal.SIGKILL
    tools.until(lambda: tools.processes(f"FINSTREAM_ENGINE={epoch}") == [])


def stored(engine: Any) -> dict[str, list[str]]:
    """The clients that a crash would leave in its store just now, with their topics."""
    # From a copy: the engine keeps its store locked.
    for suffix in ("", "-wal"):
        shutil.copyfile(engine.directory / f"state.db{suffix}", engine.directory / f"copy.db{suffix}")
    with closing(sqlite3.connect(engine.directory / "copy.db")) as store, suppress(sqlite3.DatabaseError):
        return {uuid: json.loads(topics) for uuid, topics in store.execute("SELECT uuid, topics FROM clients")}
    return {}


@pytest.mark.parametrize("death", [signal.SIGTERM, signal.SIGKILL])
def test_clients_outlive_the_engine(engine: Any, tools: Any, death: int) -> None:
    engine.start()
    uuid, forgotten = engine.register(), engine.register()
    assert engine.public("DELETE", f"/v1/clients/{forgotten}").status_code == 204
    with engine.connect(uuid) as client:
        first = tools.hear(client)
        client.send('{"op":"subscribe","topics":["tick:BTC/USDT"],"id":1}')
        tools.hear(client, "tick")
        if death == signal.SIGKILL:
            tools.until(lambda: stored(engine) == {uuid: ["tick:BTC/USDT"]})
        engine.stop(death)
    engine.start()
    with engine.connect(uuid) as client:
        welcome = tools.hear(client)
        assert (welcome["topics"], welcome["client"]) == (["tick:BTC/USDT"], uuid)
        assert welcome["epoch"] != first["epoch"]
        assert tools.hear(client, "tick")["seq"] <= 3  # an epoch of its own
    assert engine.public("GET", f"/v1/clients/{forgotten}").status_code == 404


def test_reboot(engine: Any, tools: Any) -> None:
    engine.config["assets"]["tick"]["stop_grace_s"] = 4  # it does not need it, but who knows
    engine.config["assets"]["idle"] = engine.asset("ticker", stop_grace_s=50)
    engine.start()
    uuid, before = engine.register(), engine.process.pid
    with engine.connect(uuid) as client:
        epoch = tools.hear(client)["epoch"]
        client.send('{"op":"subscribe","topics":["tick"]}')
        tools.hear(client, "tick")
        answer = engine.admin("POST", "/v1/reboot")
        assert (answer.status_code, answer.json()) == (202, {"epoch": epoch})
        goodbye, code = last_words(client, tools)
    assert (goodbye["code"], code) == ("engine_restarting", 1012)
    assert 4000 + 2000 < goodbye["reconnect_in_ms"] < 50_000  # the ladder of who runs, the drain, and some more
    engine.await_ready()
    assert engine.process.pid == before
    with engine.connect(uuid) as client:
        welcome = tools.hear(client)
        assert welcome["topics"] == ["tick"]
        assert welcome["epoch"] != epoch
        tools.hear(client, "tick")
    assert engine.stop() == 0


def test_a_reboot_that_could_not_start_again_is_refused(engine: Any, tools: Any) -> None:
    engine.start()
    uuid = engine.register()

    def problem_of_reboot() -> tuple[str, str, str]:
        answer = engine.admin("POST", "/v1/reboot")
        assert answer.status_code == 422, answer.text
        told = answer.json()
        assert told["type"] == "urn:finstream:problem:config-rejected"
        return told["field"], told["detail"], told["remedy"]

    with engine.connect(uuid) as client, socket.create_server(("127.0.0.1", 0)) as other:
        client.send('{"op":"subscribe","topics":["tick"]}')
        listen = engine.config["listen"]
        engine.config["asets"] = {}
        engine.configure()
        assert problem_of_reboot()[0] == "asets"
        del engine.config["asets"]

        taken = f"127.0.0.1:{other.getsockname()[1]}"
        engine.config["listen"] = {**listen, "stream": taken}
        engine.configure()
        field, detail, remedy = problem_of_reboot()
        assert (field, detail) == ("listen.stream", f"cannot listen on {taken}: Address already in use")
        assert "another port" in remedy

        engine.config["listen"] = {**listen, "admin": "0.0.0.0:0"}
        engine.configure()
        field, detail, remedy = problem_of_reboot()
        assert (field, "needs a token" in detail, "FINSTREAM_ADMIN_TOKEN" in remedy) == ("listen.admin", True, True)

        seq = tools.hear(client, "tick")["seq"]
        while tools.hear(client, "tick")["seq"] < seq + 20:  # untouched
            pass
        # Two of our own ports, exchanged: they will be free.
        public, stream = (engine.ready[which].partition("//")[2] for which in ("public", "stream"))
        engine.config["listen"] = {**listen, "public": stream, "stream": public}
        engine.configure()
        assert engine.admin("POST", "/v1/reboot").status_code == 202
        last_words(client, tools)
    assert engine.await_ready()["public"] == f"http://{stream}"
    assert engine.stop() == 0
    assert "Traceback" not in engine.log_text()


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_it_runs_without_standard_streams(engine: Any, tools: Any, closed: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine.config["listen"]["public"] = f"127.0.0.1:{port}"
    engine.config["assets"]["tick"]["start"] = "always"
    engine.configure()
    engine.ready = {"public": f"http://127.0.0.1:{port}"}
    arguments = [sys.executable, "-m", "finstream.cli", "run", "--config", str(engine.path)]
    engine.process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=engine.environment, cwd=engine.directory,
    )  # fmt: skip

    def ticks() -> bool:
        assert engine.process.poll() is None
        with suppress(httpx.TransportError):
            return bool(engine.asset_state("tick")["statistics"]["ticks"] > 3)
        return False

    tools.until(ticks)
    engine.process.terminate()
    said, complaints = engine.process.communicate(timeout=15)
    assert engine.process.returncode == 0, complaints
    assert said == b""
    assert b"Traceback" not in complaints


def refused(engine: Any) -> tuple[int, str]:
    """Exit code and the one line that the log says about it."""
    code = engine.launch().wait(15)
    assert engine.process.stdout.read() == b""
    lines = [json.loads(line) for line in engine.log_text().splitlines()]
    assert [line["level"] for line in lines] == ["error"], lines
    assert lines[0]["exit_code"] == code
    assert "exception" not in lines[0]
    event: str = lines[0]["event"]
    return code, event


@pytest.mark.parametrize("which", ["public", "stream", "admin"])
def test_a_port_in_use(engine: Any, which: str, tools: Any) -> None:
    engine.config["assets"]["tick"]["start"] = "always"
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        engine.config["listen"][which] = address
        code, said = refused(engine)
    assert code == 69
    assert said.startswith(f"listen.{which}: cannot listen on {address}: Address already in use")
    assert tools.processes(engine.scripts["ticker"]) == []


def test_a_wrong_configuration(engine: Any) -> None:
    engine.config["mode"] = "production"
    code, said = refused(engine)
    assert code == 78
    assert said.startswith("assets.tick.origin: ")
    engine.config = {"assets": {}, "asets": {}}
    code, said = refused(engine)
    assert (code, said.startswith("asets: ")) == (78, True), said
    engine.path = engine.directory / "nowhere" / "config.yaml"
    engine.configure = lambda: None
    code, said = refused(engine)
    assert (code, "no such file" in said) == (78, True)


def test_the_admin_side_is_not_open_to_the_network(engine: Any) -> None:
    engine.config["listen"]["admin"] = "0.0.0.0:0"
    code, said = refused(engine)
    assert code == 78
    assert said.startswith("listen.admin: 0.0.0.0:0 is not on loopback")
    assert "FINSTREAM_ADMIN_TOKEN" in said

    engine.environment["FINSTREAM_ADMIN_TOKEN"] = "open sesame"
    engine.start()
    engine.ready["admin"] = engine.ready["admin"].replace("0.0.0.0", "127.0.0.1")
    for headers in ({}, {"Authorization": "Bearer open"}):
        for method, path in (("POST", "/v1/reboot"), ("GET", "/openapi.json"), ("GET", "/nowhere")):
            answer = engine.admin(method, path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.json()["type"] == "urn:finstream:problem:unauthorized"
    right = {"Authorization": "Bearer open sesame"}
    assert engine.admin("PUT", "/v1/logs/level", json={"level": "info"}, headers=right).status_code == 200
    assert engine.public("GET", "/v1/assets").status_code == 200


def test_nobody_needs_to_read_its_log(engine: Any, tools: Any) -> None:
    engine.config["assets"]["garbage"] = engine.asset("garbage", start="always")
    engine.config["logs"] = {"level": "debug"}
    with full_pipe() as stderr:
        engine.launch(stderr=stderr)
        engine.await_ready()
        began = time.monotonic()
        for _ in range(20):
            engine.register()
        with engine.connect(engine.register()) as client:
            client.send('{"op":"subscribe","topics":["tick"]}')
            tools.hear(client, "tick")
        assert time.monotonic() - began < 5
        assert engine.stop() == 0


@contextmanager
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe into which nothing fits any more."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        yield writing
    finally:
        os.close(reading)
        os.close(writing)

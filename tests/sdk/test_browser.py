"""The client for JavaScript in a real browser: the candle chart of its examples, whose connection lives in a worker.

Needs Debian's Chromium and Playwright: ``apt install chromium``, ``pip install playwright``.
"""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The origin at which sdk/js is served, as any web server would."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(ROOT / "sdk/js"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _free_addresses(count: int) -> list[str]:
    """Of those that the system gives to nobody by itself: while an engine is away its ports stay free."""
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports: set[int] = set()
    while len(ports) < count:
        port = random.randrange(max(1024, first_given - 20_000), first_given)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.add(port)
    return [f"127.0.0.1:{port}" for port in ports]


class Engine:
    def __init__(self, directory: Path, origin: str) -> None:
        self._path = directory / "config.yaml"
        self._directory = directory
        simulator = ["python", "-m", "finstream_ingestors.sim"]
        command = [*simulator, "--symbols", "BTC/USDT,ETH/USDT", "--rate", "400", "--trade-share", "1"]
        self._config: dict[str, Any] = {
            "mode": "simulation",
            "listen": dict(zip(("public", "stream", "admin"), _free_addresses(3), strict=True)) | {"origins": [origin]},
            "state": {"path": str(directory / "state.db")},
            "dead_letters": {"path": str(directory / "dead.jsonl")},
            "assets": {"sim": {"command": command, "origin": "synthetic"}},
        }

    def start(self) -> dict[str, str]:
        self._path.write_text(json.dumps(self._config))
        command = [sys.executable, "-m", "finstream.cli", "run", "--config", str(self._path)]
        with (self._directory / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        ready: dict[str, str] = json.loads(self.process.stdout.readline())
        return ready

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def engine(tmp_path: Path, site: str) -> Iterator[Engine]:
    engine = Engine(tmp_path, site)
    yield engine
    engine.stop()


@pytest.fixture
def open_chart(browser: Any, site: str, engine: Engine) -> Iterator[Callable[[], Any]]:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def open_it() -> Any:
        ready = engine.start()
        page.goto(f"{site}/examples/candles.html?topic=sim:BTC/USDT&seconds=1&public={ready['public']}&stream={ready['stream']}")
        page.wait_for_function("/^[0-9.]+$/.test(document.getElementById('price').textContent)")
        return page

    yield open_it
    with suppress(Exception):  # Playwright's own, when the page has gone already
        page.close()
    assert complaints == []


def test_candles_are_drawn_and_move(open_chart: Callable[[], Any]) -> None:
    page = open_chart()
    assert page.text_content("#status") == "live"
    first = page.text_content("#price")
    page.wait_for_function("before => document.getElementById('price').textContent !== before", arg=first)
    # Coloured pixels: candles, not only words.
    page.wait_for_function("""() => {
      const canvas = document.getElementById("chart");
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let coloured = 0;
      for (let i = 0; i < pixels.length; i += 4) coloured += Math.abs(pixels[i] - pixels[i + 1]) > 40;
      return coloured > 100;
    }""")


def test_it_says_when_it_is_stale_and_recovers(open_chart: Callable[[], Any], engine: Engine) -> None:
    page = open_chart()
    engine.process.kill()
    engine.process.wait()
    page.wait_for_function("document.getElementById('status').textContent.startsWith('stale')")
    engine.stop()
    engine.start()
    page.wait_for_function("document.getElementById('status').textContent === 'live'", timeout=60_000)
    before = page.text_content("#price")
    page.wait_for_function("before => document.getElementById('price').textContent !== before", arg=before)


def test_a_busy_page_asks_for_less(open_chart: Callable[[], Any]) -> None:
    page = open_chart()
    page.evaluate("() => { const end = performance.now() + 3000; while (performance.now() < end); }")
    page.wait_for_function("document.getElementById('status').textContent.includes('as this page is busy')")
    page.wait_for_function("document.getElementById('status').textContent === 'live'", timeout=30_000)


def test_without_a_worker_too(open_chart: Callable[[], Any], site: str) -> None:
    page = open_chart()
    address = dict(pair.split("=") for pair in page.url.partition("?")[2].split("&"))
    ticks = page.evaluate(
        """async ([url, stream]) => {
          const { connect } = await import("/src/index.js");
          const ticks = [];
          for await (const tick of connect(url, { stream }).stream("sim:ETH/USDT")) if (ticks.push(tick) === 5) return ticks;
        }""",
        [address["public"], address["stream"]],
    )
    assert [tick["symbol"] for tick in ticks] == ["ETH/USDT"] * 5

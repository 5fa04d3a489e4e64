"""What a connector adds: from the return of the read of its socket to the return of the write of its lines, in the program as it
runs, fed with recorded messages by a local server at a steady rate."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired

from bench.histogram import Histogram, bucket_of
from bench.processes import TrialFailed
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario, percentiles_of
from bench.scenarios.connectors import trade_messages
from bench.systems.base import System
from bench.systems.connector_base import ConnectorSystem
from bench.workbench import Workbench

_PROBE = Path(__file__).parents[1] / "peers" / "connector_probe.py"
_WITHIN_S = 20.0


class _Venue:
    """Sends the messages at a rate to the client that comes, once it has said what it wants."""

    def __init__(self, messages: list[bytes], rate: float, seconds: float) -> None:
        from websockets.sync.server import ServerConnection, serve

        self.done = threading.Event()
        count = min(len(messages), round(rate * seconds))

        def play(connection: ServerConnection) -> None:
            with suppress(Exception):  # the client may leave at any moment; the probe's count tells
                connection.recv()
                began_s = time.monotonic()
                for number, message in enumerate(messages[:count]):
                    pause_s = began_s + number / rate - time.monotonic()
                    if pause_s > 0:
                        time.sleep(pause_s)
                    connection.send(message, text=True)
                self.done.set()
                for _ in connection:
                    pass

        self.sent = count
        self._server = serve(play, "127.0.0.1", 0, compression=None)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    assert isinstance(system, ConnectorSystem)
    messages = trade_messages("binance")
    with bench.quiet() as foreign:
        venue = _Venue(messages, point.parameter, bench.seconds(5.0))
        try:
            command = [sys.executable, str(_PROBE), "--symbols", "BTC/USDT", "--url", venue.url]
            with Popen(command, stdout=PIPE, stderr=PIPE) as process:
                reader = threading.Thread(target=_drain, args=(process,))
                reader.start()
                if not venue.done.wait(_WITHIN_S + bench.seconds(5.0)):
                    process.kill()
                    raise TrialFailed("the connector did not take all messages")
                time.sleep(0.2)
                process.terminate()
                try:
                    process.wait(_WITHIN_S)
                except TimeoutExpired as error:
                    process.kill()
                    raise TrialFailed("the connector did not leave") from error
                reader.join()
                assert process.stderr is not None
                words = process.stderr.read()
        finally:
            venue.close()
    try:
        report = json.loads(words.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise TrialFailed(f"the connector said {words[-300:]!r}") from error
    histogram = _histogram(report["latencies_ns"])
    values = {**percentiles_of(histogram), "trades": float(report["trades"]), "writes": float(histogram.count)}
    return Outcome(
        values=values, histograms={"write": histogram}, complete=report["trades"] == venue.sent, foreign_cores=foreign()
    )


def _drain(process: Popen[bytes]) -> None:
    assert process.stdout is not None
    while os.read(process.stdout.fileno(), 65_536):
        pass


def _histogram(latencies_ns: list[int]) -> Histogram:
    counts: dict[int, int] = {}
    for value in latencies_ns:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    return Histogram(
        count=len(latencies_ns), min_ns=min(latencies_ns, default=0), max_ns=max(latencies_ns, default=0),
        buckets=sorted(counts.items()),
    )  # fmt: skip


SCENARIOS = (
    Scenario(
        name="connector-latency",
        order=210,
        title="From the socket's read to the line's write, in the running connector",
        kind="connectors",
        points=(
            Point("100", "100 messages/s", 100),
            Point("1000", "1,000 messages/s", 1000),
        ),
        columns=(
            Column("p50_us", "p50 µs", 1, "lower"),
            Column("p99_us", "p99 µs", 1, "lower"),
            Column("p999_us", "p99.9 µs", 1),
            Column("trades", "trades", 0),
            Column("writes", "writes", 0),
        ),
        headline="p50_us",
        measure=_measure,
        plots={},
        unavailable=lambda system: None if system.name == "ingestors" else "is no program with a socket",
    ),
)

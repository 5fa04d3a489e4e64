"""Over TLS: what blocks reads and writes in several threads, as it does without."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import pytest

import finstream_client
from finstream_client import Disconnected, Subscribed, Welcome

from .engine import SCENARIOS, Engine


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """How to connect to an engine with TLS, whose asset ``flood`` ticks fast."""
    directory = tmp_path_factory.mktemp("engine")
    key, certificate = directory / "key.pem", directory / "cert.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=engine", "-addext", "subjectAltName=IP:127.0.0.1",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    flood = {"command": ["python", str(SCENARIOS / "ticker.py"), "--symbols", "4", "--rate", "20000"], "origin": "synthetic"}
    engine = Engine(directory, {"assets": {"flood": flood}, "tls": {"cert_file": str(certificate), "key_file": str(key)}})
    try:
        engine.start()
        yield {
            "url": engine.public_url.replace("http:", "https:"),
            "stream_url": engine.stream_url.replace("ws:", "wss:"),
            "ssl_context": ssl.create_default_context(cafile=certificate),
        }
    finally:
        engine.end()


def test_other_threads_subscribe_while_one_reads(options: dict[str, Any]) -> None:
    client = finstream_client.connect(**options, on_event=lambda item: told.append(item))
    told: list[finstream_client.Message | finstream_client.Notice] = []
    comes, is_over = threading.Event(), threading.Event()

    def subscribe() -> None:
        while not is_over.is_set():
            comes.wait(1)  # so that it wakes up while the other one reads
            comes.clear()
            client.subscribe("flood:S1")
            client.unsubscribe("flood:S1")

    threads = [threading.Thread(target=subscribe) for _ in range(2)]
    with client, closing(client.raw("flood", policy="skip")) as raws:
        next(raws)
        for thread in threads:
            thread.start()
        for _ in islice(raws, 80_000):
            comes.set()
        is_over.set()
        for thread in threads:
            thread.join(10)
    assert [item for item in told if isinstance(item, Disconnected)] == []
    assert len([item for item in told if isinstance(item, Subscribed)]) > 100


def test_another_thread_closes_what_waits(options: dict[str, Any]) -> None:
    client = finstream_client.connect(**options)
    welcome = threading.Event()
    thread = threading.Thread(target=lambda: [welcome.set() for item in client.messages() if isinstance(item, Welcome)])
    thread.start()
    assert welcome.wait(10)
    client.close()
    thread.join(10)
    assert not thread.is_alive()

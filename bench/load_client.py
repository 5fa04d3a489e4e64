"""The controlling side of load/load_client.c: many WebSocket subscribers in one cheap process."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

import msgspec

from bench.histogram import Histogram
from bench.processes import Program, TrialFailed

__all__ = ["Endpoint", "LoadClient", "Receipt"]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where subscribers connect on 127.0.0.1, and how they read what comes."""

    port: int
    paths: tuple[str, ...] = ("/",)
    """One for all connections, or one for each."""
    hello: tuple[str, ...] = ()
    """Text messages that each connection sends after the handshake."""
    ready_text: str | None = None
    """A connection is ready once a message holds this; None: after the handshake."""
    index_member: str = "trade_id"
    """The member that carries the producer's running index."""
    stamp_member: str = "ts"
    """The member that carries the producer's stamp."""
    stamp_unit_ns: int = 1


class Receipt(msgspec.Struct, frozen=True):
    """What all connections received since :meth:`LoadClient.begin`."""

    connections: int
    ready: int
    """How many are still connected."""
    closed: int
    reason: str
    """Of the last one that was closed: why."""
    messages: int
    """Ticks."""
    others: int
    """Messages without an index: control messages."""
    bytes: int
    receives: int
    """System calls that received something."""
    pings: int
    illegal: int
    """Breaches of RFC 6455; each ends its connection."""
    least: int
    """Of all connections the smallest number of ticks."""
    most: int
    next: int
    """The smallest index that some connection still waits for."""
    missing: int
    """Indexes that were jumped over, over all connections."""
    repeated: int
    """Indexes that came again, or late."""
    first_receipt_ns: int
    last_receipt_ns: int
    elapsed_ns: int
    cpu_ns: int
    """The client's own CPU time."""
    write: Histogram
    """Latency from the producer's stamp, taken just before its write."""
    due: Histogram
    """Latency from the moment the schedule set for the tick."""

    def complete(self, last: int) -> bool:
        """Whether every connection received every tick up to ``last``, once and in order."""
        whole = self.ready == self.connections and self.next == last + 1 and self.least == self.most
        return whole and not (self.closed or self.missing or self.repeated or self.illegal)


class _Connected(msgspec.Struct):
    connected: int
    failed: int
    elapsed_ns: int
    reason: str


class LoadClient:
    """Runs load_client until closed. All its connections are made when the constructor returns.

    Raises:
      TrialFailed: not all connections could be made; here or in any method, that it died or gave no answer.
    """

    def __init__(
        self,
        tool: Path,
        endpoint: Endpoint,
        connections: int,
        *,
        directory: Path,
        cpu: int | None = None,
        timeout_s: float = 40.0,
    ) -> None:
        options = {
            "--port": endpoint.port,
            "--connections": connections,
            "--index-member": endpoint.index_member,
            "--stamp-member": endpoint.stamp_member,
            "--stamp-unit-ns": endpoint.stamp_unit_ns,
            "--timeout-s": timeout_s,
        }
        command = [str(tool), *(str(word) for option in options.items() for word in option)]
        if len(endpoint.paths) == 1:
            command += ["--path", endpoint.paths[0]]
        else:
            file = directory / "paths"
            file.write_text("".join(f"{path}\n" for path in endpoint.paths))
            command += ["--paths", str(file)]
        for text in endpoint.hello:
            command += ["--hello", text]
        if endpoint.ready_text is not None:
            command += ["--ready-text", endpoint.ready_text]
        if cpu is not None:
            command += ["--cpu", str(cpu)]
        self._program = Program(command, directory=directory, name="load-client", stdin=subprocess.PIPE)
        try:
            self.connected = msgspec.json.decode(self._program.lines.read(timeout_s + 5), type=_Connected)
            if self.connected.failed:
                raise TrialFailed(
                    f"{self.connected.failed} of {connections} connections could not be made: {self.connected.reason}"
                )
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._program.pid

    def begin(self, first: int, start_ns: int, rate: float, sample_every: int = 1) -> None:
        """Open a new account: ticks from the index ``first`` on, by a schedule of ``rate`` ticks/s from ``start_ns``
        on.

        Latency is taken of the ticks whose index ``sample_every`` divides, on all connections alike; counts are always
        of all.
        """
        self._program.write_line(f"begin {first} {start_ns} {rate!r} {sample_every}")
        self._program.lines.read(5.0)

    def finish(self, last: int, *, still_s: float = 0.5, limit_s: float = 5.0) -> Receipt:
        """Wait until every connection has the tick ``last``, or nothing has come for ``still_s``, or ``limit_s`` is
        over."""
        self._program.write_line(f"finish {last} {round(still_s * 1000)} {round(limit_s * 1000)}")
        return msgspec.json.decode(self._program.lines.read(limit_s + 10), type=Receipt)

    def report(self) -> Receipt:
        """What came so far."""
        self._program.write_line("report")
        return msgspec.json.decode(self._program.lines.read(10.0), type=Receipt)

    def close(self) -> None:
        self._program.stop(grace_s=2.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

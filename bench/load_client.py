"""The controlling side of load/load_client.c: many WebSocket subscribers in one cheap process."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal, Self

import msgspec

from bench.histogram import Histogram
from bench.processes import Program, TrialFailed

__all__ = ["Connected", "Endpoint", "LoadClient", "Receipt"]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where subscribers connect on 127.0.0.1, and how they read what comes."""

    port: int
    paths: tuple[str, ...] = ("/",)
    """One for all connections, or one for each."""
    hello: tuple[str, ...] = ()
    """Text messages that each connection sends after the handshake."""
    own_hellos: tuple[str, ...] = ()
    """One for each connection, sent after those of all."""
    ready_text: str | None = None
    """A connection is ready once a message holds this; None: after the handshake."""
    protocol: Literal["plain", "nats", "mqtt"] = "plain"
    """What is spoken inside WebSocket messages; brokers have their own way of becoming ready."""
    subprotocol: str | None = None
    """What the handshake asks for."""
    index_member: str = "trade_id"
    """The member that carries the producer's running index."""
    stamp_member: str = "ts"
    """The member that carries the producer's stamp."""
    stamp_unit_ns: int = 1
    tls: bool = False
    symbols: int = 0
    """Of so many symbols, which the producer takes in turn, each connection gets ``symbols_each`` (0: all)."""
    symbols_each: int = 0


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
    skimmed: int
    """Ticks that were taken by the quick way: index and member's name as expected, where they were in the one before."""
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
    next_most: int
    """The greatest such index."""
    strange: int
    """Indexes of symbols that the connection did not ask for."""
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
    marked: Histogram
    """Latency from the stamp of what was received while :meth:`LoadClient.mark` was on."""

    def complete(self, last: int, *, symbols: int = 0) -> bool:
        """Whether every connection received every tick up to ``last`` that it asked for, once and in order."""
        arrived = last < self.next <= self.next_most <= last + (symbols or 1)
        faults = self.closed or self.missing or self.repeated or self.strange or self.illegal
        return arrived and self.ready == self.connections and not faults


class Connected(msgspec.Struct, frozen=True):
    """How connecting went."""

    connected: int
    failed: int
    elapsed_ns: int
    reason: str
    ready_after: Histogram
    """When each connection was ready, from the first dial on."""
    answered_after: Histogram
    """When each connection was ready, from its own hello on."""


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
        at_once: int = 100,
        ready_at_tick: bool = False,
        name: str = "load-client",
    ) -> None:
        """``at_once``: how many connections may be on their way at the same time. ``ready_at_tick``: a connection is
        ready when it has received a tick. ``name``: of its files, if there are several clients."""
        options: dict[str, object] = {
            "--at-once": at_once,
            "--tls": int(endpoint.tls),
            "--protocol": endpoint.protocol,
            "--symbols": endpoint.symbols,
            "--symbols-each": endpoint.symbols_each,
            "--ready-at-tick": int(ready_at_tick),
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
            command += ["--paths", _file_of(endpoint.paths, directory / f"{name}-paths")]
        if endpoint.own_hellos:
            command += ["--own-hellos", _file_of(endpoint.own_hellos, directory / f"{name}-hellos")]
        if endpoint.subprotocol is not None:
            command += ["--subprotocol", endpoint.subprotocol]
        for text in endpoint.hello:
            command += ["--hello", text]
        if endpoint.ready_text is not None:
            command += ["--ready-text", endpoint.ready_text]
        if cpu is not None:
            command += ["--cpu", str(cpu)]
        self._timeout_s = timeout_s
        self._connections = connections
        self._program = Program(command, directory=directory, name=name, stdin=subprocess.PIPE)
        try:
            self.connected = self._connected()
        except BaseException:
            self.close()
            raise

    def _connected(self) -> Connected:
        connected = msgspec.json.decode(self._program.lines.read(self._timeout_s + 5), type=Connected)
        if connected.failed:
            raise TrialFailed(f"{connected.failed} of {self._connections} connections could not be made: {connected.reason}")
        return connected

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

    def mark(self, on: bool) -> None:
        """From now on keep latencies as :attr:`Receipt.marked` too, or no longer."""
        self._program.write_line(f"mark {int(on)}")
        self._program.lines.read(5.0)

    def stall(self) -> None:
        """Read nothing more."""
        self._program.write_line("stall")
        self._program.lines.read(5.0)

    def redial(self) -> Connected:
        """Cut all connections and make them again, without saying hello: the server is to remember them."""
        self._program.write_line("redial")
        return self._connected()

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


def _file_of(lines: tuple[str, ...], file: Path) -> str:
    file.write_text("".join(f"{line}\n" for line in lines))
    return str(file)

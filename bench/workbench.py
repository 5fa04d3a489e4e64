"""One system under test with its producer and its subscribers, and trials on it: the measuring itself.

A trial goes: the client opens a new account with the schedule → the producer keeps to that schedule → the client waits
until all is there. In between the driver sleeps. All CPU accounts are read before and after.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.load_client import Endpoint, LoadClient, Receipt
from bench.processes import anonymous_kib, cpu_ns, machine_busy_s, memory_kib, process_tree, settled
from bench.producer import Producer, Production
from bench.systems.base import RunningSystem, StreamingSystem, SymbolSystem
from bench.toolchain import Tools

__all__ = ["Session", "Trial", "Workbench", "usual_load_cpu"]

_LEAD_NS = 50_000_000
"""From the order to the first tick: enough for both sides to be told."""


class Trial(msgspec.Struct, frozen=True):
    """One run of the producer, as everybody saw it."""

    rate: float
    """Ticks per second asked for; 0: as fast as they are read."""
    seconds: float
    subscribers: int
    production: Production
    receipt: Receipt
    system_cpu_s: float
    """Of all processes of the system under test, without the producer."""
    producer_cpu_s: float
    foreign_cores: float
    """How many cores other programs on this machine used meanwhile; good to about 0.05, by the kernel's clock ticks."""
    wall_s: float
    memory_kib: int
    """Proportional set size of the system's processes at the end."""
    symbols: int = 0
    """Of how many symbols the ticks were, when subscribers asked for some only."""

    @property
    def complete(self) -> bool:
        """Every tick that was sent reached every subscriber that asked for it, once and in order."""
        return self.receipt.complete(self.production.last, symbols=self.symbols)

    @property
    def loss(self) -> str | None:
        """In what way it was not complete."""
        if self.complete:
            return None
        receipt, sent = self.receipt, self.production.sent
        told = f"{receipt.messages} delivered" if self.symbols else f"{receipt.messages} of {sent * self.subscribers} delivered"
        told += f", {receipt.strange} not asked for" if receipt.strange else ""
        told += f", {receipt.missing} jumped over" if receipt.missing else ""
        told += f", {receipt.repeated} repeated" if receipt.repeated else ""
        return told + (f", {receipt.closed} closed ({receipt.reason})" if receipt.closed else "")

    @property
    def cpu_us_per_delivery(self) -> float:
        return self.system_cpu_s * 1e6 / self.receipt.messages if self.receipt.messages else float("nan")

    @property
    def deliveries_per_s(self) -> float:
        return self.receipt.messages / self._span_s

    @property
    def load_cores(self) -> float:
        """How much of a core client and producer took while ticks flowed; near 1, they may be the limit."""
        return (self.receipt.cpu_ns / 1e9 + self.producer_cpu_s) / self._span_s

    @property
    def client_cores(self) -> float:
        """The client's own share of ``load_cores``."""
        return self.receipt.cpu_ns / 1e9 / self._span_s

    @property
    def system_cores(self) -> float:
        return self.system_cpu_s / self.wall_s

    @property
    def _span_s(self) -> float:
        """While ticks flowed: the time asked for, or longer where the last one came later."""
        return max(self.seconds, (self.receipt.last_receipt_ns - self.receipt.first_receipt_ns) / 1e9)


class Session:
    """A running system with connected subscribers; made by :meth:`Workbench.session`."""

    def __init__(
        self,
        system: RunningSystem,
        producer: Producer,
        connect: Callable[..., LoadClient],
        subscribers: int,
        symbols: int,
        *,
        weighed: bool = False,
    ) -> None:
        self.system = system
        self._producer = producer
        self._connect = connect
        self._symbols = symbols
        self.subscribers = subscribers
        self.bare_kib = settled(self.anonymous_kib) if weighed else 0
        """:meth:`anonymous_kib` at rest before the first subscriber came; 0: nobody asked."""
        self.client = connect(subscribers)
        self._others = 0
        self.helpers: list[int] = []
        """Further processes of the measurement: what they use is no disturbance."""

    def anonymous_kib(self) -> int:
        """The memory of the system's processes now that is in no file."""
        return anonymous_kib(self._pids())

    @contextlib.contextmanager
    def others(self, subscribers: int, *, changed: Callable[[Endpoint], Endpoint] | None = None) -> Iterator[LoadClient]:
        """More subscribers beside those that are measured, in a process of their own. ``changed``: what they do otherwise. Raises
        TrialFailed."""
        self._others += 1
        with self._connect(subscribers, name=f"others-{self._others}", changed=changed) as client:
            self.helpers.append(client.pid)
            yield client

    def trial(self, rate: float, seconds: float, *, sample_every: int = 1, meanwhile: Callable[[], None] | None = None) -> Trial:
        """Raises TrialFailed when a process died or gave no answer; a loss is no error here but told in the result.

        ``meanwhile`` is called while the producer works, which ends when it returns: ``seconds`` are the most then.
        """
        pids = self._pids()
        busy, wall = machine_busy_s(), time.monotonic()
        own, system, producer = time.process_time(), cpu_ns(pids), cpu_ns([self._producer.pid])
        helpers = cpu_ns(self.helpers)
        start_ns = time.time_ns() + _LEAD_NS
        self.client.begin(self._producer.next_index, start_ns, rate, sample_every)
        self._producer.start(rate, seconds, start_ns)
        if meanwhile is not None:
            meanwhile()
            self._producer.stop()
        production = self._producer.finish(seconds)
        receipt = self.client.finish(production.last)
        system_s = (cpu_ns(pids) - system) / 1e9
        producer_s = (cpu_ns([self._producer.pid]) - producer) / 1e9
        wall_s = time.monotonic() - wall
        ours = system_s + producer_s + receipt.cpu_ns / 1e9 + time.process_time() - own
        ours += max(0, cpu_ns(self.helpers) - helpers) / 1e9
        return Trial(
            rate=rate,
            seconds=seconds,
            subscribers=self.subscribers,
            production=production,
            receipt=receipt,
            system_cpu_s=system_s,
            producer_cpu_s=producer_s,
            foreign_cores=max(0.0, machine_busy_s() - busy - ours) / wall_s,
            wall_s=wall_s,
            memory_kib=memory_kib(pids),
            symbols=self._symbols,
        )

    def _pids(self) -> list[int]:
        return [pid for pid in process_tree(self.system.pids) if pid != self._producer.pid]


class Workbench:
    """Where systems run: one folder (of a short path, for it will hold unix sockets), the tools, and which CPU the
    load goes to."""

    def __init__(self, tools: Tools, directory: Path, *, load_cpu: int | None, seconds: float | None = None) -> None:
        self._tools = tools
        self._directory = directory
        self.load_cpu = load_cpu
        """Client and producer share this one CPU; the system under test may use all. None: nobody is bound to any."""
        self._seconds = seconds
        self.hints: dict[tuple[str, str], float] = {}
        """By system and point: a rate that was sustained earlier in this run, where the next search begins."""
        self.brief = False
        """Whether less time was given than the scenario wanted since this was last set to False."""

    def seconds(self, usual: float) -> float:
        """How long to measure: what the command line says, else what the scenario thinks best."""
        if self._seconds is None:
            return usual
        self.brief |= self._seconds < usual
        return self._seconds

    @contextlib.contextmanager
    def quiet(self) -> Iterator[Callable[[], float]]:
        """For work done in the driver's own process and children that it waits for; yields what tells how many cores
        others have used since."""
        busy, own, wall = machine_busy_s(), _own_s(), time.monotonic()
        yield lambda: max(0.0, machine_busy_s() - busy - (_own_s() - own)) / (time.monotonic() - wall)

    @contextlib.contextmanager
    def session(
        self, system: StreamingSystem, subscribers: int, *, symbols: int = 0, symbols_each: int = 0, weighed: bool = False
    ) -> Iterator[Session]:
        """Start the system, have it fed by a producer and connect the subscribers; end all of it afterwards.

        ``symbols``: so many, of which each subscriber takes ``symbols_each`` (a :class:`SymbolSystem` only). ``weighed``: before
        anybody connects, its memory comes to rest and is taken.

        Raises:
          TrialFailed: one of them did not come up.
        """
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=self._directory)))
            control = directory / "producer"
            command = [str(self._tools.producer), "--control", str(control)]
            if self.load_cpu is not None:
                command += ["--cpu", str(self.load_cpu)]
            if symbols:
                command += ["--symbols", str(symbols)]
            running = stack.enter_context(system.running(directory, command))
            producer = stack.enter_context(Producer(control))

            def connect(count: int, *, changed: Callable[[Endpoint], Endpoint] | None = None, **options: Any) -> LoadClient:
                endpoint = running.endpoint(count)
                if changed is not None:
                    endpoint = changed(endpoint)
                if symbols:
                    assert isinstance(system, SymbolSystem)
                    endpoint = system.selective(endpoint, count, symbols, symbols_each)
                return LoadClient(self._tools.load_client, endpoint, count, directory=directory, cpu=self.load_cpu, **options)

            session = Session(running, producer, connect, subscribers, symbols, weighed=weighed)
            stack.enter_context(session.client)
            yield session

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder for a measurement that starts its own processes."""
        with tempfile.TemporaryDirectory(prefix="run-", dir=self._directory) as directory:
            yield Path(directory)

    def connect(self, endpoint: Endpoint, connections: int, directory: Path, **options: Any) -> LoadClient:
        """The load client alone, for such a measurement."""
        return LoadClient(self._tools.load_client, endpoint, connections, directory=directory, cpu=self.load_cpu, **options)


def usual_load_cpu() -> int | None:
    """The last CPU that we may use; None where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1] if len(allowed) > 1 else None


def _own_s() -> float:
    """CPU time of this process and of the children that have ended."""
    return sum(os.times()[:4])

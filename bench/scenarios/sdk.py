"""The Python SDK in one process: can it follow a stream, and what does a message cost it?"""

from __future__ import annotations

import contextlib
import importlib.util
import time

import msgspec

from bench.processes import Program, TrialFailed
from bench.results import Column, Outcome
from bench.scenarios.base import Point, Scenario, outcome_of
from bench.systems.base import SdkSystem, System
from bench.workbench import Workbench

_WARM_UP_S = 0.5
_READY_S = 15.0
_PATIENCE_S = 10.0
_RAW_RATE, _TYPED_RATE = 250_000, 100_000
_POINTS = tuple(
    Point(f"{face}-{mode}", f"{face}, {what}, {rate:,} ticks/s", rate)
    for mode, what, rate in (("raw", "JSON as it came", _RAW_RATE), ("typed", "messages with Decimals", _TYPED_RATE))
    for face in ("sync", "asyncio", "trio")
)


class _Report(msgspec.Struct):
    messages: int
    lost: int
    endings: int
    is_subscribed: bool
    cpu_ns: int
    now_ns: int


def _measure(bench: Workbench, system: System, point: Point) -> Outcome:
    assert isinstance(system, SdkSystem)
    seconds = bench.seconds(4.0)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(bench.folder())
        session = stack.enter_context(bench.session(system, 1))
        client = system.sdk_client(session.system, directory, point.name.split("-"))
        stack.callback(client.stop, grace_s=1.0)
        session.helpers.append(client.pid)
        _until_subscribed(client)
        warm = session.trial(1000.0, min(_WARM_UP_S, seconds))
        before = _until_received(client, warm.production.sent)
        trial = session.trial(point.parameter, seconds)
        after = _until_received(client, before.messages + trial.production.sent)
    received = after.messages - before.messages
    cpu_us = (after.cpu_ns - before.cpu_ns) / 1e3 / max(1, received)
    outcome = outcome_of(
        trial,
        {
            "received_per_s": received / max(seconds, (after.now_ns - before.now_ns) / 1e9),
            "cpu_us": cpu_us,
            "core_per_s": 1e6 / cpu_us,
            "lost": float(after.lost - before.lost),
            "sdk_cores": cpu_us * received / 1e6 / seconds,
        },
    )
    if received != trial.production.sent or after.lost or after.endings:
        told = f"the SDK received {received} of {trial.production.sent}, {after.lost} lost, was let go {after.endings} times"
        return msgspec.structs.replace(outcome, complete=False, problem=told)
    return outcome


def _until_subscribed(client: Program) -> None:
    deadline = time.monotonic() + _READY_S
    while not _report(client).is_subscribed:
        if time.monotonic() > deadline:
            raise TrialFailed("the SDK's client did not subscribe in time")


def _until_received(client: Program, messages: int) -> _Report:
    """Its report when it has so many messages, or when no more come."""
    last = _report(client)
    grew = time.monotonic()
    while last.messages < messages and time.monotonic() - grew < _PATIENCE_S:
        report = _report(client)
        if report.messages > last.messages:
            grew = time.monotonic()
        last = report
    return last


def _report(client: Program) -> _Report:
    try:
        return msgspec.json.decode(client.lines.read(5.0), type=_Report)
    except TrialFailed as error:
        raise TrialFailed(f"{error}: {client.last_words()}") from None


def _unavailable(_system: System) -> str | None:
    if importlib.util.find_spec("finstream_client") is None:
        return "finstream-client is not installed: pip install -e sdk/python[trio]"
    return None


SCENARIOS = (
    Scenario(
        name="sdk",
        order=220,
        title="The Python SDK beside the load client, one process",
        kind="sdk",
        points=_POINTS,
        columns=(
            Column("received_per_s", "received/s", 0, "higher"),
            Column("cpu_us", "CPU µs/message", 2, "lower"),
            Column("core_per_s", "a core's worth/s", 0, "higher"),
            Column("sdk_cores", "cores", 2),
            Column("lost", "lost", 0),
        ),
        headline="core_per_s",
        measure=_measure,
        plots={},
        unavailable=_unavailable,
    ),
)

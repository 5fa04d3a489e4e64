"""The service's clock: when it looks, and who is told. What it sees is made up here; the engine's tests see the real thing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import structlog
import trio
import trio.testing

from finstream.services.bus import Bus
from finstream.services.telemetry import Telemetry
from finstream.services.telemetry_look import LookFailedError
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import TelemetryTick
from finstream.vocabulary.settings import TelemetrySettings


class _View(msgspec.Struct):
    at: int


class _Look:
    """Sees only the time. ``takes_s`` is how long a look takes, ``fails`` whether it fails."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.takes_s = 0.0
        self.under_way = 0
        self.fails = False

    async def now(self) -> Any:
        self.under_way += 1
        assert self.under_way == 1, "one look at a time"
        self.times.append(round(trio.current_time() - START, 3))
        await trio.sleep(self.takes_s)
        self.under_way -= 1
        if self.fails:
            raise LookFailedError("can't start new thread")
        return _View(len(self.times))


START = 0.0


class _Rig:
    def __init__(self, period_s: float = 10.0, summary_s: float = 86400) -> None:
        global START
        START = trio.current_time()
        self.look = _Look()
        self.bus = Bus()
        self.service = Telemetry(
            TelemetrySettings(period_s=period_s, summary_s=summary_s), self.look, bus=self.bus, logger=structlog.get_logger()  # type: ignore[arg-type]
        )


async def test_it_looks_once_a_period_and_tells(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    rig = _Rig()
    with rig.bus.subscribe("test") as events:
        await nursery.start(rig.service.run)
        await trio.sleep(35)
        assert rig.look.times == [0.0, 10.0, 20.0, 30.0]
        told = [await events.receive() for _ in range(4)]
        assert [event.at for event in told if isinstance(event, TelemetryTick)] == [1, 2, 3, 4]


async def test_it_looks_more_often_for_as_long_as_somebody_asks(autojump_clock: Any, nursery: trio.Nursery) -> None:
    rig = _Rig()
    await nursery.start(rig.service.run)
    await trio.sleep(2)
    with rig.service.every(3.0), rig.service.every(1.0):
        await trio.sleep(2.5)
    assert rig.look.times == [0.0, 2.0, 3.0, 4.0]
    with rig.service.every(60.0):
        await trio.sleep(20)
    assert rig.look.times[4:] == [14.0, 24.0]


async def test_many_who_ask_cost_no_more_than_one(autojump_clock: Any, nursery: trio.Nursery) -> None:
    rig = _Rig()
    rig.look.takes_s = 0.1

    async def ask() -> None:
        assert (await rig.service.latest()).at == 1

    async with trio.open_nursery() as asking:
        for _ in range(20):
            asking.start_soon(ask)
    await trio.sleep(0.9)
    await ask()
    await trio.sleep(0.11)
    assert (await rig.service.latest()).at == 2


@pytest.mark.parametrize("pause_s", [0.3, 1.0, 1.3, 7.0])
async def test_who_asks_puts_off_nobody_who_is_told(pause_s: float, autojump_clock: Any, nursery: trio.Nursery) -> None:
    rig = _Rig(period_s=10.0)

    async def ask() -> None:
        while True:
            await rig.service.latest()
            await trio.sleep(pause_s)

    told: list[float] = []
    with rig.bus.subscribe("test") as events:
        nursery.start_soon(ask)
        await nursery.start(rig.service.run)
        with trio.move_on_after(60.5):
            async for event in events:
                assert isinstance(event, TelemetryTick)
                told.append(round(trio.current_time() - START, 3))
                assert event.at >= len(rig.look.times), "it is the newest look"
                assert told[-1] - rig.look.times[-1] <= 0.5
    assert told == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


async def test_a_look_that_fails_is_logged_once_in_a_while_and_tried_again(
    autojump_clock: Any, nursery: trio.Nursery, logged: list[dict[str, Any]]
) -> None:
    rig = _Rig(period_s=1.0)
    with rig.bus.subscribe("test") as events:
        await nursery.start(rig.service.run)
        await events.receive()
        rig.look.fails = True
        await trio.sleep(90.5)
        assert len(rig.look.times) == 91
        complaints = [line for line in logged if line["log_level"] == "warning"]
        assert [line["error"] for line in complaints] == ["can't start new thread"] * 2
        with pytest.raises(RequestError, match="can't start new thread") as refused:
            await rig.service.latest()
        assert refused.value.problem == "not-ready"
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()
        rig.look.fails = False
        await trio.sleep(1)
        assert isinstance(events.receive_nowait(), TelemetryTick)


async def test_another_period_holds_at_once(autojump_clock: Any, nursery: trio.Nursery) -> None:
    rig = _Rig()
    await nursery.start(rig.service.run)
    await trio.sleep(5)
    rig.service.apply(TelemetrySettings(period_s=1.0, summary_s=86400))
    await trio.sleep(1.5)
    assert rig.look.times == [0.0, 5.0, 6.0]
    rig.service.apply(TelemetrySettings(period_s=30.0, summary_s=86400))
    await trio.sleep(31)
    assert rig.look.times == [0.0, 5.0, 6.0, 36.0]


@pytest.fixture(autouse=True)
def logged() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines

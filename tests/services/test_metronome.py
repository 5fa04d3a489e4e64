"""The metronome against a local server that speaks Nasdaq's market-info API, over real sockets."""

from __future__ import annotations

import datetime
import email.utils
import gzip
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio

from finstream.services import market_client, metronome
from finstream.services.market_client import NASDAQ, open_client
from finstream.services.market_reply import MarketSilent
from finstream.services.metronome import Metronome
from finstream.services.new_york import instant_us
from finstream.services.trading_days import Exceptions
from finstream.vocabulary.errors import RequestError
from finstream.vocabulary.events import MarketStatus
from finstream.vocabulary.settings import AssetSettings, MarketSettings, Settings

S = 1_000_000
HOLIDAYS = Exceptions([2025, 2026, 2027], {datetime.date(2026, 6, 19): "Juneteenth"})


class World:
    """A metronome, what it told, and a wall clock that goes as fast as the real one from a moment that a test chooses."""

    def __init__(self, wall: str, settings: Settings, logger: Any) -> None:
        self.told: list[MarketStatus] = []
        self.set(wall)
        self.metronome = Metronome(
            settings, told=self.told.append, logger=logger, look_up=self._look_up, wall_us=self.wall_us
        )

    def set(self, wall: str) -> None:
        self._wall_us, self._since = instant_us(datetime.datetime.fromisoformat(wall)), time.monotonic()

    def wall_us(self) -> int:
        return self._wall_us + round((time.monotonic() - self._since) * S)

    async def _look_up(self, _years: list[int]) -> Exceptions:
        return HOLIDAYS

    def statuses(self) -> list[tuple[str, str]]:
        return [(event.status, event.source) for event in self.told]


Start = Callable[..., Awaitable[World]]


@pytest.fixture
def start(nursery: trio.Nursery, logger: Any) -> Start:
    async def start_one(wall: str = "2026-06-01 10:00", mode: str = "simulation", **market: Any) -> World:
        settings = Settings(mode=mode, market=MarketSettings(**{"poll_open_s": 0.05} | market))  # type: ignore[arg-type]
        world = World(wall, settings, logger)
        await nursery.start(world.metronome.run)
        return world

    return start_one


async def test_the_market_is_asked_again_and_again_and_every_change_is_told_once(
    start: Start, market_info: Any, eventually: Any
) -> None:
    world = await start(url=market_info.url)
    await eventually(lambda: len(market_info.asked) >= 4)
    assert world.statuses() == [("open", "calendar"), ("open", "nasdaq")]
    market_info.status = "After-Hours"
    await eventually(lambda: len(world.told) == 3)
    assert (world.told[-1].status, world.told[-1].previous) == ("after-hours", "open")
    view = await world.metronome.view()
    assert (view.status, view.source, view.calendar, view.polled) == ("after-hours", "nasdaq", "open", True)
    assert view.age_ms is not None
    assert view.age_ms < 5000


async def test_closed_it_is_left_alone(start: Start, market_info: Any, eventually: Any) -> None:
    market_info.status = "Closed"
    world = await start("2026-06-06 12:00", url=market_info.url)
    await eventually(lambda: ("closed", "nasdaq") in world.statuses())
    await trio.sleep(0.3)  # six times poll_open_s
    assert len(market_info.asked) == 1


async def test_what_it_said_last_is_kept_until_a_change_was_due_then_the_calendar_holds(
    start: Start, market_info: Any, eventually: Any, log_entries: list[dict[str, Any]]
) -> None:
    world = await start("2026-06-01 15:59:00", url=market_info.url)
    await eventually(lambda: ("open", "nasdaq") in world.statuses())
    market_info.trouble = [(503, {}, b"")] * 10_000
    before = len(market_info.asked)
    await eventually(lambda: len(market_info.asked) > before + 2)
    view = await world.metronome.view()
    assert (view.status, view.source, view.error) == ("open", "nasdaq", "HTTP 503")
    world.set("2026-06-01 16:00:00")
    await eventually(lambda: world.statuses()[-1] == ("after-hours", "calendar"))
    market_info.trouble = []
    market_info.status = "After-Hours"
    await eventually(lambda: world.statuses()[-1] == ("after-hours", "nasdaq"))
    warnings = [entry["event"] for entry in log_entries if entry["log_level"] == "warning"]
    assert warnings == ["the market does not answer"], "once, not each time"


async def test_what_is_due_happens_at_its_second_although_nobody_answers(
    start: Start, market_info: Any, eventually: Any
) -> None:
    market_info.trouble = [None] * 100
    world = await start("2026-06-01 09:29:59.500000", url=market_info.url)
    await eventually(lambda: world.statuses() == [("pre-market", "calendar"), ("open", "calendar")])
    opened = world.told[-1].since_us - instant_us(datetime.datetime.fromisoformat("2026-06-01 09:30"))
    assert 0 <= opened < S


async def test_a_holiday_without_anybody_to_ask(start: Start) -> None:
    world = await start("2026-06-19 12:00")
    view = await world.metronome.view()
    assert (view.status, view.source, view.holiday, view.polled) == ("closed", "calendar", "Juneteenth", False)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ((403, {}, b"denied"), "HTTP 403"),
        ((301, {"Location": "http://127.0.0.1:9/"}, b""), "HTTP 301"),
        ((200, {}, b'{"data":null,"status":{"rCode":400}}'), "its own code 400"),
        ((200, {}, b"<html>"), "not a reply"),
        ((200, {}, b" " * 300_000), "more than 262144 bytes"),
        ((200, {"Content-Encoding": "gzip"}, b"no gzip"), "not a reply that can be decompressed"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 10_000_000)), "more than 262144 bytes"),
        (None, "no answer within 0.2 s"),
    ],
)
async def test_everything_that_is_no_answer_says_why(
    market_info: Any, trouble: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble is None:
        monkeypatch.setattr(market_client, "_TIMEOUT_S", 0.2)
    market_info.trouble = [trouble]
    async with open_client(market_info.url) as client:
        with pytest.raises(MarketSilent, match=rf"(?i){why}"):
            await client.ask()


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({}, 0),
        ({"Retry-After": "90"}, 90),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:49:59 GMT"}, 600),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0),
        ({"Retry-After": "Wed, 31 Dec 2098 23:59:59 -0000", "Date": "Wed, 31 Dec 2098 23:59:58 GMT"}, 1),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "Fri, 99 Dec 1999 23:59:59 GMT"}, 0),
    ],
)
async def test_it_may_say_for_how_long_it_wants_to_be_left_alone(
    market_info: Any, headers: dict[str, str], expected_s: float
) -> None:
    market_info.trouble = [(429, headers, b"")]
    async with open_client(market_info.url) as client:
        with pytest.raises(MarketSilent) as silence:
            await client.ask()
    assert silence.value.retry_after_s == expected_s


async def test_a_date_to_come_back_is_taken_by_our_clock_where_the_answer_has_none(market_info: Any) -> None:
    soon = email.utils.formatdate(time.time() + 100, usegmt=True)
    market_info.trouble = [(503, {"Retry-After": soon}, b"")]
    async with open_client(market_info.url) as client:
        with pytest.raises(MarketSilent) as silence:
            await client.ask()
    assert 90 < silence.value.retry_after_s <= 100


async def test_an_answer_may_be_compressed(market_info: Any) -> None:
    market_info.trouble = [(200, {"Content-Encoding": "gzip"}, gzip.compress(market_info.reply()))]
    async with open_client(market_info.url) as client:
        assert (await client.ask()).status == "open"


async def test_nobody_there_says_why() -> None:
    async with open_client("http://127.0.0.1:1/api/market-info") as client:
        with pytest.raises(MarketSilent, match=r"(?i)refused|connect"):
            await client.ask()


async def test_retry_after_is_heeded(market_info: Any) -> None:
    market_info.trouble = [(429, {"Retry-After": "120"}, b""), (429, {"Retry-After": "tomorrow"}, b"")]
    async with open_client(market_info.url) as client:
        for seconds in (120, 0):
            with pytest.raises(MarketSilent) as silent:
                await client.ask()
            assert silent.value.retry_after_s == seconds


async def test_an_address_with_tls_is_asked_with_a_certificate_that_is_trusted(certificate: Any) -> None:
    listeners = await trio.open_ssl_over_tcp_listeners(0, _server_context(certificate), host="127.0.0.1")
    port = listeners[0].transport_listener.socket.getsockname()[1]
    async with trio.open_nursery() as serving:
        serving.start_soon(trio.serve_listeners, _hang_up, listeners)
        async with open_client(f"https://127.0.0.1:{port}/api/market-info") as client:
            with pytest.raises(MarketSilent, match="certificate verify failed"):
                await client.ask()
        serving.cancel_scope.cancel()


def _server_context(certificate: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    return context


async def _hang_up(stream: Any) -> None:
    with trio.move_on_after(5), suppress(trio.BrokenResourceError):
        await stream.do_handshake()


async def test_a_simulation_overrides_polling_entirely_and_ends_with_a_question(
    start: Start, market_info: Any, eventually: Any
) -> None:
    world = await start(url=market_info.url)
    await eventually(lambda: world.statuses()[-1:] == [("open", "nasdaq")])
    world.metronome.simulate("closed")
    assert world.statuses()[-1] == ("closed", "simulation"), "at once"
    assert world.told[-1].simulated
    await trio.sleep(0.1)  # a question that was under way
    asked = len(market_info.asked)
    await trio.sleep(0.3)
    assert len(market_info.asked) == asked, "nobody is asked"
    world.metronome.simulate(None)
    await eventually(lambda: world.statuses()[-1] == ("open", "nasdaq"))
    await eventually(lambda: len(market_info.asked) > asked)


async def test_production_simulates_nothing(start: Start) -> None:
    world = await start(mode="production")
    with pytest.raises(RequestError, match="run with mode: simulation") as refused:
        world.metronome.simulate("open")
    assert refused.value.problem == "wrong-state"
    assert (await world.metronome.view()).simulated is False


async def test_a_simulation_of_the_configuration_holds_from_the_start(start: Start, market_info: Any) -> None:
    world = await start(url=market_info.url, simulate="after-hours")
    view = await world.metronome.view()
    assert (view.status, view.source, view.simulated) == ("after-hours", "simulation", True)
    assert (world.statuses(), market_info.asked) == ([("after-hours", "simulation")], [])


async def test_a_changed_configuration_takes_effect(start: Start, market_info: Any, eventually: Any) -> None:
    world = await start(url=None)
    assert (await world.metronome.view()).polled is False
    asks = MarketSettings(url=market_info.url, poll_open_s=0.05)
    world.metronome.apply(Settings(mode="simulation", market=asks))
    await eventually(lambda: world.statuses()[-1] == ("open", "nasdaq"))
    world.metronome.simulate("pre-market")
    world.metronome.apply(Settings(mode="simulation", market=asks))
    assert world.statuses()[-1] == ("pre-market", "simulation"), "an operator's stays: the configured one did not change"
    world.metronome.apply(Settings(mode="simulation", market=MarketSettings(simulate="closed")))
    assert world.statuses()[-1] == ("closed", "simulation")
    world.metronome.apply(Settings(mode="simulation"))
    assert world.statuses()[-1][0] == "open"
    assert (await world.metronome.view()).polled is False


@pytest.mark.parametrize(
    ("mode", "market", "asset", "asked"),
    [
        ("production", None, "nasdaq", NASDAQ),
        ("production", None, "always", None),
        ("production", "https://elsewhere.example.com/", "always", "https://elsewhere.example.com/"),
        ("simulation", None, "nasdaq", None),
        ("simulation", "http://127.0.0.1:9/", "always", "http://127.0.0.1:9/"),
    ],
)
def test_whom_it_asks(mode: Any, market: str | None, asset: Any, asked: str | None, logger: Any) -> None:
    settings = Settings(
        mode=mode, market=MarketSettings(url=market), assets={"a": AssetSettings(command=["x"], market=asset)}
    )
    assert Metronome(settings, told=lambda _event: None, logger=logger)._url == asked


async def test_without_a_calendar_it_goes_on_by_weekdays(
    nursery: trio.Nursery, logger: Any, log_entries: list[dict[str, Any]]
) -> None:
    async def broken(_years: list[int]) -> Exceptions:
        raise OSError("exit code 1: no module")

    it = Metronome(
        Settings(), told=lambda _event: None, logger=logger, look_up=broken,
        wall_us=lambda: instant_us(datetime.datetime.fromisoformat("2026-06-19 12:00")),
    )
    await nursery.start(it.run)
    assert (await it.view()).status == "open"
    assert [entry["error"] for entry in log_entries if entry["log_level"] == "error"] == ["exit code 1: no module"]


async def test_the_calendar_is_asked_for_again_until_it_is_there(
    nursery: trio.Nursery, logger: Any, eventually: Any, log_entries: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter(["no module", "no memory"])

    async def look_up(_years: list[int]) -> Exceptions:
        for failure in failures:
            raise OSError(failure)
        return HOLIDAYS

    monkeypatch.setattr(metronome, "_RETRY_S", 0.02)
    told: list[MarketStatus] = []
    it = Metronome(
        Settings(), told=told.append, logger=logger, look_up=look_up,
        wall_us=lambda: instant_us(datetime.datetime.fromisoformat("2026-06-19 12:00")),
    )
    await nursery.start(it.run)
    await eventually(lambda: [event.status for event in told] == ["open", "closed"])
    assert (await it.view()).holiday == "Juneteenth"
    assert [entry["error"] for entry in log_entries if entry["log_level"] == "error"] == ["no module"], "once"


async def test_the_days_of_later_years_are_learnt_in_time(
    nursery: trio.Nursery, logger: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    now = ["2026-12-31 23:59"]

    async def look_up(years: list[int]) -> Exceptions:
        asked.append(years[1])
        return Exceptions(years[:3])  # to the end of the next year

    monkeypatch.setattr(metronome, "_LOOK_S", 0.02)
    it = Metronome(
        Settings(), told=lambda _event: None, logger=logger, look_up=look_up,
        wall_us=lambda: instant_us(datetime.datetime.fromisoformat(now[0])),
    )
    await nursery.start(it.run)
    await eventually(lambda: asked == [2026])
    now[0] = "2027-01-01 00:00"
    await eventually(lambda: asked == [2026, 2027])


async def test_a_market_that_disagrees_with_the_calendar_for_long_is_told_of(
    start: Start, market_info: Any, eventually: Any, log_entries: list[dict[str, Any]]
) -> None:
    market_info.status = "Closed"
    await start(url=market_info.url)
    await eventually(lambda: len(market_info.asked) > 5)
    warnings = [entry["event"] for entry in log_entries if entry["log_level"] == "warning"]
    assert warnings == ["the market and the calendar disagree"]

"""The NOC in Chromium, over a real engine with real ingestors: what its operator sees and does.

Needs Debian's Chromium and Playwright: ``apt install chromium``, ``pip install playwright``; and the page: ``make page``.
With FINSTREAM_SCREENSHOTS=FOLDER pictures of all pages are left there.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PAGES = {
    "": "Overview", "assets": "Assets", "arena": "Arena", "clients": "Clients", "symbols": "Symbols", "logs": "Logs and events",
    "control": "Control",
}  # fmt: skip
Open = Callable[..., Any]


class Noc:
    """A tab with the page."""

    def __init__(self, page: Any, admin: str) -> None:
        self.page = page
        self.admin = admin

    def go(self, where: str) -> None:
        self.page.locator(f'nav a[href="#/{where}"]').click()
        self.page.get_by_role("heading", name=PAGES[where], level=1, exact=True).wait_for()

    def sees(self, text: str | re.Pattern[str], within: str = "body", timeout_s: float = 60) -> Any:
        found = self.page.get_by_text(text).first if within == "body" else self.page.locator(within, has_text=text).first
        found.wait_for(timeout=timeout_s * 1000)
        return found

    def row(self, asset: str) -> Any:
        return self.page.locator(f'tr[data-asset="{asset}"]')

    def shows(self, script: str, **arguments: Any) -> None:
        self.page.wait_for_function(script, timeout=60_000, **arguments)

    def state_becomes(self, asset: str, state: str) -> None:
        self.row(asset).locator(".state").get_by_text(re.compile(f"{state}$")).wait_for(timeout=60_000)

    def press(self, button: str, *, confirm: str | None = None) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()
        if confirm is not None:
            self.page.get_by_role("dialog").get_by_role("button", name=confirm, exact=True).click()


@contextmanager
def opening(browser: Any, engine: Any) -> Iterator[Open]:
    """Opens the page, and starts the engine if need be; what goes wrong in the page fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_it(where: str = "", **options: Any) -> Noc:
        if engine.process is None:
            engine.start()
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
        noc = Noc(page, engine.ready["admin"])
        page.goto(f"{noc.admin}/#/{where}")
        return noc

    yield open_it
    for context in contexts:
        with suppress(Exception):  # Playwright's own, when it has gone already
            context.close()
    assert complaints == []


@pytest.fixture
def open_page(browser: Any, shared: Any, built: Path) -> Iterator[Open]:
    with opening(browser, shared) as open_it:
        yield open_it


@pytest.fixture
def open_own(browser: Any, engine: Any, built: Path) -> Iterator[Open]:
    """On an engine of the test's own, which is started only then."""
    with opening(browser, engine) as open_it:
        yield open_it


def test_ticks_arrive(open_page: Open) -> None:
    noc = open_page()
    noc.sees("live", "#status")
    noc.shows("""() => {
      const chart = document.querySelector('[aria-label^="Throughput"]');
      return chart && Number(/lines in ([0-9.]+)/.exec(chart.ariaLabel)?.[1]) > 20;
    }""")
    assert noc.page.locator("canvas").count() > 0
    noc.go("assets")
    rate = noc.row("swift").locator(".rate")
    noc.shows("""() => Number(document.querySelector('tr[data-asset="swift"] .rate')?.textContent) > 10""")
    assert float(rate.text_content()) < 100
    noc.shows("""() => document.querySelector('tr[data-asset="slow"] svg path')?.getAttribute("d").length > 20""")
    noc.go("arena")
    assert noc.row("swift").locator("td").first.text_content() == "1"
    noc.sees(re.compile("late"), 'tr[data-asset="slow"]')


def test_the_ticks_of_a_symbol_from_several_sources(open_page: Open) -> None:
    noc = open_page("symbols")
    noc.page.get_by_role("button", name="BTC/USDT", exact=True).click()
    for source in ("swift", "slow"):
        price = f"tr[data-source={source}] .price"
        noc.shows("price => /^[0-9.]+$/.test(document.querySelector(price)?.textContent ?? '')", arg=price)
    before = noc.page.locator("tr[data-source=swift] .price").text_content()
    noc.shows("before => document.querySelector('tr[data-source=swift] .price').textContent !== before", arg=before)
    assert noc.page.locator("canvas").count() > 0
    told = noc.page.locator('[aria-label^="Price of"]').get_attribute("aria-label")
    assert set(re.findall(r"swift|slow", told)) == {"swift", "slow"}


def test_a_symbol_is_found_whichever_of_many_sources_tells_it(open_own: Open, engine: Any) -> None:
    engine.config["assets"] = {f"t{n:02}": engine.teller("BTC/USDT", *["ODD/USD"] * (n == 13)) for n in range(14)}
    noc = open_own("symbols")
    noc.page.get_by_role("button", name="ODD/USD", exact=True).click()
    noc.page.locator("tr[data-source=t13] .price", has_text="1.5").wait_for()
    assert noc.page.locator("tr[data-source]").count() == 1
    noc.page.get_by_label("Symbol").fill("BTC/USDT")
    noc.press("Show")
    noc.sees("14 sources tell it; 12 of them are shown")
    noc.shows("() => document.querySelectorAll('tr[data-source]').length === 12")
    legend = noc.page.locator(".legend li")
    drawn = legend.locator("svg").evaluate_all("all => all.map(each => each.innerHTML.replace(/<!--.*?-->/g, '').trim())")
    assert len(drawn) == len(set(drawn)) == 6, "told apart without their colours"
    left = legend.last.text_content()
    assert left.startswith("not drawn: ")
    assert len(left.split(", ")) == 6


def test_assets_on_demand_are_offered_and_a_closed_tab_leaves_none_of_its_clients(open_own: Open, engine: Any, tools: Any) -> None:
    engine.config["assets"] = {"sleeper": engine.teller("BTC/USDT", start="on_demand", linger_s=0)}
    noc = open_own("symbols")
    noc.sees("Assets on demand start with their first subscriber")
    noc.press("sleeper")
    noc.press("BTC/USDT")
    noc.page.locator("tr[data-source=sleeper] .price", has_text="1.5").wait_for()
    assert engine.asset("sleeper")["state"] == "running"

    def registered() -> int:
        number: int = engine.http.get(engine.ready["admin"] + "/v1/telemetry").json()["clients"]["registered"]
        return number

    tools.until(lambda: registered() > 0)
    noc.page.goto("about:blank")
    tools.until(lambda: registered() == 0, within_s=30)


def test_an_asset_is_paused_and_started(open_page: Open, shared: Any, tools: Any) -> None:
    noc = open_page("assets")
    noc.state_becomes("swift", "running")
    noc.row("swift").get_by_role("button").click()
    noc.press("Pause", confirm="Leave it")
    noc.press("Pause", confirm="Pause it")
    noc.sees("acknowledged: stopping")
    noc.state_becomes("swift", "paused")
    noc.shows("""() => document.querySelector('tr[data-asset="swift"] .rate').textContent === "0" """)
    assert shared.asset("swift")["state"] == "paused"
    ticks = shared.asset("swift")["statistics"]["ticks"]
    noc.press("Start")
    noc.state_becomes("swift", "running")
    tools.until(lambda: shared.asset("swift")["statistics"]["ticks"] > ticks)
    noc.go("logs")
    noc.sees(re.compile("command pause, by noc 127.0.0.1"))


def test_an_ingestor_that_is_killed_comes_back(open_page: Open, shared: Any, tools: Any) -> None:
    noc = open_page("assets")
    noc.row("swift").get_by_role("button").click()
    pid = tools.until(lambda: shared.asset("swift")["pid"])
    noc.state_becomes("swift", "running")
    os.kill(pid, signal.SIGKILL)
    noc.sees(re.compile(r"\d, last exit code -9"), "aside")
    noc.state_becomes("swift", "running")
    noc.go("")
    noc.sees(re.compile("running → backoff: Crashed"))
    noc.sees(re.compile("→ running"))


def test_a_client_is_disconnected_and_leaves_a_receipt(open_page: Open, shared: Any) -> None:
    noc = open_page("clients")
    noc.sees("Nobody is connected.")
    uuid = shared.http.post(shared.ready["public"] + "/v1/clients").json()["uuid"]
    with connect(f"{shared.ready['stream']}/v1/stream?client={uuid}", proxy=None, close_timeout=1) as client:
        client.send('{"op":"subscribe","topics":["swift"]}')
        noc.page.get_by_role("button", name=f"Disconnect {uuid}").click()
        noc.page.get_by_role("button", name="Disconnect it").click()
        with suppress(ConnectionClosed):
            for _ in client:  # who does not read does not see the end, and is waited for
                pass
        noc.sees("acknowledged")
        receipt = noc.page.locator("details", has_text="disconnected_by_operator")
        receipt.locator("summary").click()
        noc.sees(re.compile(r"were delivered; the last was swift \d+"), "details")


def test_a_bad_configuration_is_refused_with_its_reason(open_page: Open, shared: Any) -> None:
    noc = open_page("control")
    text = noc.page.get_by_label("Or try a text out")
    text.fill("asets: {}")
    noc.press("Plan this text")
    refusal = noc.page.get_by_role("alert")
    refusal.get_by_text("unknown key").wait_for()
    assert refusal.locator("code").text_content() == "asets"
    refusal.get_by_text("did you mean assets?").wait_for()
    text.fill("# " + "ä" * 600_000)
    noc.press("Plan this text")
    refusal.get_by_text("nothing was sent").wait_for()
    noc.sees("live", "#status")
    text.fill(shared.path.read_text())
    noc.press("Plan this text")
    noc.sees("swift, slow, bad", "#plan")
    good = shared.path.read_text()
    shared.path.write_text("mode: fun")
    noc.press("Reload", confirm="Reload it")
    noc.page.get_by_role("alert").filter(has_text="reload the configuration: refused").filter(has_text="mode").wait_for()
    shared.path.write_text(good)
    assert shared.asset("swift")["state"] == "running"


def test_the_market_and_the_log_level(open_page: Open) -> None:
    noc = open_page("control")
    noc.page.get_by_label("Simulate").select_option("after-hours")
    noc.press("Simulate", confirm="Make it so")
    noc.sees("after-hours", "section strong")
    noc.press("End the simulation", confirm="The truth again")
    noc.go("logs")
    level = noc.page.get_by_label("The engine logs from")
    lines = noc.page.locator(".lines li", has_text="command received")
    for name in itertools.islice(itertools.cycle(["debug", "info"]), 10):  # lines come once the page follows the log
        level.select_option(name)
        noc.sees(re.compile(f"→ {name}"))
        if lines.count():
            break
    level.select_option("error")
    noc.sees(re.compile("→ error"))
    noc.sees(re.compile("The engine logs nothing below error"))
    lines.first.wait_for()
    level.select_option("info")
    noc.sees(re.compile("→ info"))
    noc.page.get_by_label("Kind").select_option("LogLevelChanged")
    noc.shows("""() => {
      const shown = [...document.querySelectorAll("section[aria-labelledby=events] li")];
      return shown.length > 0 && shown.every(line => line.textContent.includes("LogLevelChanged"));
    }""")
    noc.page.get_by_label("Contains").last.fill("nothing that any line holds")
    noc.sees("Lines that fit are shown as they are written; none has come yet.")


def test_the_server_is_lost_and_comes_back(open_own: Open, engine: Any) -> None:
    noc = open_own("assets")
    noc.state_becomes("swift", "running")
    epoch = re.search(r"life (\S+)", noc.page.locator("footer").text_content()).group(1)
    engine.end(signal.SIGKILL)
    noc.sees(re.compile("stale for"), "#status")
    announced = noc.page.locator("#status").aria_snapshot()
    assert "stale" in announced
    assert "stale for" not in announced, "it would be read out each second"
    noc.sees("What you see is stale.")
    assert noc.row("swift").is_visible(), "what was known stays in sight"
    noc.row("swift").get_by_role("button").click()
    assert noc.page.get_by_role("button", name="Pause").is_disabled()
    for where in ("control", "arena", "assets"):  # also those that nobody has been to yet
        noc.go(where)
    engine.start()
    noc.sees("live", "#status")
    noc.shows("before => !document.querySelector('footer').textContent.includes(before)", arg=epoch)
    noc.shows("""() => Number(document.querySelector('tr[data-asset="swift"] .rate')?.textContent) > 10""")
    assert noc.page.get_by_text("What you see is stale.").count() == 0


def test_an_engine_that_reboots_is_said_to(open_page: Open) -> None:
    noc = open_page("control")
    noc.press("Reboot the engine", confirm="Reboot it")
    noc.sees("acknowledged")
    noc.sees("The engine is restarting.")
    noc.sees("live", "#status")


def test_the_token_is_asked_for_and_kept_in_the_tab_only(open_own: Open, engine: Any) -> None:
    engine.environment["FINSTREAM_ADMIN_TOKEN"] = "geheim/ü"
    noc = open_own()
    field = noc.page.get_by_label("Admin token")
    field.fill("wrong")
    noc.press("Unlock")
    noc.sees("the engine does not take this token")
    field.fill("geheim/ü")
    noc.press("Unlock")
    noc.sees("live", "#status")
    noc.page.reload()
    noc.sees("live", "#status")
    assert "geheim" not in noc.page.url
    assert "geheim" not in noc.page.evaluate("JSON.stringify(localStorage) + document.cookie + document.documentElement.outerHTML")
    other = open_own()
    other.page.get_by_label("Admin token").wait_for()


def test_an_engine_that_wants_no_token_any_more_lets_the_page_in(open_own: Open, engine: Any) -> None:
    engine.environment["FINSTREAM_ADMIN_TOKEN"] = "of before"
    noc = open_own()
    noc.page.get_by_label("Admin token").fill("of before")
    noc.press("Unlock")
    noc.sees("live", "#status")
    engine.end()
    engine.environment["FINSTREAM_ADMIN_TOKEN"] = "of now"
    engine.start()
    noc.page.get_by_label("Admin token").wait_for()
    noc.sees("locked", "#status")
    assert noc.page.get_by_text("connects again by itself").count() == 0
    engine.end()
    del engine.environment["FINSTREAM_ADMIN_TOKEN"]
    engine.start()
    noc.sees("live", "#status")


def test_what_ingestors_say_is_text(open_page: Open) -> None:
    noc = open_page("assets")
    noc.row("bad").get_by_role("button").click()
    noc.sees(re.compile("<img src="), "aside pre")
    noc.sees(r"turned \u{202e} around", "aside pre")
    assert noc.page.locator("main img, main b").count() == 0
    assert noc.page.title() != "1"


def test_names_and_log_lines_that_cannot_be_seen_are_written_out(open_own: Open, engine: Any) -> None:
    script = """while :; do
      printf '{"symbol":"\\\\u202e","price":"1","ts":%s}\\n' "$(date +%s%N)"; printf '\\033[31mred\\033[0m\\n' >&2; sleep 0.5
    done"""
    engine.config["assets"] = {"odd": {"command": ["sh", "-c", script], "origin": "synthetic", "start": "always"}}
    noc = open_own("symbols")
    noc.press(r"\u{202e}")
    noc.page.locator("tr[data-source=odd] .price", has_text="1").wait_for()
    noc.go("logs")
    noc.sees(r"\u{1b}[31mred", ".lines li")


def test_the_keyboard_is_enough(open_page: Open, shared: Any) -> None:
    noc = open_page()
    noc.sees("live", "#status")
    noc.page.keyboard.press("2")
    noc.page.get_by_role("heading", name="Assets", level=1).wait_for()
    noc.state_becomes("swift", "running")
    noc.page.locator('tr[data-row="0"] button').focus()
    noc.page.keyboard.press("ArrowDown")
    noc.shows("() => document.activeElement.textContent === 'slow'")
    panel = noc.page.get_by_role("complementary", name="Asset slow")
    panel.wait_for()
    panel.get_by_role("button", name="Pause").focus()
    noc.page.keyboard.press("Enter")
    noc.page.get_by_role("dialog").wait_for()
    assert noc.page.evaluate("document.activeElement.textContent") == "Leave it"
    noc.page.keyboard.press("Escape")
    noc.shows("() => !document.querySelector('dialog').open")
    assert shared.asset("slow")["state"] == "running"
    panel.get_by_role("button", name="Close").focus()
    noc.page.keyboard.press("Enter")
    noc.shows("() => !document.querySelector('aside') && document.activeElement.textContent === 'slow'")
    noc.page.get_by_label("Filter").press_sequentially("7")  # is written, and goes nowhere
    assert "#/assets" in noc.page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_on_a_phone_and_a_desk(open_page: Open, shared: Any, scheme: str) -> None:
    noc = open_page(color_scheme=scheme, viewport={"width": 360, "height": 740})
    grounds = set()
    for where, name in PAGES.items():
        for width, height in ((360, 740), (1280, 900)):
            noc.page.set_viewport_size({"width": width, "height": height})
            noc.go(where)
            too_wide = noc.page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not too_wide, f"{name} does not fit {width} pixels"
        assert noc.page.locator('nav [aria-current="page"]').get_attribute("href") == f"#/{where}"
        grounds.add(noc.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        if folder := os.environ.get("FINSTREAM_SCREENSHOTS"):
            noc.page.wait_for_timeout(2_000)
            noc.page.screenshot(path=f"{folder}/{where or 'overview'}-{scheme}.png")
    assert grounds == {"rgb(246, 247, 249)" if scheme == "light" else "rgb(14, 19, 24)"}


def test_an_engine_without_assets_says_so(open_own: Open, engine: Any) -> None:
    engine.config["assets"] = {}
    noc = open_own()
    noc.sees("none is configured", "a.tile")
    noc.go("assets")
    noc.sees("No asset is configured.")
    noc.go("arena")
    noc.sees("No pricing asset is configured.")
    noc.go("symbols")
    noc.sees("No source is running.")


def test_a_sink_that_fails_needs_attention(open_own: Open, engine: Any) -> None:
    engine.config["sinks"] = {
        "broken": {"command": ["sh", "-c", "exit 78"], "topics": ["swift"]},
        "well": {"command": ["sh", "-c", "exec cat > /dev/null"], "topics": ["swift"]},
    }
    noc = open_own()
    noc.sees("1 of 2 running", "a.tile")
    told = noc.sees(re.compile("misconfigured: WrongConfiguration"), "section[aria-labelledby=attention] li")
    assert told.text_content().split() == ["✖", "broken", "(sink)", "misconfigured:", "WrongConfiguration,", "exit", "code", "78"]


def test_a_phone_shows_what_its_columns_have_no_room_for(open_own: Open, engine: Any) -> None:
    long = "a" * 64
    engine.config["assets"] = {"swift": engine.config["assets"]["swift"], long: engine.teller("BTC/USDT")}
    engine.config["assets"] |= {f"more{n:02}": engine.teller("BTC/USDT", start="on_demand") for n in range(20)}
    engine.config["sinks"] = {"quiet": {"command": ["sh", "-c", "exec cat > /dev/null"], "topics": ["swift"]}}
    noc = open_own("arena", viewport={"width": 390, "height": 844})
    noc.page.locator(f'tr[data-asset="{long}"] + tr.below', has_text="99 % below").wait_for()
    assert noc.page.locator("tr.below svg").count() > 0, "the histogram"
    inside = "() => [...document.querySelectorAll('.scroll, .list, html')].every(each => each.scrollWidth <= each.clientWidth)"
    assert noc.page.evaluate(inside), "however long a name is"
    noc.go("symbols")
    noc.press("BTC/USDT")
    noc.page.locator("tr[data-source=swift] + tr.below", has_text="lag").wait_for()
    assert noc.page.evaluate(inside)
    noc.go("clients")
    uuid = engine.http.post(engine.ready["public"] + "/v1/clients").json()["uuid"]
    with connect(f"{engine.ready['stream']}/v1/stream?client={uuid}", proxy=None, close_timeout=1) as client:
        client.send('{"op":"subscribe","topics":["swift"],"policy":"skip"}')
        noc.page.locator(f'tr[data-client="{uuid}"] + tr.below', has_text=re.compile(r"from 127.0.0.1:\d+ .* 1 × skip")).wait_for()
        assert noc.page.evaluate(inside)
    noc.sees("restarted 0 times", "tr.below")
    noc.go("assets")
    assert noc.page.evaluate(inside)
    noc.row("swift").get_by_role("button").scroll_into_view_if_needed()
    noc.row("swift").get_by_role("button").click()
    noc.shows("() => document.querySelector('aside')?.getBoundingClientRect().top < innerHeight / 2")
    noc.go("")
    noc.page.locator(".feeds a", has_text="swift").click()
    noc.shows("() => document.querySelector('aside')?.getBoundingClientRect().top < innerHeight / 2")


def test_a_page_that_there_is_not_says_so(open_page: Open) -> None:
    noc = open_page("nowhere")
    noc.sees("There is no such page")

"""The NOC in Chromium, over a real engine with real ingestors: what its operator sees and does.

Needs Debian's Chromium and Playwright: ``apt install chromium``, ``pip install playwright``; and the page: ``make page``.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
from contextlib import suppress
from typing import Any

import pytest
from noc_tab import Open
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


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


def test_a_sink_that_fails_needs_attention(open_own: Open, engine: Any) -> None:
    engine.config["sinks"] = {
        "broken": {"command": ["sh", "-c", "exit 78"], "topics": ["swift"]},
        "well": {"command": ["sh", "-c", "exec cat > /dev/null"], "topics": ["swift"]},
    }
    noc = open_own()
    noc.sees("1 of 2 running", "a.tile")
    told = noc.sees(re.compile("misconfigured: WrongConfiguration"), "section[aria-labelledby=attention] li")
    assert told.text_content().split() == ["✖", "broken", "(sink)", "misconfigured:", "WrongConfiguration,", "exit", "code", "78"]

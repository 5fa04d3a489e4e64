"""The NOC in Chromium as people read it: on a phone, by keyboard, in light and dark, whatever its sources are called.

With FINSTREAM_SCREENSHOTS=FOLDER pictures of all pages are left there.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from noc_tab import PAGES, Open
from websockets.sync.client import connect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


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

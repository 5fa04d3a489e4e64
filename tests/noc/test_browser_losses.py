"""The NOC in Chromium when its engine is lost, starts again, or wants a token."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from noc_tab import Open

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


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

"""The NOC in a tab of Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

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

"""The page's files, as the admin listener serves them; and what is said where they were not built."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from finstream.servers.origins import Origins
from finstream.servers.page import Page


class Asked:
    """An answer of the application, asked without a socket."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        start, body = messages
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body: bytes = body["body"]

    @property
    def policy(self) -> dict[str, str]:
        directives = self.headers["content-security-policy"].split("; ")
        return {name: value for name, _, value in (directive.partition(" ") for directive in directives)}


def page_of(folder: Path) -> Page:
    origins = Origins([], [("127.0.0.1", 8090)])
    return Page(folder, origins=origins, listener="127.0.0.1", ports={"http": 8080, "ws": 8081})


async def ask(page: Page, path: str, method: str = "GET", host: str = "127.0.0.1:8090", **headers: str) -> Asked:
    given = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": method, "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    assert page.serves(scope)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a GET has no body")

    await page(scope, receive, send)
    return Asked(sent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "_app/immutable").mkdir(parents=True)
    (tmp_path / "index.html").write_text("<!doctype html><script>\nbegin()\n</script><script src='x.js'></script>")
    (tmp_path / "_app/immutable/x.js").write_text("export const x = 1;" * 100)
    (tmp_path / "notes.txt").write_text("not of the page")
    return tmp_path


async def test_only_its_own_inline_script_may_run(folder: Path) -> None:
    answer = await ask(page_of(folder), "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    digest = base64.b64encode(hashlib.sha256(b"\nbegin()\n").digest()).decode()
    assert answer.policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert answer.policy["default-src"] == "'none'"
    assert answer.policy["frame-ancestors"] == "'none'"
    assert answer.policy["connect-src"] == "'self' http://127.0.0.1:8080 ws://127.0.0.1:8081"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["[::1]:8090", "[::1]"])
async def test_a_policy_cannot_hold_an_ipv6_address(folder: Path, host: str) -> None:
    assert (await ask(page_of(folder), "/", host=host)).policy["connect-src"] == "'self' http://*:8080 ws://*:8081"


@pytest.mark.parametrize("host", ["localhost;script-src *", "evil.com", "127.0.0.1 http://evil.com", ""])
async def test_names_that_are_not_ours_get_nothing(folder: Path, host: str) -> None:
    page = page_of(folder)
    if not host:  # no browser
        assert "*" in (await ask(page, "/", host=host)).policy["connect-src"]
        return
    answer = await ask(page, "/", host=host)
    assert answer.status == 403
    assert b"foreign-host" in answer.body


async def test_files_are_compressed_and_kept_by_browsers(folder: Path) -> None:
    page = page_of(folder)
    plain = await ask(page, "/_app/immutable/x.js")
    assert plain.body == (folder / "_app/immutable/x.js").read_bytes()
    assert plain.headers["content-type"].startswith("text/javascript")
    assert "immutable" in plain.headers["cache-control"]
    small = await ask(page, "/_app/immutable/x.js", accept_encoding="br, gzip")
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) == len(small.body) < len(plain.body)
    assert gzip.decompress(small.body) == plain.body
    known = await ask(page, "/_app/immutable/x.js", if_none_match=plain.headers["etag"])
    assert (known.status, known.body) == (304, b"")
    head = await ask(page, "/", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0


async def test_it_serves_its_own_files_and_nothing_else(folder: Path) -> None:
    page = page_of(folder)
    (folder.parent / "secret.js").write_text("secret")
    for path in ("/notes.txt", "/../secret.js", "/%2e%2e/secret.js", "/v1/telemetry", "//", "/_app", "/_app/immutable/"):
        assert not page.serves({"type": "http", "method": "GET", "path": path}), path
    assert not page.serves({"type": "http", "method": "POST", "path": "/"})
    assert not page.serves({"type": "lifespan"})


async def test_a_page_that_is_built_anew_is_served_at_once(folder: Path) -> None:
    page = page_of(folder)
    before = await ask(page, "/")
    (folder / "index.html").write_text("<!doctype html>another")
    after = await ask(page, "/")
    assert b"another" in after.body
    assert after.headers["etag"] != before.headers["etag"]


async def test_where_it_is_not_built_it_says_how_to_get_it(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    answer = await ask(page, "/")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"make page" in answer.body
    assert not page.serves({"type": "http", "method": "GET", "path": "/_app/immutable/x.js"})


def test_the_engine_serves_it_without_the_token_and_nothing_else(engine: Any, built: Path) -> None:
    engine.environment["FINSTREAM_ADMIN_TOKEN"] = "secret"
    engine.start()
    admin = engine.ready["admin"]
    page = engine.http.get(admin + "/")
    assert page.status_code == 200
    assert page.headers["content-encoding"] == "gzip"
    assert "secret" not in page.text
    scripts = set(re.findall(r'"\.?/(_app/[^"]+\.js)"', page.text))
    assert scripts
    for path in scripts:
        file = engine.http.get(f"{admin}/{path}")
        assert file.headers["content-type"].startswith("text/javascript")
    assert engine.http.get(admin + "/v1/telemetry").status_code == 401
    assert engine.http.get(admin + "/nothing").status_code == 401
    assert engine.http.post(admin + "/").status_code == 401
    assert engine.http.get(admin + "/", headers={"Host": "evil.com"}).status_code == 403
    # The stream's side and the public one do not have it.
    assert engine.http.get(engine.ready["public"] + "/").status_code == 404

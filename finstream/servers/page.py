"""The NOC's page, on the admin listener: static files that ``make page`` builds from noc/, and that a wheel carries.

They tell nothing of the engine, so they need no token: the page asks for it, and sends it with what it asks then.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

from finstream.servers import problems
from finstream.servers.origins import Origins
from finstream.servers.rest import Asgi, Receive, Send, refuse
from finstream.vocabulary.errors import RequestError

__all__ = ["BUILT", "Page", "with_page"]

BUILT = Path(__file__).parents[1] / "page"
"""Where the build puts it, beside the engine's modules."""
_INDEX = "index.html"
_NEVER_CHANGES = "/_app/immutable/"
"""The names of these files hold a digest of what is in them."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9.-]+")
_NOT_BUILT = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>FinStream NOC</title><meta name="color-scheme" content="light dark"></head>
<body><h1>The NOC's page is not built</h1>
<p>Everything else works: the commands (<code>finstream --help</code>), the admin API (<a href="/openapi.json">/openapi.json</a>)
and the telemetry (<a href="/v1/telemetry">/v1/telemetry</a>).</p>
<p>To get it, run <code>make page</code> in FinStream's source, which brings the Node that it needs, and load this again;
or install FinStream from a wheel, which carries it.</p></body></html>
"""


class Page:
    """An ASGI application for the requests that it :meth:`serves`. ``listener`` is the address bound to, ``ports`` those of the
    listeners that the page talks to besides its own, by scheme: ``http`` and ``ws``, or the same with TLS."""

    def __init__(self, folder: Path, *, origins: Origins, listener: str, ports: dict[str, int]) -> None:
        self._folder = folder
        self._origins = origins
        self._listener = listener
        self._ports = ports
        self._files: dict[str, _File] = {}
        self._built_at: int | None = None

    def serves(self, scope: Any) -> bool:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            return False
        self._look()
        return scope["path"] == "/" or scope["path"] in self._files

    async def __call__(self, scope: Any, _receive: Receive, send: Send) -> None:
        headers = {name.lower().decode(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        try:
            self._origins.check_host(host, self._listener)
        except RequestError as error:
            await refuse(send, "http.response", problems.of_request_error(error))
            return
        path = scope["path"] if scope["path"] in self._files else f"/{_INDEX}"
        file = self._files.get(path)
        if file is None:
            await _answer(send, scope, 404, {"content-type": _TYPES[".html"], **self._policies((), host)}, _NOT_BUILT)
            return
        answer = {"content-type": file.type, "etag": file.etag, "vary": "Accept-Encoding", **self._policies(file.scripts, host)}
        answer["cache-control"] = "public, max-age=31536000, immutable" if path.startswith(_NEVER_CHANGES) else "no-cache"
        if headers.get("if-none-match") == file.etag:
            await _answer(send, scope, 304, answer, b"")
        elif "gzip" in headers.get("accept-encoding", ""):
            await _answer(send, scope, 200, answer | {"content-encoding": "gzip"}, file.compressed())
        else:
            await _answer(send, scope, 200, answer, file.content)

    def _look(self) -> None:
        """Read it when it is first asked for, and again when it has been built anew."""
        try:
            built_at = (self._folder / _INDEX).stat().st_mtime_ns
        except OSError:
            built_at = None
        if built_at == self._built_at:
            return
        self._built_at = built_at
        paths = [] if built_at is None else [path for path in self._folder.rglob("*") if path.suffix in _TYPES]
        self._files = {f"/{path.relative_to(self._folder).as_posix()}": _File(path) for path in paths}

    def _policies(self, scripts: tuple[str, ...], host: str) -> dict[str, str]:
        name = host.rpartition(":")[0] or host
        # A policy cannot hold an IPv6 address; then any host will do, at our ports.
        name = name if _HOST.fullmatch(name) else "*"
        others = " ".join(f"{scheme}://{name}:{port}" for scheme, port in self._ports.items())
        return {
            "content-security-policy": "; ".join([
                "default-src 'none'",
                " ".join(["script-src 'self'", *scripts]),
                # SvelteKit hides what it announces to screen readers by a style attribute.
                "style-src 'self'; style-src-attr 'unsafe-inline'",
                "img-src 'self' data:",
                f"connect-src 'self' {others}",
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ]),
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }


class _File:
    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.type = _TYPES[path.suffix]
        self.etag = f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'
        found = _INLINE_SCRIPT.findall(self.content) if path.suffix == ".html" else []
        self.scripts = tuple(f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in found)
        """What the policy has to allow: SvelteKit's one script that begins it all."""
        self._compressed: bytes | None = None

    def compressed(self) -> bytes:
        if self._compressed is None:
            self._compressed = gzip.compress(self.content, mtime=0)
        return self._compressed


def with_page(app: Asgi, page: Page) -> Asgi:
    """``app`` gets what the page does not serve."""

    async def wrapped(scope: Any, receive: Receive, send: Send) -> None:
        await (page if page.serves(scope) else app)(scope, receive, send)

    return wrapped


async def _answer(send: Send, scope: Any, status: int, headers: dict[str, str], body: bytes) -> None:
    length = {} if status == 304 else {"content-length": str(len(body))}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in (headers | length).items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body, "more_body": False})

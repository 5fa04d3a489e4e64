"""OKX's public WebSocket API v5 on a local port, by its documentation."""

from __future__ import annotations

import json
from typing import Any

from local_venue import LocalVenue, Session

CONNECTION = {"connId": "a4d3ae55"}


class LocalOkx(LocalVenue):
    channels = ("trades", "bbo-tbt")

    def answer(self, session: Session, text: str) -> None:
        if text == "ping":
            session.send("pong")
            return
        request = json.loads(text)
        if request.get("op") != "subscribe" or "args" not in request:
            session.send({"event": "error", "code": "60012", "msg": f"Invalid request: {text}", **CONNECTION})
            return
        for argument in request["args"]:
            channel, name = argument["channel"], argument["instId"]
            if name not in self.listed:
                about = f"wrong URL or channel:{channel},instId:{name} doesn't exist."
                session.send({"event": "error", "msg": f"Subscribe failed, {about}", "code": "60018", **CONNECTION})
                continue
            session.send({"event": "subscribe", "arg": argument, **CONNECTION})
            session.subscribed.add((channel, name))

    def key_of(self, message: Any) -> tuple[str, str] | None:
        return (message["arg"]["channel"], message["arg"]["instId"]) if "data" in message else None


class OldLocalOkx(LocalOkx):
    """Tells the best bid and ask by its tickers, as in the recordings, to who asks for bbo-tbt."""

    def key_of(self, message: Any) -> tuple[str, str] | None:
        key = super().key_of(message)
        return ("bbo-tbt", key[1]) if key is not None and key[0] == "tickers" else key

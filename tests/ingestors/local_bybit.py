"""Bybit's public spot streams v5 on a local port, by its documentation."""

from __future__ import annotations

import json
from typing import Any

from local_venue import LocalVenue, Session

CONNECTION = {"conn_id": "2324d924-aa4d-45b0-a858-7b8be29ab52b"}


class LocalBybit(LocalVenue):
    channels = ("orderbook.1", "publicTrade")

    def answer(self, session: Session, text: str) -> None:
        request = json.loads(text)
        operation = request["op"]
        if operation == "ping":
            session.send({"success": True, "ret_msg": "pong", **CONNECTION, "op": "ping"})
            return
        topics = [tuple(topic.rsplit(".", 1)) for topic in request["args"]]
        unknown = [".".join(topic) for topic in topics if topic[1] not in self.listed]
        if len(topics) > 10:
            refusal = "args size >10"
        elif unknown:
            refusal = f"error:handler not found,topic:{unknown[0]}"
        else:
            session.subscribed |= set(topics)
            session.send({"success": True, "ret_msg": "subscribe", **CONNECTION, "req_id": "", "op": operation})
            return
        session.send({"success": False, "ret_msg": refusal, **CONNECTION, "req_id": "", "op": operation})

    def key_of(self, message: Any) -> tuple[str, str] | None:
        channel, _, symbol = message["topic"].rpartition(".")
        return channel, symbol

from __future__ import annotations

from typing import Any

import structlog
import trio.testing

from finstream.acceptor import ShakeFailed
from finstream.pump import Pump
from finstream.servers.encrypted import EncryptedListener
from finstream.servers.tls import Tls
from finstream.vocabulary.settings import TlsSettings


async def test_failed_handshakes_are_logged_at_a_bounded_rate(
    mock_clock: trio.testing.MockClock, certificate: Any, log_lines: list[Any]
) -> None:
    tls = Tls(TlsSettings(cert_file=str(certificate.cert), key_file=str(certificate.key)))
    listener = EncryptedListener(tls, Pump(), structlog.get_logger(), most_connections=10, handshake_s=1)
    for number in range(31):
        listener._failed(ShakeFailed(f"peer {number}", "no shared cipher"))
    told = [(line["peer"], line["unlogged"]) for line in log_lines]
    assert told == [(f"peer {number}", 0) for number in range(20)]
    mock_clock.jump(0.06)
    listener._failed(ShakeFailed("peer 31", "no shared cipher"))
    listener._failed(ShakeFailed("peer 32", "no shared cipher"))
    last = log_lines[-1]
    assert (len(log_lines), last["peer"], last["reason"], last["unlogged"]) == (21, "peer 31", "no shared cipher", 11)

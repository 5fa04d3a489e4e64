"""The stream's listener with TLS, as telemetry sees it."""

from __future__ import annotations

import socket
from typing import Any

import trio
from clients import HEAD, TEXT, frame

from finstream.pump import OutboxClosed, PeerEvent, Pump, Requested
from finstream.servers.encrypted import EncryptedListener, TlsStatistics
from finstream.servers.tls import Tls
from finstream.services.logs import get_logger
from finstream.vocabulary.settings import TlsSettings


async def test_its_statistics(certificate: Any, until: Any) -> None:
    pump = Pump()
    tls = Tls(TlsSettings(cert_file=str(certificate.cert), key_file=str(certificate.key)))
    encrypted = EncryptedListener(tls, pump, get_logger("test"), most_connections=10, handshake_s=10.0)

    def asked(request: Requested) -> None:
        def told(event: PeerEvent) -> None:
            if isinstance(event, OutboxClosed):
                pump.remove_outbox(event.outbox)

        pump.welcome(request.outbox, told)
        assert pump.take_up(request.outbox, b"hello")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = listener.getsockname()
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(pump.run)
                pump.listen(None, asked, most_connections=10)
                await nursery.start(encrypted.run, listener)
                none = TlsStatistics(
                    accepted=0, connected=0, failed=0, shaking=0, failures={}, open=0, encrypted_bytes=0, decrypted_bytes=0
                )
                assert encrypted.statistics() == none
                async with await trio.open_tcp_stream(*address) as stranger:
                    await stranger.send_all(HEAD)
                    await until(lambda: encrypted.statistics().failed)
                plain = await trio.open_tcp_stream(*address)
                client = trio.SSLStream(plain, certificate.client_context(), server_hostname="localhost")
                await client.send_all(HEAD)
                assert await client.receive_some(100) == b"hello"
                await client.send_all(frame(TEXT, b"12345"))
                heard = len(HEAD) + len(frame(TEXT, b"12345"))
                await until(lambda: encrypted.statistics().decrypted_bytes == heard)
                assert encrypted.statistics() == TlsStatistics(
                    accepted=2, connected=1, failed=1, shaking=0, failures={"http request": 1},
                    open=1, encrypted_bytes=len(b"hello"), decrypted_bytes=heard,
                )  # fmt: skip
                await client.aclose()
                await until(lambda: pump.count_connections() == 0)
                assert encrypted.statistics().open == 0
                encrypted.stop()
                pump.stop_listening()
                pump.stop()

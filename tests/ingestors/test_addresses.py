"""Which addresses are a venue's own: the connectors and the engine judge them by the same rules, each by itself."""

from __future__ import annotations

import json

import pytest
from finstream_ingestors import bybit, okx, yahoo
from finstream_ingestors.binance.__main__ import VENUE as BINANCE
from finstream_ingestors.coinbase.__main__ import VENUE as COINBASE
from finstream_ingestors.kit import addresses
from finstream_ingestors.kit.exits import MisconfiguredError
from finstream_ingestors.kraken.__main__ import VENUE as KRAKEN

from finstream.services import config_honesty
from finstream.services.config import read
from finstream.vocabulary.errors import ConfigError

VENUES = [BINANCE, bybit.VENUE, COINBASE, KRAKEN, okx.VENUE, yahoo.VENUE]
TEST_HOSTS = {host for venue in VENUES for host in venue.test_hosts}
REAL = [
    "stream.binance.com:9443", "data-stream.binance.vision", "stream.bybit.com", "ws-feed.exchange.coinbase.com",
    "advanced-trade-ws.coinbase.com", "ws.kraken.com", "ws.okx.com:8443", "wseea.okx.com:8443", "wsus.okx.com:8443",
    "streamer.finance.yahoo.com", "10.0.0.5", "192.168.1.1:9000", "gateway", "contest.acme.com", "acme.dev", "stream.latest.com",
]  # fmt: skip
FOR_TESTS = [
    "testnet.binance.vision", "stream-testnet.bybit.com", "ws-feed-public.sandbox.exchange.coinbase.com", "beta-ws.kraken.com",
    "demo-futures.kraken.com", "STAGING.acme.com", "uat.acme.com", "dev.acme.com", "paper-api.acme.com", "wspap.okx.com:8443",
    "wsuspap.okx.com", "dstream.binancefuture.com", "localhost:9000", "feed.localhost", "127.0.0.1", "127.8.9.1:80", "0.0.0.0",
    "[::1]:9000", "feed.example", "feed.invalid.", "wspap.okx.com.",
]  # fmt: skip


@pytest.mark.parametrize(("host", "is_real"), [(host, True) for host in REAL] + [(host, False) for host in FOR_TESTS])
def test_the_engine_and_the_connectors_agree(host: str, is_real: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"wss://{host}/ws"
    document = {"assets": {"a": {"command": ["python", "-m", "finstream_ingestors.okx", "--symbols", "BTC/USDT", "--url", url]}}}
    monkeypatch.setenv("FINSTREAM_MODE", "production")
    if is_real:
        addresses.check_address("--url", url, TEST_HOSTS)
        assert read(json.dumps(document), "test.yaml")
        return
    with pytest.raises(MisconfiguredError, match="is a test endpoint"):
        addresses.check_address("--url", url, TEST_HOSTS)
    with pytest.raises(ConfigError, match="is a test endpoint"):
        read(json.dumps(document), "test.yaml")


def test_both_know_the_same_words() -> None:
    assert config_honesty._TEST_WORDS == addresses._TEST_WORDS
    assert config_honesty._NOWHERE == addresses._NOWHERE
    assert config_honesty._TEST_HOSTS == TEST_HOSTS

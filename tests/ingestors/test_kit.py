"""The small parts of the kit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from finstream_ingestors.binance.__main__ import read_listing as read_binance_listing
from finstream_ingestors.binance.__main__ import subscribe_requests
from finstream_ingestors.bybit import read_listing as read_bybit_listing
from finstream_ingestors.coinbase.__main__ import read_listing as read_coinbase_listing
from finstream_ingestors.kit.backoff import Backoff
from finstream_ingestors.kit.exits import MisconfiguredError
from finstream_ingestors.kit.lines import BATCH_BYTES, LineWriter, OutputClosedError
from finstream_ingestors.kit.symbols import Listing, parse_symbols, read_listing_file, resolve
from finstream_ingestors.kit.times import epoch_ns, iso_ns, seconds_text_ns
from finstream_ingestors.kit.trade_ids import REMEMBERED, TradeIds
from finstream_ingestors.kraken.__main__ import read_listing as read_kraken_listing
from finstream_ingestors.okx import read_listing as read_okx_listing


def test_backoff_doubles_up_to_its_cap_and_begins_anew() -> None:
    bounds: list[float] = []

    def draw(low: float, high: float) -> float:
        assert low == 0.0
        bounds.append(high)
        return high / 2

    backoff = Backoff(initial_s=1.0, cap_s=5.0, draw=draw)
    assert [backoff.next_delay_s() for _ in range(4)] == [0.5, 1.0, 2.0, 2.5]
    assert bounds == [1.0, 2.0, 4.0, 5.0]
    backoff.succeeded()
    assert backoff.next_delay_s() == 0.5


def test_backoff_stays_at_its_cap_for_ever() -> None:
    backoff = Backoff(cap_s=30.0, draw=lambda _low, high: high)
    assert [backoff.next_delay_s() for _ in range(5000)][-1] == 30.0


def test_only_the_first_planned_reconnect_is_immediate() -> None:
    backoff = Backoff(initial_s=1.0, draw=lambda _low, high: high)
    assert [backoff.next_delay_s(is_planned=True) for _ in range(3)] == [0.0, 2.0, 4.0]


def test_trade_ids_forget_the_oldest_and_keep_the_highest() -> None:
    trade_ids = TradeIds()
    assert not trade_ids.is_later(1)
    assert trade_ids.add(10**6)
    for trade_id in range(REMEMBERED):
        assert trade_ids.add(trade_id)
    assert trade_ids.highest == 10**6
    assert trade_ids.add(10**6)  # forgotten
    assert not trade_ids.add(REMEMBERED - 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1723161253937085768", 1723161253937085768),
        ("1633998512.0633569", 1633998512063356900),
        ("1633998512.1", 1633998512100000000),
        ("1633998512.1234567891", 1633998512123456789),
        ("1633998512", 1633998512000000000),
    ],
)
def test_receive_times_are_read_exactly(text: str, expected: int) -> None:
    assert seconds_text_ns(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1.x", "1.2.3"])
def test_what_is_no_receive_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        seconds_text_ns(text)


def test_epochs_are_told_apart_by_magnitude() -> None:
    assert {epoch_ns(value) for value in (1700000000, 1700000000000, 1700000000000000, 1700000000000000000)} == {
        1700000000 * 10**9
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-08-09T21:05:48.228568804Z", 1786309548228568804),
        ("2026-08-09T21:05:48Z", 1786309548000000000),
        ("2026-08-09T23:05:48.5+02:00", 1786309548500000000),
        ("2026-08-09T14:05:48-07:00", 1786309548000000000),
        ("0001-01-01T00:00:00.000000Z", None),
        ("2026-13-09T21:05:48Z", None),
        ("2026-08-09 21:05:48.854840045 +0000 UTC m=+41691.26", None),
        ("", None),
    ],
)
def test_iso_times(text: str, expected: int | None) -> None:
    assert iso_ns(text) == expected


def test_symbols_are_read_in_order_and_once() -> None:
    assert parse_symbols("BTC/USDT, ETH/USDT,BTC/USDT") == ["BTC/USDT", "ETH/USDT"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [("BTCUSDT", "BASE/QUOTE"), ("", "BASE/QUOTE"), ('A"/B', "BASE/QUOTE"), ("A/B/C", "BASE/QUOTE"), ("b/u", "B/U")],
)
def test_what_is_no_symbol_is_refused_with_the_remedy(text: str, hint: str) -> None:
    with pytest.raises(MisconfiguredError, match=hint):
        parse_symbols(text)


def joined(base: str, quote: str) -> str:
    return base + quote


LISTING = Listing(symbols={"BTCUSDT": "BTC/USDT", "ETHBTC": "ETH/BTC"}, refused={"BTC/USDC": "take BTC/USD"})


def test_symbols_are_joined_or_looked_up_but_never_cut() -> None:
    assert resolve(["BTC/USDT"], None, joined) == {"BTCUSDT": "BTC/USDT"}
    assert resolve(["ETH/BTC"], LISTING, joined) == {"ETHBTC": "ETH/BTC"}
    assert resolve([], LISTING, joined) == LISTING.symbols


@pytest.mark.parametrize(
    ("wanted", "listing", "hint"),
    [
        ([], None, "--symbols or --listing"),
        (["BTC/USDC"], LISTING, "take BTC/USD"),
        (["BTC/UST"], LISTING, "did you mean BTC/USDT"),
        (["A/BC", "AB/C"], None, "A/BC and AB/C are both ABC"),
    ],
)
def test_symbols_that_cannot_be_had_are_refused(wanted: list[str], listing: Listing | None, hint: str) -> None:
    with pytest.raises(MisconfiguredError, match=hint):
        resolve(wanted, listing, joined)


def test_listings(tmp_path: Path) -> None:
    path = tmp_path / "listing.json"
    path.write_text('{"symbols":[{"symbol":"ABUSD","baseAsset":"AB","quoteAsset":"USD","status":"TRADING"}]}')
    assert read_listing_file(path, read_binance_listing).symbols == {"ABUSD": "AB/USD"}
    path.write_text('[{"id":"AB-USD","base_currency":"AB","quote_currency":"USD"}]')
    assert read_listing_file(path, read_coinbase_listing).symbols == {"AB-USD": "AB/USD"}
    path.write_text(
        '{"products":[{"product_id":"AB-USD","base_currency_id":"AB","quote_currency_id":"USD","alias":""},'
        '{"product_id":"AB-USDC","base_currency_id":"AB","quote_currency_id":"USDC","alias":"AB-USD"}]}'
    )
    listing = read_listing_file(path, read_coinbase_listing)
    assert listing.symbols == {"AB-USD": "AB/USD"}
    assert "AB/USD" in listing.refused["AB/USDC"]


@pytest.mark.parametrize(
    ("read", "body", "halted"),
    [
        (
            read_binance_listing,
            ('{"symbols":[{"symbol":"AB","baseAsset":"A","quoteAsset":"B","status":"BREAK"},'
            '{"symbol":"CD","baseAsset":"C","quoteAsset":"D","status":"TRADING"}]}'),
            {"AB": "BREAK"},
        ),
        (
            read_okx_listing,
            ('{"data":[{"instId":"A-B","baseCcy":"A","quoteCcy":"B","state":"suspend"},'
            '{"instId":"C-D","baseCcy":"C","quoteCcy":"D","state":"live"}]}'),
            {"A-B": "suspend"},
        ),
        (
            read_bybit_listing,
            ('{"result":{"list":[{"symbol":"AB","baseCoin":"A","quoteCoin":"B","status":"PreLaunch"},'
            '{"symbol":"CD","baseCoin":"C","quoteCoin":"D","status":"Trading"}]}}'),
            {"AB": "PreLaunch"},
        ),
        (
            read_coinbase_listing,
            ('[{"id":"A-B","base_currency":"A","quote_currency":"B","status":"delisted","trading_disabled":false},'
            '{"id":"C-D","base_currency":"C","quote_currency":"D","status":"online","trading_disabled":true},'
            '{"id":"E-F","base_currency":"E","quote_currency":"F","status":"online","trading_disabled":false}]'),
            {"A-B": "delisted", "C-D": "trading_disabled"},
        ),
        (
            read_coinbase_listing,
            ('{"products":[{"product_id":"A-B","base_currency_id":"A","quote_currency_id":"B","is_disabled":true},'
            '{"product_id":"C-D","base_currency_id":"C","quote_currency_id":"D","status":"delisted"},'
            '{"product_id":"E-F","base_currency_id":"E","quote_currency_id":"F","status":""}]}'),
            {"A-B": "trading_disabled", "C-D": "delisted"},
        ),
        (
            read_kraken_listing,
            ('{"error":[],"result":{"AB":{"wsname":"XBT/B","status":"cancel_only"},"CD":{"wsname":"C/D","status":"limit_only"},'
            '"EF":{"wsname":"E/F","status":"online"}}}'),
            {"BTC/B": "cancel_only"},
        ),
        (
            read_kraken_listing,
            ('{"data":{"pairs":[{"symbol":"A/B","base":"A","quote":"B","status":"maintenance"},'
            '{"symbol":"E/F","base":"E","quote":"F","status":"online"}]}}'),
            {"A/B": "maintenance"},
        ),
    ],
)
def test_what_is_listed_and_not_traded(read: Callable[[bytes], Listing], body: str, halted: dict[str, str]) -> None:
    listing = read(body.encode())
    assert listing.halted == halted
    assert set(halted) < set(listing.symbols)


def test_of_many_that_are_not_traded_some_are_named() -> None:
    names = [f"A{number}" for number in range(22)]
    listing = Listing(symbols={name: f"{name}/B" for name in names}, halted=dict.fromkeys(names[1:], "BREAK"))
    assert listing.halted_among(["A0", "A1", "A2"]) == "A1/B (BREAK), A2/B (BREAK)"
    assert listing.halted_among(["A0"]) == ""
    assert listing.halted_among(names).endswith("A20/B (BREAK) and 1 more")


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"symbols":[]}', "\x1f\x8b"])
def test_what_is_no_listing_is_refused(tmp_path: Path, body: str) -> None:
    path = tmp_path / "listing.json"
    path.write_bytes(body.encode("latin-1"))
    with pytest.raises(MisconfiguredError, match="--listing"):
        read_listing_file(path, read_binance_listing)


def test_binance_subscriptions_are_few_and_limited() -> None:
    requests = subscribe_requests([f"S{number}" for number in range(512)])
    assert len(requests) == 6
    with pytest.raises(MisconfiguredError, match="up to 512"):
        subscribe_requests([f"S{number}" for number in range(513)])


def test_lines_leave_in_whole_batches() -> None:
    reader, writer_fd = os.pipe()
    writer = LineWriter(writer_fd)
    writer.write(b"one\n")
    writer.write(b"two\n")
    assert writer.has_pending
    writer.flush()
    assert os.read(reader, 100) == b"one\ntwo\n"
    writer.status("connected", "to “here”")
    assert os.read(reader, 100).decode() == '{"type": "status", "state": "connected", "detail": "to “here”"}\n'
    os.close(reader)
    os.close(writer_fd)


def test_a_large_batch_leaves_without_being_told_and_in_full() -> None:
    reader, writer_fd = os.pipe()
    received = bytearray()

    def drain() -> None:
        while data := os.read(reader, 1000):
            received.extend(data)

    thread = threading.Thread(target=drain)
    thread.start()
    os.set_blocking(writer_fd, False)  # as another process that shares the pipe may do
    writer = LineWriter(writer_fd)
    line = b"x" * 99 + b"\n"
    for _ in range(BATCH_BYTES // len(line) * 5):
        writer.write(line)
    writer.flush()
    os.close(writer_fd)
    thread.join()
    os.close(reader)
    assert received == line * (BATCH_BYTES // len(line) * 5)


def test_a_reader_that_is_gone_is_told_apart() -> None:
    reader, writer_fd = os.pipe()
    os.close(reader)
    with pytest.raises(OutputClosedError):
        LineWriter(writer_fd).status("connected", "nobody listens")
    os.close(writer_fd)

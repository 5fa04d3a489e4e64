"""Time stamps: every accepted form to the nanosecond, New York's clock changes, and what is refused."""

from __future__ import annotations

import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import parsers
import pytest
import strategies
from hypothesis import event, given
from hypothesis import strategies as st
from parsers import Parser

from finstream.new_york_offsets import NEW_YORK_OFFSETS

SECOND_NS = 1_000_000_000
END_S = 7_258_118_400
NEW_YORK = ZoneInfo("America/New_York")
BOTH = (parsers.native, parsers.by_twin)


def line(written: bytes) -> bytes:
    return b'{"symbol":"A","price":1,"ts":' + written + b"}"


def is_read_as(parse: Parser, written: bytes, ns: int) -> bool:
    """Messages tell microseconds only; that no bound is broken with both at zero tells the rest."""
    return parse(line(written), received_ns=ns, future_ms=0, max_age_ms=0)[0] == "tick"


def is_invalid(parse: Parser, written: bytes) -> bool:
    return parse(line(written)) == ("rejected", b"invalid_timestamp")


@pytest.mark.parametrize("quote", [b"", b'"'])
@pytest.mark.parametrize(
    ("written", "ns"),
    [
        (b"0", 0), (b"-0", 0), (b"0.0", 0), (b"1", SECOND_NS), (b"1716230000", 1716230000 * SECOND_NS),
        (b"1716230000.123456", 1716230000123456000), (b"1716230000.123456789", 1716230000123456789),
        (b"1716230000.1234567899", 1716230000123456789), (b"1716230000.000000000999999", 1716230000000000000),
        (b"0.000000001", 1), (b"0.0000000019", 1), (b"-0.0000000009", 0), (b"-1e-10", 0), (b"1e-9", 1),
        (b"1e-999999999999", 0), (b"0e999999999999", 0), (b"1.71623e9", 1716230000 * SECOND_NS),
        (b"171623e4", 1716230000 * SECOND_NS), (b"1716230000123e0", 1716230000123000000),
        (b"17162300001230e-1", 1716230000123000000), (b"1.716230000123456789E18", 1716230000123456789),
        (b"1716230000123", 1716230000123000000), (b"1716230000123.456789", 1716230000123456789),
        (b"1716230000123.4567899", 1716230000123456789), (b"1716230000123456", 1716230000123456000),
        (b"1716230000123456.789", 1716230000123456789), (b"1716230000123456789", 1716230000123456789),
        (b"1716230000123456789.999", 1716230000123456789), (b"7258118399", (END_S - 1) * SECOND_NS),
        (b"7258118399.999999999999", END_S * SECOND_NS - 1),
        # where one unit ends and the next begins
        (b"100000000000", 100_000_000 * SECOND_NS), (b"100000000000000", 100_000_000 * SECOND_NS),
        (b"100000000000000000", 100_000_000 * SECOND_NS), (b"7258118399999", END_S * SECOND_NS - 1_000_000),
        (b"7258118399999999", END_S * SECOND_NS - 1_000), (b"7258118399999999999", END_S * SECOND_NS - 1),
    ],
)
def test_numbers(parse: Parser, quote: bytes, written: bytes, ns: int) -> None:
    assert is_read_as(parse, quote + written + quote, ns)


@pytest.mark.parametrize("quote", [b"", b'"'])
@pytest.mark.parametrize(
    "written",
    [
        b"-1", b"-0.000000001", b"-1716230000", b"7258118400", b"99999999999", b"99999999999.999", b"99999999999999",
        b"7258118400000", b"7258118400000000", b"99999999999999999", b"7258118400000000000", b"9223372036854775807",
        b"9223372036854775808", b"18446744073709551616", b"18446744075425781616", b"1e18446744073709551616", b"1e19",
        b"1e999999", b"-1e999999", b"9" * 5000, b"1" + b"0" * 20000,
    ],
)
def test_numbers_out_of_range(parse: Parser, quote: bytes, written: bytes) -> None:
    assert is_invalid(parse, quote + written + quote)


MAY_20_NS = 1716230000 * SECOND_NS  # 2024-05-20T18:33:20Z


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("2024-05-20T18:33:20.123Z", MAY_20_NS + 123_000_000), ("2024-05-20 14:33:20-04:00", MAY_20_NS),
        ("20240520T183320Z", MAY_20_NS), ("2024-05-20T14:33:20", MAY_20_NS), ("20240520 143320", MAY_20_NS),
        ("2024-05-20t18:33:20z", MAY_20_NS), ("20240520t183320z", MAY_20_NS),
        ("2024-05-20T18:33Z", MAY_20_NS - 20 * SECOND_NS), ("20240520T1833Z", MAY_20_NS - 20 * SECOND_NS),
        ("2024-05-20T14:33", MAY_20_NS - 20 * SECOND_NS), ("20240520T1433", MAY_20_NS - 20 * SECOND_NS),
        ("20240520T1433-04", MAY_20_NS - 20 * SECOND_NS), ("20240520T1433-0400", MAY_20_NS - 20 * SECOND_NS),
        ("2024-05-20T18:33:20+00", MAY_20_NS), ("2024-05-20T18:33:20+0000", MAY_20_NS),
        ("2024-05-20T18:33:20-00:00", MAY_20_NS), ("20240521T000320+05:30", MAY_20_NS),
        ("2024-05-21T18:32:20+23:59", MAY_20_NS), ("2024-05-19T18:34:20-2359", MAY_20_NS),
        ("2024-05-20T18:33:20,5Z", MAY_20_NS + 500_000_000), ("20240520T183320.000000001Z", MAY_20_NS + 1),
        ("2024-05-20T18:33:20.999999999999999999999999999999Z", MAY_20_NS + 999_999_999),
        ("2024-05-20T18:33:20.0000000009Z", MAY_20_NS), ("2024-05-20T14:33:20.123456", MAY_20_NS + 123_456_000),
        # leap seconds, leap days, the ends of the range
        ("2024-05-20T18:33:60Z", MAY_20_NS + 40 * SECOND_NS), ("2016-12-31T23:59:60Z", 1483228800 * SECOND_NS),
        ("2016-12-31T23:59:60.5Z", 1483228800 * SECOND_NS + 500_000_000), ("20161231T185960", 1483228800 * SECOND_NS),
        ("2024-02-29T00:00Z", 1709164800 * SECOND_NS), ("2000-02-29T00:00Z", 951782400 * SECOND_NS),
        ("1970-01-01T00:00Z", 0), ("1970-01-01T01:00+01:00", 0), ("1970-01-01T00:00-00:01", 60 * SECOND_NS),
        ("2199-12-31T23:59:59.999999999Z", END_S * SECOND_NS - 1), ("2199-12-31T18:59:59", (END_S - 1) * SECOND_NS),
        ("1970-01-01T00:00", 5 * 3600 * SECOND_NS),
        # a date without dashes alone is a number, that is, seconds
        ("20240520", 20240520 * SECOND_NS),
    ],
)
def test_iso_8601(parse: Parser, written: str, ns: int) -> None:
    assert is_read_as(parse, b'"%s"' % written.encode(), ns)
    escaped = "".join(f"\\u{ord(character):04x}" for character in written)
    assert is_read_as(parse, b'"%s"' % escaped.encode(), ns)


@pytest.mark.parametrize(
    "written",
    [
        "2024-05-20", "2024-05-20T", "2024-05-20T18", "2024-05-20T18Z", "2024-05-20T18:3", "2024-05-20T18:33:2",
        "2024-05-20T18:33:", "2024-05-20T18:33:20.", "2024-05-20T18:33:20.Z", "2024-05-20T18:33:20." + "1" * 31,
        "2024-05-20T18:33.5Z", "2024-05-20T18:33:20.1.2Z", "20240520T18:33:20Z", "2024-05-20T183320Z",
        "2024-0520T18:33:20Z", "202405-20T18:33:20Z", "20240520T1833:20Z", "20240520T18:3320Z", "2024-05-20T18:3320Z",
        "2024-05-20T1833:20Z", "2024-05-20_18:33:20Z", "2024-05-20  18:33:20Z", " 2024-05-20T18:33:20Z",
        "2024-05-20T18:33:20Z ", "2024-05-20T18:33:20 Z", "2024-05-20T18:33:20ZZ", "2024-05-20T18:33:20Zx",
        "2024-05-20T18:33:20+", "2024-05-20T18:33:20+0", "2024-05-20T18:33:20+04:", "2024-05-20T18:33:20+04:0",
        "2024-05-20T18:33:20+4:00", "2024-05-20T18:33:20+040", "2024-05-20T18:33:20+24:00", "2024-05-20T18:33:20+04:60",
        "2024-05-20T18:33:20+04:00:00", "2024-05-20T18:33:20UTC", "2024-05-20T18:33:20 America/New_York",
        "2024-05-20T24:00:00Z", "2024-05-20T18:60:00Z", "2024-05-20T18:33:61Z", "2024-05-20T18:33:99Z",
        "2024-13-20T18:33:20Z", "2024-00-20T18:33:20Z", "2024-05-32T18:33:20Z", "2024-05-00T18:33:20Z",
        "2024-04-31T18:33:20Z", "2023-02-29T18:33:20Z", "2100-02-29T00:00:00Z", "1969-12-31T23:59:59Z",
        "1969-12-31T23:59:60Z", "1969-12-31T20:00-04:00", "1970-01-01T00:00+00:01", "1970-01-01T00:59:59+01:00",
        "2200-01-01T00:00Z", "2199-12-31T23:59:60Z", "2199-12-31T23:59-00:01", "2199-12-31T19:00",
        "2199-12-31T18:59:60", "2200-01-01T00:00+23:59", "0000-01-01T00:00Z", "9999-12-31T23:59:59Z",
        "24-05-20T18:33:20Z", "12024-05-20T18:33:20Z", "+2024-05-20T18:33:20Z", "-2024-05-20T18:33:20Z",
        "2024-W21-1T18:33:20Z", "2024-141T18:33:20Z", "2024/05/20 18:33:20", "May 20, 2024", "٢٠٢٤-05-20T18:33:20Z",
        "2024‐05‐20T18:33:20Z", "2024-05-20T18:33:20−04:00", "T18:33:20Z", "Z", "-", "+", ".", "1716230000 ",
        " 1716230000", "+1716230000", "1716230000.", ".5", "01716230000", "0x664b", "1_716_230_000", "1716230000Z",
        "1716230000s", "NaN", "Infinity", "2024-05-20T18:33:20\\u0000", "2024-05-20T18:33:20Z\\u0000",
        "1716230000\\u0000", "1e", "", "2024-05-20T18:33:20\\n", "2024-05-20T18:33:20-", "20240520T183320.5.5",
        "2024-05-20T18:33:20.5,5", "2024-05-20T18:33:20Z+00",
    ],
)
def test_refused_texts(parse: Parser, written: str) -> None:
    assert is_invalid(parse, b'"%s"' % written.encode())


@pytest.mark.parametrize("cut", range(1, len("2024-05-20T18:33:20.123456789-04:00")))
def test_every_beginning_of_an_iso_text_is_judged_alike(cut: int) -> None:
    written = b'"%s"' % b"2024-05-20T18:33:20.123456789-04:00"[:cut]
    assert parsers.native(line(written)) == parsers.by_twin(line(written))


@given(
    ns=st.one_of(st.integers(0, END_S * SECOND_NS - 1), st.integers(10**17 - 10**10, 10**17 + 10**10)),
    digits=st.integers(0, 30),
)
@strategies.examples(300)
def test_numbers_are_cut_not_rounded(ns: int, digits: int) -> None:
    """Against exact fractions, in every unit whose magnitude the number has."""
    for unit, limits in ((9, (0, 10**11)), (6, (10**11, 10**14)), (3, (10**14, 10**17)), (0, (10**17, 10**20))):
        exact = Fraction(ns, 10**unit)
        if not limits[0] <= int(exact) < limits[1]:
            continue
        scaled = int(exact * 10**digits)
        text = f"{scaled // 10**digits}" + (f".{scaled % 10**digits:0{digits}d}" if digits else "")
        event(f"unit {unit}")
        expected = int(Fraction(scaled, 10**digits) * 10**unit)
        for parse in BOTH:
            assert is_read_as(parse, text.encode(), expected)


@given(text=strategies.timestamp_texts())
@strategies.examples(400)
def test_native_agrees_with_its_twin_on_good_texts(text: str) -> None:
    written = b'"%s"' % text.encode()
    both = [parse(line(written)) for parse in BOTH]
    assert both[0] == both[1]
    assert both[0][0] == "tick"


@given(
    text=st.one_of(
        st.from_regex(
            r"\A[0-9]{3,5}-?[0-9]{1,3}-?[0-9]{1,3}[Tt _]?[0-9]{1,3}:?[0-9]{1,3}(:?[0-9]{0,3}([.,][0-9]{0,31})?)?"
            r"([Zz]|[+-][0-9]{0,4}:?[0-9]{0,3})?\Z"
        ),
        st.text("0123456789-:.,TZ +e", max_size=30),
    )
)
@strategies.examples(400)
def test_native_agrees_with_its_twin_on_doubtful_texts(text: str) -> None:
    written = b'"%s"' % text.encode()
    assert parsers.native(line(written)) == parsers.by_twin(line(written))


# --- New York ---


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        # 2024-03-10, 02:00 to 03:00 does not exist: read with the offset before the change
        ("2024-03-10T01:59:59", "2024-03-10T06:59:59"), ("2024-03-10T02:00:00", "2024-03-10T07:00:00"),
        ("2024-03-10T02:30:00", "2024-03-10T07:30:00"), ("2024-03-10T02:59:59", "2024-03-10T07:59:59"),
        ("2024-03-10T03:00:00", "2024-03-10T07:00:00"), ("2024-03-10T01:59:60", "2024-03-10T07:00:00"),
        # 2024-11-03, 01:00 to 02:00 comes twice: the first
        ("2024-11-03T00:59:59", "2024-11-03T04:59:59"), ("2024-11-03T01:00:00", "2024-11-03T05:00:00"),
        ("2024-11-03T01:30:00", "2024-11-03T05:30:00"), ("2024-11-03T01:59:59", "2024-11-03T05:59:59"),
        ("2024-11-03T02:00:00", "2024-11-03T07:00:00"),
        # years with rules of their own
        ("1974-01-06T02:30:00", "1974-01-06T07:30:00"), ("1974-01-06T03:00:00", "1974-01-06T07:00:00"),
        ("1975-02-23T02:00:00", "1975-02-23T07:00:00"), ("2006-04-02T02:30:00", "2006-04-02T07:30:00"),
        ("2007-03-11T03:00:00", "2007-03-11T07:00:00"), ("2199-07-01T12:00:00", "2199-07-01T16:00:00"),
    ],
)
def test_new_york_time(parse: Parser, written: str, utc: str) -> None:
    ns = int(datetime.datetime.fromisoformat(utc + "+00:00").timestamp()) * SECOND_NS
    assert is_read_as(parse, b'"%s"' % written.encode(), ns)


def test_every_change_of_new_yorks_clock() -> None:
    """Around each change, to the second, both sides and both edges; against the zone database."""
    assert len(NEW_YORK_OFFSETS) > 2 * 228
    for at, _offset in NEW_YORK_OFFSETS[1 :: max(1, int(1 / strategies.EFFORT))]:
        change = datetime.datetime.fromtimestamp(at, NEW_YORK).replace(tzinfo=None)
        for distance in (-7200, -3601, -3600, -3599, -1, 0, 1, 1800, 3599, 3600, 3601, 7200):
            wall = change + datetime.timedelta(seconds=distance)
            seconds = wall.replace(tzinfo=NEW_YORK).timestamp()
            assert is_read_as(parsers.native, b'"%s"' % wall.isoformat().encode(), int(seconds) * SECOND_NS), wall


@given(wall=st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2199, 12, 31, 18)))
@strategies.examples(300)
def test_any_time_in_new_york(wall: datetime.datetime) -> None:
    since_epoch = wall.replace(tzinfo=NEW_YORK, fold=0) - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    ns = since_epoch // datetime.timedelta(microseconds=1) * 1000
    for form in (wall.isoformat(), wall.isoformat(" "), f"{wall:%Y%m%dT%H%M%S.%f}"):
        for parse in BOTH:
            assert is_read_as(parse, b'"%s"' % form.encode(), ns)

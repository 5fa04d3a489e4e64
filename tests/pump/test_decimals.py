"""Prices and sizes: exact, canonical, and refused when they do not fit."""

from __future__ import annotations

import decimal
import json
import re
from decimal import Decimal

import parsers
import pytest
import strategies
from hypothesis import example, given
from hypothesis import strategies as st
from parsers import Parser
from twin import LARGEST_MANTISSA, LARGEST_SCALE

EXACT = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


def volume(parse: Parser, written: bytes) -> str:
    """The canonical text that comes out, or the reason why none does."""
    kind, text = parse(b'{"symbol":"A","price":1,"ts":1,"volume":' + written + b"}")
    return text.decode() if kind == "rejected" else json.loads(text)["volume"]


@pytest.mark.parametrize("quote", [b"", b'"'])
@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("0", "0"), ("-0", "0"), ("0.0", "0"), ("-0.000", "0"), ("0e5", "0"), ("0E-5", "0"),
        ("0e99999999999999999999", "0"), ("-0.0e-99999999999999999999", "0"), ("0." + "0" * 5000, "0"), ("1", "1"),
        ("1.50", "1.5"), ("1.0", "1"), ("100", "100"), ("100.00", "100"), ("0.10", "0.1"), ("10.010", "10.01"),
        ("2e3", "2000"), ("2E+3", "2000"), ("2e-3", "0.002"), ("2.5e0", "2.5"), ("2.50e1", "25"), ("25e-1", "2.5"),
        ("6.712345e4", "67123.45"), ("1e0000000003", "1000"), ("1e-0000000003", "0.001"), ("0.001e3", "1"),
        ("67123.45", "67123.45"), ("0.00000001", "0.00000001"), ("123456789.987654321", "123456789.987654321"),
        ("9999999999999999999", "9999999999999999999"), ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "18446744073709551616"), ("184467440737095516.15", "184467440737095516.15"),
        ("99999999999999999999", "99999999999999999999"), ("0.9999999999999999999", "0.9999999999999999999"),
        ("1844674407370955161500000000000000000000e-20", "18446744073709551615"),
        ("79228162514264337593543950335", "79228162514264337593543950335"),
        ("7.9228162514264337593543950335", "7.9228162514264337593543950335"),
        ("79228162514264337593543950335e-28", "7.9228162514264337593543950335"),
        ("79228162514264337593543950335.000", "79228162514264337593543950335"),
        ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
        ("1e-28", "0.0000000000000000000000000001"), ("1e28", "1" + "0" * 28), ("7e28", "7" + "0" * 28),
        ("10e-29", "0.0000000000000000000000000001"),
        ("0.00000000000000000000000000010", "0.0000000000000000000000000001"), ("1" + "0" * 40 + "e-40", "1"),
        ("0." + "0" * 40 + "1e41", "1"), ("1" + "0" * 30000 + "e-30000", "1"), ("1." + "0" * 30000, "1"),
        ("0." + "0" * 30000 + "12e30001", "1.2"), ("1" + "0" * 30000 + ".0e-30001", "0.1"),
        ("1e28", "10000000000000000000000000000"),
    ],
)
def test_canonical_text(parse: Parser, quote: bytes, written: str, canonical: str) -> None:
    assert volume(parse, quote + written.encode() + quote) == canonical


@pytest.mark.parametrize("member", ["price", "volume", "size", "bid", "bid_price", "bid_size", "ask_volume"])
def test_every_decimal_member_is_read_the_same_way(parse: Parser, member: str) -> None:
    names = {"size": "volume", "bid": "bid_price", "bid_size": "bid_volume"}
    others = b"" if member == "price" else b'"price":1,'
    for written in (b"001", b"1e28", b"1e29", b'"0.50"', b'"0.5', b'"\\u0031\\u002e50"'):
        kind, text = parse(b'{"symbol":"A","ts":1,%s"%s":%s}' % (others, member.encode(), written))
        got = text.decode() if kind == "rejected" else json.loads(text)[names.get(member, member)]
        assert got == {b'"0.5': "not_json", b"001": "not_json"}.get(written, volume(parse, written))


@given(text=strategies.decimal_texts())
@example(text=str(LARGEST_MANTISSA))
@strategies.examples(300)
def test_what_fits_comes_out_exactly(text: str) -> None:
    canonical = canonical_by_decimal(text)
    for parse in (parsers.native, parsers.by_twin):
        for written in (text.encode(), b'"%s"' % text.encode()):
            assert volume(parse, written) == canonical


@given(
    mantissa=st.one_of(
        st.integers(LARGEST_MANTISSA - 1000, LARGEST_MANTISSA + 1000), st.integers(10**27, 10**31), st.integers(0,
        10**40),
        st.integers(2**64 - 100, 2**64 + 100), st.integers(0, 9).map(lambda digit: LARGEST_MANTISSA // 10 * 10 + digit),
    ),
    exponent=st.one_of(st.integers(-31, 3), st.integers(-60, 60)),
    zeros=st.sampled_from([0, 0, 1, 12, 200]),
)
@example(mantissa=LARGEST_MANTISSA, exponent=-LARGEST_SCALE, zeros=0)
@example(mantissa=LARGEST_MANTISSA + 1, exponent=0, zeros=0)
@example(mantissa=1, exponent=-LARGEST_SCALE - 1, zeros=0)
@strategies.examples(300)
def test_the_edge_of_what_fits(mantissa: int, exponent: int, zeros: int) -> None:
    text = f"{mantissa}{'0' * zeros if mantissa else ''}e{exponent - zeros}"
    expected = canonical_by_decimal(text) if fits(text) else "decimal_out_of_range"
    for parse in (parsers.native, parsers.by_twin):
        assert volume(parse, text.encode()) == expected


@given(
    text=st.one_of(
        st.text("0123456789.eE+-", max_size=12),
        st.from_regex(r"\A-?[0-9]{1,3}(\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?\Z"),
    )
)
@strategies.examples(300)
def test_the_grammar_is_that_of_json(text: str) -> None:
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
        expected = "invalid_decimal"
    elif not fits(text):
        expected = "decimal_out_of_range"
    else:
        expected = canonical_by_decimal(text)
        if expected.startswith("-"):
            expected = "negative_value"
    for parse in (parsers.native, parsers.by_twin):
        assert volume(parse, b'"%s"' % text.encode()) == expected


def fits(text: str) -> bool:
    """By the definition, with numbers of any size."""
    value = EXACT.create_decimal(text)
    if not value:
        return True
    if not -100 < value.adjusted() < 100:
        return False
    numerator, denominator = value.copy_abs().as_integer_ratio()
    scale = next((scale for scale in range(LARGEST_SCALE + 1) if numerator * 10**scale % denominator == 0), None)
    return scale is not None and numerator * 10**scale // denominator <= LARGEST_MANTISSA


def canonical_by_decimal(text: str) -> str:
    value = EXACT.create_decimal(text)
    canonical = f"{value:f}" if value else "0"
    return canonical.rstrip("0").rstrip(".") if "." in canonical else canonical


def test_the_judge_judges() -> None:
    assert fits("79228162514264337593543950335")
    assert not fits("79228162514264337593543950336")
    assert not fits("1e-29")
    assert [canonical_by_decimal(text) for text in ("1.50", "-0.0", "2e3", "25e-1")] == ["1.5", "0", "2000", "2.5"]
    assert Decimal(canonical_by_decimal("123.4500e1")) == Decimal("1234.5")

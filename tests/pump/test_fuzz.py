"""The fuzzer with a fixed number of inputs, the same ones each time."""

from __future__ import annotations

import random

import fuzz
import mutations
import parsers
import pytest
import rejected
import trio


def test_ten_thousand_inputs_are_read_alike() -> None:
    outcomes = fuzz.run(1, 10_000)
    assert outcomes.total() == 10_000
    # The fuzzer is of use only while its inputs are neither all good nor all garbage.
    assert outcomes["tick"] > 500
    assert outcomes["opaque"] > 50
    assert outcomes["not_json"] < 6_000
    assert {reason for reason in rejected.REJECTED if outcomes[reason] < 10} == {"unterminated_line"}


def test_mutations_are_the_same_for_the_same_seed() -> None:
    seeds = fuzz.seeds()
    once = [mutations.mutate(random.Random(number), seeds[0], seeds) for number in range(100)]
    again = [mutations.mutate(random.Random(number), seeds[0], seeds) for number in range(100)]
    assert once == again
    assert len(set(once)) > 80


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the native parser to read but one thing differently, the fuzzer would say so."""
    honest = parsers.by_twin

    def forgetful(line: bytes, **settings: object) -> tuple[str, bytes]:
        kind, text = honest(line, **settings)  # type: ignore[arg-type]
        return ("tick", b"{}") if text == b"price_not_positive" else (kind, text)

    monkeypatch.setattr(parsers, "by_twin", forgetful)
    with pytest.raises(fuzz.Difference, match="price_not_positive"):
        fuzz.run(1, 3000)


async def test_a_difference_in_the_pump_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = fuzz.expected_of
    good = b'{"symbol":"A","price":1,"ts":1}\n' * 10
    await fuzz.compare_pump(random.Random(1), good)
    monkeypatch.setattr(fuzz, "expected_of", lambda stream: honest(stream.replace(b'"price":1', b'"price":2', 1)))
    with pytest.raises(BaseExceptionGroup) as raised, trio.fail_after(30):
        await fuzz.compare_pump(random.Random(1), good)
    assert raised.group_contains(fuzz.Difference)

"""Losses are told exactly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finstream_client import Choices, Gap, Lost
from finstream_client._sequence import SequenceCheck

PLAIN = Choices()


def check_of(*topics: str) -> SequenceCheck:
    check = SequenceCheck()
    check.add(topics, PLAIN)
    return check


def feed(check: SequenceCheck, *numbers: int) -> list[tuple[int, int]]:
    return [(lost.first_seq, lost.last_seq) for seq in numbers for lost in check.missing("a", seq)]


def gap(first: int, last: int) -> Gap:
    return Gap(topic="a", asset="a", first_seq=first, last_seq=last, count=last - first + 1)


def test_it_begins_anywhere() -> None:
    assert feed(check_of("a"), 1000, 1001) == []


def test_what_is_missing() -> None:
    check = check_of("a")
    feed(check, 1)
    assert list(check.missing("a", 5)) == [Lost(asset="a", first_seq=2, last_seq=4, count=3)]
    assert feed(check, 6, 8) == [(7, 7)]


def test_numbers_that_go_back_are_not_lost() -> None:
    assert feed(check_of("a"), 5, 5, 3, 6) == []


def test_what_a_gap_told_is_not_told_twice() -> None:
    check = check_of("a")
    feed(check, 1)
    check.told(gap(3, 4))
    check.told(gap(7, 9))
    assert feed(check, 11) == [(2, 2), (5, 6), (10, 10)]


def test_single_symbols_and_merged_topics_are_not_checked() -> None:
    check = check_of("a:X", "b")
    check.add(["b"], Choices("conflate"))
    check.add(["c"], Choices(max_rate=1.0))
    check.told(gap(1, 2))
    assert check.last == {}


def test_what_is_kept() -> None:
    check = check_of("a", "b")
    feed(check, 7)
    check.keep_only(["a", "c"])
    assert check.last == {"a": 7}
    check.add(["a"], PLAIN)
    assert check.last == {"a": 7}
    check.forget()
    assert check.last == {}


@given(st.sets(st.integers(2, 60)), st.lists(st.tuples(st.integers(2, 60), st.integers(0, 10)), max_size=4))
def test_every_missing_number_is_told_once(came: set[int], gaps: list[tuple[int, int]]) -> None:
    check = check_of("a")
    feed(check, 1)
    told: list[int] = []
    skipped = {number for first, more in gaps for number in range(first, first + more + 1)}
    for first, more in gaps:
        check.told(gap(first, first + more))
    delivered = sorted(came - skipped) + [100]
    # Gaps are told before the first message that follows: here all before the first.
    for lost in check.missing("a", delivered[0]):
        told += range(lost.first_seq, lost.last_seq + 1)
    assert told == [number for number in range(2, delivered[0]) if number not in skipped]

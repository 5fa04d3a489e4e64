from __future__ import annotations

from finstream.token_bucket import TokenBucket


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_refills_but_not_beyond_its_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, 4.0, clock)
    assert [bucket.take() for _ in range(5)] == [True, True, True, True, False]
    clock.now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now = 1000.0
    assert [bucket.take() for _ in range(5)] == [True, True, True, True, False]


def test_looking_into_it_takes_nothing() -> None:
    clock = Clock()
    bucket = TokenBucket(1.0, 1.0, clock)
    assert [bucket.is_empty(), bucket.is_empty(), bucket.take(), bucket.is_empty()] == [False, False, True, True]
    clock.now = 1.0
    assert not bucket.is_empty()

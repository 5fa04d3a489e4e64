import subprocess

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.histogram import Histogram, bucket_bounds, bucket_of, merge
from bench.toolchain import Tools

values = st.one_of(st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 2**63 - 1))


def recorded(numbers: list[int]) -> Histogram:
    """A histogram made in Python, from the definition."""
    buckets: dict[int, int] = {}
    for number in numbers:
        buckets[bucket_of(number)] = buckets.get(bucket_of(number), 0) + 1
    return Histogram(
        count=len(numbers),
        min_ns=min(numbers, default=0),
        max_ns=max(numbers, default=0),
        buckets=sorted(buckets.items()),
    )


def recorded_in_c(tools: Tools, numbers: list[int]) -> Histogram:
    text = "".join(f"{number}\n" for number in numbers)
    done = subprocess.run([tools.histogram_check], input=text, capture_output=True, text=True, check=True)
    return msgspec.json.decode(done.stdout, type=Histogram)


@given(values)
def test_bucket_holds_its_value_and_is_narrow(value: int) -> None:
    least, greatest = bucket_bounds(bucket_of(value))
    assert least <= value <= greatest
    assert greatest - least <= least / 64


@given(st.integers(0, 3700))
def test_buckets_follow_each_other_without_a_gap(bucket: int) -> None:
    assert bucket_bounds(bucket + 1)[0] == bucket_bounds(bucket)[1] + 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 10**9), st.integers(0, 2**40)), max_size=200))
def test_c_and_python_agree(tools: Tools, numbers: list[int]) -> None:
    assert recorded_in_c(tools, numbers) == recorded(numbers)


def test_the_greatest_value_has_a_bucket(tools: Tools) -> None:
    greatest = 2**63 - 1
    assert recorded_in_c(tools, [greatest]) == recorded([greatest])


def test_negative_values_are_told_apart(tools: Tools) -> None:
    histogram = recorded_in_c(tools, [-5, 7, -1])
    assert (histogram.count, histogram.negative, histogram.min_ns, histogram.max_ns) == (3, 2, 0, 7)


@given(st.lists(values, min_size=1, max_size=300), st.sampled_from([0.1, 1, 50, 90, 99, 99.9, 100]))
def test_percentile_is_the_bucket_of_the_true_one(numbers: list[int], percent: float) -> None:
    rank = max(1, -(-len(numbers) * percent // 100))
    true = sorted(numbers)[int(rank) - 1]
    found = recorded(numbers).percentile(percent)
    assert bucket_of(int(found)) == bucket_of(true)
    assert true <= found <= max(numbers)


def test_no_values_have_no_percentile() -> None:
    assert Histogram().percentile(50) != Histogram().percentile(50)  # NaN


@given(st.lists(st.lists(values, max_size=50), max_size=5))
def test_merging_is_recording_all(lists: list[list[int]]) -> None:
    assert merge(recorded(numbers) for numbers in lists) == recorded([n for numbers in lists for n in numbers])


def test_curve_ends_at_the_maximum() -> None:
    curve = recorded([100, 200, 300, 400]).curve()
    assert [below for below, _ in curve] == [0.0, 25.0, 50.0, 75.0]
    assert curve[-1][1] == 400

from pathlib import Path
from typing import Any

import pytest

from bench.histogram import Histogram
from bench.results import (
    FORMAT,
    Measurement,
    Results,
    Spread,
    load_results,
    merge_results,
    ratios,
    save_results,
    spread,
    spread_of,
)


def measured(system: str, repeat: int, value: float | None, **more: Any) -> Measurement:
    values = {} if value is None else {"x": value}
    return Measurement(scenario="s", point="p", system=system, repeat=repeat, values=values, **more)


def test_spread_is_median_and_range() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert spread([1.0, float("nan")]) == Spread(1.0, 1.0, 1.0, 1)
    assert spread([]) is None


def test_ratios_are_made_repeat_by_repeat() -> None:
    base = [measured("a", 0, 10.0), measured("a", 1, 100.0), measured("a", 2, None)]
    other = [measured("b", 0, 20.0), measured("b", 1, 300.0), measured("b", 2, 5.0)]
    assert ratios(other, base, "x") == Spread(2.5, 2.0, 3.0, 2)
    assert ratios(other, [], "x") is None


def test_a_repeat_without_a_figure_does_not_count() -> None:
    assert spread_of([measured("a", 0, 1.0), measured("a", 1, None)], "x") == Spread(1.0, 1.0, 1.0, 1)


def test_disturbance_is_a_matter_of_foreign_cores() -> None:
    assert not measured("a", 0, 1.0, foreign_cores=0.2).disturbed
    assert measured("a", 0, 1.0, foreign_cores=0.4).disturbed


def test_what_is_saved_can_be_loaded(tmp_path: Path) -> None:
    results = Results(machine={"cpu": "x"}, systems={"a": {"work": "typed"}}, measurements=[measured("a", 0, 1.5)])
    results.measurements[0].histograms["write"] = Histogram(count=2, min_ns=5, max_ns=9, buckets=[(5, 1), (9, 1)])
    save_results(results, tmp_path / "deep" / "results.json")
    assert load_results(tmp_path / "deep" / "results.json") == results


@pytest.mark.parametrize("content", [b"{", b'{"format":"new"}', b"[]"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match="not a result file"):
        load_results(tmp_path / "x.json")


def test_another_format_is_refused(tmp_path: Path) -> None:
    save_results(Results(format=FORMAT + 1), tmp_path / "x.json")
    with pytest.raises(ValueError, match="run the benchmark again"):
        load_results(tmp_path / "x.json")


def test_merging_keeps_every_repeat_apart() -> None:
    one = Results(measurements=[measured("a", 0, 1.0), measured("a", 1, 2.0)], systems={"a": {}})
    two = Results(measurements=[measured("a", 0, 3.0), measured("b", 0, 4.0)], systems={"b": {}})
    merged = merge_results([one, two])
    assert [(m.system, m.repeat, m.values["x"]) for m in merged.measurements] == [
        ("a", 0, 1.0),
        ("a", 1, 2.0),
        ("a", 2, 3.0),
        ("b", 2, 4.0),
    ]
    assert list(merged.systems) == ["a", "b"]


def test_merging_tells_of_each_where_and_how_it_was_measured() -> None:
    several = [
        Results(machine={"cpu": "x", "when": when}, settings={"points": points}, left_out=left_out)
        for when, points, left_out in (("1", "a@b", {"y": "no"}), ("2", "c@d", {}), ("2", "a@b", {"z": "no"}))
    ]
    merged = merge_results(several)
    assert merged.machine == {"cpu": "x", "when": "1; 2"}
    assert merged.settings == {"points": "a@b; c@d"}
    assert merged.left_out == {"y": "no", "z": "no"}

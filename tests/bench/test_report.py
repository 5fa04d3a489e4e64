import io
import itertools
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.histogram import Histogram, bucket_of
from bench.report.charts import Line, LinePoint, bars, lines, percentiles
from bench.report.plotted import plotted
from bench.report.svg import log_axis, log_steps, short_number
from bench.report.table import print_report
from bench.results import Measurement, Results, Spread
from bench.scenarios import all_scenarios
from bench.scenarios.latency import plot_latency

SVG = "{http://www.w3.org/2000/svg}"
AWKWARD = 'a <b> & "c" [bold]d[/]'


def texts(document: str | None) -> list[str]:
    """Of a well-formed SVG document."""
    assert document is not None
    root = ElementTree.fromstring(document)
    assert root.tag == f"{SVG}svg"
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def latencies(*values_us: int) -> Histogram:
    # Up to 127 a bucket's number is its value, which is enough for a plot.
    return Histogram(count=len(values_us), min_ns=1, max_ns=100, buckets=[(value, 1) for value in sorted(values_us)])


def test_percentile_plot() -> None:
    document = percentiles(title=AWKWARD, curves={AWKWARD: latencies(50, 60, 100), "other": latencies(10, 20)})
    shown = texts(document)
    assert AWKWARD in shown
    assert {"0 %", "50 %", "90 %", "99 %"} <= set(shown)
    assert document is not None
    assert len(ElementTree.fromstring(document).findall(f"{SVG}polyline")) == 2 * 2  # each has a sample beside its name


@pytest.mark.parametrize("top", [True, False])
def test_a_plot_of_many_tells_them_apart_and_names_all_of_them(top: bool) -> None:
    names = [f"system-{i:02d}" for i in range(16)]
    figures = [
        LinePoint(1, Spread(1e6, 1e6, 1e6, 1)),
        LinePoint(10, Spread(1e6 if top else 1.0, 1.0, 1e6, 1)),
    ]  # all end at one place
    document = lines(title="t", x_title="x", y_title="y", drawn=[Line(name, figures) for name in names])
    assert document is not None
    root = ElementTree.fromstring(document)
    places = {element.text: float(element.attrib["y"]) for element in root.iter(f"{SVG}text") if element.text in names}
    heights = sorted(places.values())
    assert set(places) == set(names)
    assert all(0 < y < float(root.attrib["height"]) for y in heights)
    assert all(later - earlier > 20 for earlier, later in itertools.pairwise(heights))
    looks = {(line.attrib["stroke"], line.attrib.get("stroke-dasharray")) for line in root.findall(f"{SVG}polyline")}
    assert len(looks) == len(names)


def test_line_plot() -> None:
    points = [LinePoint(1, Spread(10, 8, 12, 3)), LinePoint(1000, Spread(2e6, 1e6, 3e6, 3))]
    shown = texts(lines(title="t", x_title="subscribers", y_title="deliveries/s", drawn=[Line(AWKWARD, points)]))
    assert {"1", "1,000", "subscribers", "deliveries/s", AWKWARD, "2M"} <= set(shown)


def test_bar_plot() -> None:
    shown = texts(bars(title="t", unit="ns", groups={"short": {"a": Spread(1234, 1, 2, 3)}, "long": {}}))
    assert {"short", "a", "1,234"} <= set(shown)
    assert "long" not in shown


@pytest.mark.parametrize(
    "document",
    [
        percentiles(title="t", curves={"a": Histogram()}),
        lines(title="t", x_title="x", y_title="y", drawn=[Line("a", [])]),
        bars(title="t", unit="u", groups={"g": {}}),
    ],
)
def test_nothing_measured_is_nothing_drawn(document: str | None) -> None:
    assert document is None


@given(st.floats(1e-6, 1e12), st.floats(1, 1e9))
def test_steps_enclose_their_range(least: float, factor: float) -> None:
    steps = log_steps(least, least * factor)
    assert steps[0] <= least
    assert steps[-1] >= least * factor
    assert steps == sorted(set(steps))
    assert len(steps) >= 2


@given(st.floats(0.5, 1e6), st.floats(0.5, 1e6))
def test_axis_keeps_the_order_and_the_frame(one: float, other: float) -> None:
    axis = log_axis(1.0, 1e5, 380.0, 50.0, [])
    low, high = sorted((one, other))
    assert 50.0 - 1e-6 <= axis.place(high) <= axis.place(low) <= 380.0 + 1e-6


def test_short_numbers() -> None:
    assert [short_number(n) for n in (0.5, 999, 1500, 25_000_000, 3e9)] == ["0.5", "999", "1.5k", "25M", "3G"]


def printed(results: Results) -> str:
    out = io.StringIO()
    print_report(Console(file=out, width=200), results)
    return out.getvalue()


def latency(system: str, repeat: int, p50: float, **more: Any) -> Measurement:
    return Measurement(scenario="latency", point="1", system=system, repeat=repeat, values={"p50_us": p50}, complete=True, **more)


def test_table_shows_medians_ranges_ratios_and_wholeness() -> None:
    results = Results(
        machine={"cpu": "a CPU"},
        systems={"one": {"work": "typed"}, "two": {"work": "relay", "lib": "1.2"}},
        measurements=[latency("one", 0, 40), latency("two", 0, 80), latency("one", 1, 50), latency("two", 1, 120)],
    )
    text = printed(results)
    assert "a CPU" in text
    assert "45 [40–50]" in text
    assert "2.20 [2.00–2.40]" in text
    assert "2/2" in text
    assert "(relay; lib 1.2)" in text


def test_table_tells_failures_losses_and_disturbance_as_they_are() -> None:
    failed = Measurement(scenario="latency", point="1", system="two", repeat=0, problem="it said [red]no[/red]")
    lossy = latency("one", 0, 40, problem="3 of 4 delivered", foreign_cores=1.0)
    lossy.complete = False
    text = printed(Results(systems={"one": {}, "two": {}}, left_out={"three": "not [here]"}, measurements=[lossy, failed]))
    assert "two: it said [red]no[/red]" in text
    assert "failed 1/1" in text
    assert "one: 3 of 4 delivered" in text
    assert "0/1" in text
    assert "disturbed by other programs in 1 of 1 repeats" in text
    assert "three left out: not [here]" in text


def test_medians_are_those_of_the_repeats_that_were_whole() -> None:
    rows = [latency("one", 0, 40), latency("one", 1, 50), latency("one", 2, 1000), latency("two", 2, 80)]
    rows[2].complete = False
    text = printed(Results(systems={"one": {}, "two": {}}, measurements=rows))
    assert "45 [40–50]" in text
    assert "2/3" in text


def histograms(ns: int) -> dict[str, Histogram]:
    return {"write": Histogram(count=1, min_ns=ns, max_ns=ns, buckets=[(bucket_of(ns), 1)])}


def test_a_plot_leaves_out_what_was_not_whole_and_says_so_and_who_was_disturbed() -> None:
    point = all_scenarios()["latency"].points[0]
    rows = [latency("one", i, 40, histograms=histograms(10_000)) for i in range(3)]
    rows += [latency("two", i, 40, histograms=histograms(10_000), foreign_cores=0.5 * (i == 1)) for i in range(3)]
    sound = plot_latency("latency", point, Results(measurements=rows[:3]))
    rows[2].complete = False
    rows[2].histograms = histograms(5_000_000)
    shown = texts(plot_latency("latency", point, Results(measurements=rows)))
    assert "left out, not whole: one 1 of 3; disturbed: two 1 of 3" in shown
    assert shown.count("p50 10 µs, p99 10 µs") == 2
    assert not any("left out" in text for text in texts(sound))


@pytest.mark.parametrize("plot", ["deliveries", "memory", "parse", "assets"])
def test_every_plot_over_points_leaves_out_what_was_not_whole(plot: str) -> None:
    (scenario,) = [s for s in all_scenarios().values() if plot in s.plots]
    values = {"deliveries_per_s": 7e6, "memory_mib": 7e6, "ns_per_tick": 7e6}
    rows = [
        Measurement(scenario=scenario.name, point=point.name, system=system, repeat=0, values=values, complete=system == "whole")
        for point in scenario.points
        for system in ("whole", "lossy")
    ]
    shown = texts(scenario.plots[plot](Results(measurements=rows)))
    count = len(scenario.points)
    assert "whole" in shown
    assert "lossy" not in shown
    assert any(text.endswith(f"left out, not whole: lossy {count} of {count}") for text in shown)
    assert scenario.plots[plot](Results(measurements=[row for row in rows if row.system == "lossy"])) is None


def test_a_note_of_many_systems_stays_short() -> None:
    rows = [latency(f"system-{i:02d}", 0, 40) for i in range(16)]
    for row in rows[1:]:
        row.complete = False
    assert plotted(Results(measurements=rows), "latency", ["1"]).note == "left out, not whole: 15 of 16 measurements"

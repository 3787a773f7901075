"""The summary of a trace's metrics: what each series amounts to, and how it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from otel_etw.layouts.items import Buckets, MetricPoint
from otel_etw.outputs.histograms import Picture
from otel_etw.outputs.metric_lines import bars, summary_lines
from otel_etw.outputs.metric_summary import MAX_STARTS, MetricSummary, Series

POINT = MetricPoint(
    10, "shop.orders", "sum", temporality="delta", is_monotonic=True, value=3, unit="{order}",
    description="Orders placed", attributes={"payment": "card"}, service_name="webshop", scope_name="shop",
)  # fmt: skip
HISTOGRAM = MetricPoint(
    10, "duration", "histogram", temporality="delta", unit="s", count=4, sum=10.0, min=1.0, max=4.0,
    explicit_bounds=(1, 2, 3), bucket_counts=(1, 0, 1, 2), service_name="webshop",
)  # fmt: skip


def summary_of(*points: MetricPoint) -> MetricSummary:
    summary = MetricSummary()
    for point in points:
        summary.add(point)
    return summary


def only_series(*points: MetricPoint) -> Series:
    (metric,) = summary_of(*points)
    (series,) = metric.series.values()
    return series


def text_of(
    *points: MetricPoint, unicode: bool = True, wide: bool = False, width: int | None = None
) -> list[str]:
    lines = summary_lines(summary_of(*points), unicode=unicode, wide=wide, width=width)
    return ["".join(text for text, _ in spans).rstrip() for spans in lines]


def test_delta_sums_add_up_over_the_file() -> None:
    """In whatever order they come."""
    series = only_series(POINT, replace(POINT, time_unix_nano=5, value=4), replace(POINT, value=0.5))
    assert series.value == 7.5
    assert series.points == 3


def test_cumulative_sums_and_gauges_have_their_latest_value() -> None:
    """Latest by time, not by place in the file."""
    cumulative = replace(POINT, temporality="cumulative")
    gauge = replace(POINT, kind="gauge", temporality=None, is_monotonic=None)
    for point in (cumulative, gauge):
        later = replace(point, time_unix_nano=20, value=9)
        series = only_series(point, later, replace(point, time_unix_nano=15, value=1))
        assert series.value == 9
        assert (series.lowest, series.highest) == (1, 9)


def test_delta_histograms_merge_and_cumulative_ones_replace() -> None:
    """The count tells: all of them, or the latest."""
    merged = only_series(HISTOGRAM, HISTOGRAM).histogram
    assert merged is not None
    assert (merged.count, merged.sum) == (8, 20.0)
    cumulative = replace(HISTOGRAM, temporality="cumulative")
    later = replace(cumulative, time_unix_nano=11, count=5, bucket_counts=(1, 1, 1, 2))
    latest = only_series(cumulative, later, replace(cumulative, time_unix_nano=3)).histogram
    assert latest is not None
    assert latest.count == 5


def test_delta_histograms_of_other_bounds_stay_apart() -> None:
    """Counts between different bounds do not add up."""
    (metric,) = summary_of(HISTOGRAM, replace(HISTOGRAM, explicit_bounds=(1, 2, 4)))
    assert len(metric.series) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "ms"},
        {"kind": "gauge"},
        {"temporality": "cumulative"},
        {"is_monotonic": False},
        {"service_name": "other"},
        {"service_instance_id": "2"},
        {"scope_name": "other"},
        {"scope_version": "2"},
    ],
)
def test_metrics_differ_by_everything_that_makes_values_incomparable(change: dict[str, object]) -> None:
    """Equal names alone do not make one metric."""
    assert len(summary_of(POINT, replace(POINT, **change))) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, 1.0, True, "1", b"1", [1], None])
def test_series_differ_by_attribute_values_and_their_types(value: object) -> None:
    """1, 1.0, true and "1" are four values; the order of keys does not matter."""
    plain = replace(POINT, attributes={"a": 2, "b": value})
    assert summary_of(plain, replace(POINT, attributes={"b": value, "a": 2})).series == 1
    others = [other for other in (1, 1.0, True, "1", [1], None) if repr(other) != repr(value)]
    for other in others:
        assert summary_of(plain, replace(POINT, attributes={"a": 2, "b": other})).series == 2


def test_the_summary_reads_well() -> None:
    """Name, unit, kind, attributes, values and pictures, aligned."""
    gauge = MetricPoint(10, "level", "gauge", value=0.25, unit="1", service_name="webshop")
    exponential = MetricPoint(
        10, "size", "exponential_histogram", temporality="delta", unit="By", count=6, sum=30.0, min=1.0,
        max=9.0, scale=0, zero_count=0, positive=Buckets(0, (1, 2, 2, 1)), service_name="webshop",
    )  # fmt: skip
    summary = MetricPoint(
        10, "old", "summary", count=5, sum=9.0, quantiles=((0.5, 1.5), (1.0, 3.0)), service_name="webshop"
    )
    lines = text_of(
        POINT,
        replace(POINT, attributes={"payment": "invoice"}, value=1234),
        HISTOGRAM,
        gauge,
        replace(gauge, time_unix_nano=11, value=0.5),
        exponential,
        summary,
    )
    assert lines == [
        "Metrics  5 metrics, 6 series, 7 data points",
        "",
        "duration  s, histogram, delta, 1 data point",
        "    count  sum  mean  min  ~p50  ~p90  ~p99  max",
        "        4   10   2.5    1     3   3.8  3.98    4  1 ▄ ▄█ 4",
        "",
        "level  1, gauge, 2 data points",
        "    last   min  max",
        "     0.5  0.25  0.5",
        "",
        "old  summary, 1 data point",
        "    count  sum  p50  p100",
        "        5    9  1.5     3",
        "",
        "shop.orders  {order}, counter, delta, 2 data points  Orders placed",
        "        3  payment=card",
        "    1,234  payment=invoice",
        "",
        "size  By, exponential histogram, delta, 1 data point",
        "    count  sum  mean  min  ~p50  ~p90  ~p99  max",
        "        6   30     5    1     4  8.39  8.94    9  1 ▄██▄ 16",
    ]


def test_services_are_named_where_there_are_several() -> None:
    """Each once, above its metrics."""
    lines = text_of(POINT, replace(POINT, service_name="billing", service_instance_id="b-1"), HISTOGRAM)
    assert [line for line in lines if line.startswith("of ")] == ["of billing b-1", "of webshop"]


def test_attributes_stand_apart_where_a_row_is_too_wide() -> None:
    """Numbers stay in their columns on a narrow terminal."""
    long = replace(HISTOGRAM, attributes={"http.route": "/a/very/long/route"})
    assert text_of(long, width=60)[4:] == [
        "  http.route=/a/very/long/route",
        "        4   10   2.5    1     3   3.8  3.98    4  1 ▄ ▄█ 4",
    ]
    assert len(text_of(long, width=120)) == 5


def test_text_of_the_trace_is_escaped() -> None:
    """Names, units, descriptions, attributes and scopes are all somebody else's text."""
    evil = "\x1b]0;owned\x07\n\u202e"
    point = replace(
        POINT, metric_name=evil, unit=evil, description=evil, attributes={evil: evil}, service_name=evil,
        scope_name=evil, scope_version=evil,
    )  # fmt: skip
    for line in text_of(point, POINT, wide=True):
        assert line.isprintable()


def test_bars_are_as_high_as_their_share() -> None:
    """Blank means none at all; a terminal without block characters gets ASCII."""
    picture = Picture(0, 9, (0, 1, 50, 100, 3))
    assert bars(picture, unicode=True) == " ▁▄█▁"
    assert bars(picture, unicode=False) == " .=@."
    assert bars(Picture(0, 0, ()), unicode=True) == ""


def test_memory_grows_with_series_not_with_points() -> None:
    """A hundred thousand points of two series are two series."""
    points: Sequence[MetricPoint] = [POINT, HISTOGRAM]
    summary = summary_of(*(point for _ in range(2000) for point in points))
    assert (summary.points, summary.series, len(summary)) == (4000, 2, 2)


def test_resources_of_one_service_stay_apart() -> None:
    """Two hosts that say nothing of an instance are two sources, named by what differs."""
    first = replace(POINT, resource={"service.name": "webshop", "host.name": "a", "os.type": "linux"})
    second = replace(
        POINT, value=4, resource={"service.name": "webshop", "host.name": "b", "os.type": "linux"}
    )
    lines = text_of(first, second)
    assert [line for line in lines if line.startswith("of ")] == [
        "of webshop  host.name=a",
        "of webshop  host.name=b",
    ]
    assert [line.split()[0] for line in lines if "payment=card" in line] == ["3", "4"]


def test_scopes_differ_by_their_attributes() -> None:
    """As the data model has it."""
    assert len(summary_of(POINT, replace(POINT, scope_attributes={"shard": 2}))) == 2


CUMULATIVE = replace(POINT, temporality="cumulative", start_time_unix_nano=1)


def test_a_counter_that_started_again_adds_up() -> None:
    """A restarted process counts from zero; what it counted before is not lost."""
    points = [
        replace(CUMULATIVE, start_time_unix_nano=start, time_unix_nano=time, value=value)
        for start, time, value in [(1, 10, 5), (1, 20, 7), (30, 40, 2), (30, 50, 3), (1, 15, 6)]
    ]
    series = only_series(*points)
    assert series.value == 10
    assert (series.last.time_unix_nano, series.points) == (50, 5)
    assert "10  payment=card  2 starts" in " ".join(text_of(*points))


def test_an_up_down_counter_is_what_still_runs() -> None:
    """The process that ended has let go of what it held; those that run at the same time add up."""
    level = replace(CUMULATIVE, is_monotonic=False)
    ended = replace(level, time_unix_nano=20, value=7)
    again = replace(level, start_time_unix_nano=30, time_unix_nano=40, value=2)
    beside = replace(level, start_time_unix_nano=2, time_unix_nano=45, value=100)
    assert only_series(ended, again).value == 2
    assert only_series(ended, again, beside).value == 102


def test_a_histogram_that_started_again_adds_up() -> None:
    """The latest of each start, merged."""
    first = replace(HISTOGRAM, temporality="cumulative", start_time_unix_nano=1)
    again = replace(first, start_time_unix_nano=30, time_unix_nano=40, count=1, sum=9.0, min=9.0, max=9.0,
                    bucket_counts=(0, 0, 0, 1))  # fmt: skip
    merged = only_series(first, replace(first, time_unix_nano=11), again).histogram
    assert merged is not None
    assert (merged.count, merged.sum, merged.max) == (5, 19.0, 9.0)


def test_any_number_of_starts_is_counted_in_bounded_memory() -> None:
    """The oldest are added up for good."""
    points = [
        replace(CUMULATIVE, start_time_unix_nano=10 * n, time_unix_nano=10 * n + 5, value=2)
        for n in range(1, 500)
    ]
    series = only_series(*points)
    assert series.value == 2 * len(points)
    assert len(series.runs) <= MAX_STARTS
    histograms = [
        replace(HISTOGRAM, temporality="cumulative", start_time_unix_nano=10 * n, time_unix_nano=10 * n + 5)
        for n in range(1, 500)
    ]
    merged = only_series(*histograms).histogram
    assert merged is not None
    assert merged.count == 4 * len(histograms)


def test_a_point_without_a_recorded_value_changes_nothing() -> None:
    """It says that the series has ended."""
    for value in (None, 7):
        ended = replace(CUMULATIVE, time_unix_nano=99, value=value, flags=1)
        assert only_series(CUMULATIVE, ended).value == 3
        assert only_series(ended).value is None
        assert only_series(replace(ended, is_monotonic=False)).value is None


def test_pictures_that_do_not_fit_stand_in_a_line_of_their_own() -> None:
    """No line is wider than the terminal where that can be helped."""
    points = [replace(HISTOGRAM, attributes={"key": "value" * size}) for size in (1, 3)]
    wide = text_of(*points, width=200)
    assert any("█" in line and "key=" in line for line in wide)
    row = next(line for line in text_of(*points, width=60) if "█" in line)
    narrow = text_of(*points, width=len(row) - 1)
    assert all(len(line) < len(row) for line in narrow if "█" in line)
    assert any("█" in line and "10" not in line for line in narrow)

"""Geneva's own form of data points: typed items, as its exporter writes them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl_files import T0, event_record
from foreign_events import events_of
from otel_etw.errors import DecodeError
from otel_etw.layouts.foreign.tlv import decode_tlv
from otel_etw.layouts.items import MetricPoint
from otel_etw.outputs.jsonl import item_document
from otel_etw.outputs.rows import row_of
from otel_etw.tables.items import SignalFinder, items_of
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID
from otel_etw.tracelogging.values import FileTime

TIME = 1_773_232_496_789_012_300
FILETIME = int(FileTime.from_unix_nano(TIME))


def item(number: int, data: bytes) -> bytes:
    return struct.pack("<BH", number, len(data)) + data


def text(value: str) -> bytes:
    return struct.pack("<H", len(value.encode())) + value.encode()


def dimensions(**pairs: str) -> bytes:
    """All keys, then all values."""
    return item(4, struct.pack("<H", len(pairs)) + b"".join(map(text, [*pairs, *pairs.values()])))


def histogram(count: int, total: int, least: int, most: int, pairs: list[tuple[int, int]] | None) -> bytes:
    data = item(8, struct.pack("<IIqQQQ", count, 0, FILETIME, total, least, most))
    if pairs is None:
        return data
    buckets = b"".join(struct.pack("<QI", *pair) for pair in pairs)
    return data + item(12, struct.pack("<H", len(pairs)) + buckets)


def test_a_monotonic_sum_of_integers() -> None:
    """The only kind of metric that is written as a whole number."""
    payload = (
        item(3, b"requests") + item(5, struct.pack("<qQ", FILETIME, 2**64 - 1))
        + dimensions(route="/caf\u00e9", empty="") + item(15, b"\0\1anything")
        + item(1, b"acct") + item(2, b"ns")
    )  # fmt: skip
    assert decode_tlv(payload) == MetricPoint(
        TIME, "requests", "sum", is_monotonic=True, value=2**64 - 1,
        attributes={"route": "/caf\u00e9", "empty": ""},
        resource={"_microsoft_metrics_account": "acct", "_microsoft_metrics_namespace": "ns"},
    )  # fmt: skip


def test_any_other_number_is_a_gauge() -> None:
    """Whether it was one, or another sum, is not said; nor are temporality and unit."""
    payload = item(3, b"level") + item(6, struct.pack("<qd", FILETIME, -0.5))
    assert decode_tlv(payload) == MetricPoint(TIME, "level", "gauge", value=-0.5)


@pytest.mark.parametrize(
    ("most", "pairs", "bounds", "counts"),
    [
        (9, [(5, 2), (10, 1)], (5.0, 10.0), (2, 1, 0)),  # nothing above the last bound
        (90, [(5, 2), (11, 1)], (5.0, 10.0), (2, 0, 1)),  # the last one is the overflow, its bound plus one
        (90, [(10, 2), (11, 1)], (10.0,), (2, 1)),  # right behind its own bound
        (90, [(11, 1)], (10.0,), (0, 1)),
        (3, [(0, 1)], (), (1,)),  # no bounds at all but the overflow's
        (3, [], (), (0,)),
    ],
)
def test_buckets(
    most: int, pairs: list[tuple[int, int]], bounds: tuple[float, ...], counts: tuple[int, ...]
) -> None:
    """n bounds and n + 1 counts; empty buckets are not written, so bounds may be missing."""
    point = decode_tlv(item(3, b"h") + histogram(3, 12, 1, most, pairs))
    assert (point.kind, point.count, point.sum, point.min, point.max) == (
        "histogram",
        3,
        12.0,
        1.0,
        float(most),
    )
    assert (point.explicit_bounds, point.bucket_counts) == (bounds, counts)


def test_a_histogram_without_buckets() -> None:
    """Has its aggregates."""
    point = decode_tlv(item(3, b"h") + histogram(3, 12, 1, 9, None))
    assert (point.count, point.explicit_bounds, point.bucket_counts) == (3, (), ())


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (b"", "metric name"),
        (item(3, b"n"), "a value"),
        (item(3, b"n") + b"\5", "3 bytes at least"),
        (b"\3\xff\xffn", "claims 65535 bytes"),
        (item(3, b"n") + item(5, b"short"), "type 5: expected 16 bytes, found 5"),
        (item(3, b"n") + item(6, bytes(16)) + item(4, b"\xff\xff"), "expected 65535 keys and values"),
        (item(3, b"n") + item(6, bytes(16)) + item(4, b"\1"), "type 4: expected a count"),
        (item(3, b"n") + item(6, bytes(16)) + item(4, b"\1\0\xff\xff"), "found 0 texts"),
        (item(3, b"n") + histogram(1, 1, 1, 1, []) + item(12, b"\2\0"), "pairs of 12 bytes"),
        (item(3, b"n") + histogram(1, 1, 1, 1, [(5, 1), (5, 1)]), "rising bounds"),
    ],
)
def test_what_is_wrong_is_said(payload: bytes, wanted: str) -> None:
    """With what was expected and what was found."""
    with pytest.raises(DecodeError, match=wanted):
        decode_tlv(payload)


def test_points_through_the_reader(tmp_path: Path) -> None:
    """Id 70 of the metrics provider; a damaged one is an event that says so."""
    good = item(3, b"level") + item(6, struct.pack("<qd", FILETIME, 1.5)) + dimensions(a="b")
    records = [event_record(T0, data, provider=METRICS_PROVIDER_ID, event_id=70) for data in (good, b"\1")]
    first, second = events_of(tmp_path, *records)
    (found,) = items_of(first)
    assert found.signal == SignalFinder().signal_of(first) == "metrics"
    assert "".join(piece for piece, _ in row_of(found).text).startswith("level 1.5  gauge")
    document = item_document(found)
    assert (document["time_unix_nano"], document["attributes"]) == (TIME, {"a": "b"})
    (found,) = items_of(second)
    assert found.signal == "events"
    assert "TLV payload" in found.problems[0]


@given(st.binary(max_size=120))
@example(item(3, b"h") + histogram(3, 12, 1, 2**63, [(0, 1), (2**64 - 1, 7)]))
@example(item(3, b"n") + item(6, b"\0" * 7 + b"\x80" + b"\xff" * 8))
def test_any_bytes_give_a_point_or_our_error(data: bytes) -> None:
    """Whatever the payload of an event of that id holds."""
    try:
        point = decode_tlv(data)
    except DecodeError:
        return
    assert point.metric_name is not None


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 8, 12, 15]), st.binary(max_size=45))))
def test_any_items_give_a_point_or_our_error(items: list[tuple[int, bytes]]) -> None:
    """Of the right types, too."""
    try:
        point = decode_tlv(item(3, b"n") + b"".join(item(number, data) for number, data in items))
    except DecodeError:
        return
    assert point.kind in ("sum", "gauge", "histogram")

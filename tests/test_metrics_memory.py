"""What the quick encoder of data points remembers: by content, within bounds, for any number of threads."""

from __future__ import annotations

import math
import sys
import threading
import tracemalloc
from collections.abc import Iterable
from enum import Enum
from typing import Any

import pytest
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import Gauge

import metric_points as make
from metric_encoders import ALIKE, plain, quick, requests
from otel_etw.layouts.otlp_metrics import PointEncoder, decode_points
from otel_etw.layouts.otlp_metrics import encode as quick_module
from otel_etw.layouts.otlp_metrics.attributes import MAX_SETS, AttributeMemory


def test_values_that_are_equal_and_yet_others() -> None:
    """1, True and 1.0, both zeros, NaNs of other bits: each keeps its own bytes, in any order of arrival."""
    encoder = PointEncoder()
    for order in (ALIKE, ALIKE[::-1], ALIKE):
        for value in order:
            for exemplars in ([], [Exemplar({"k": value}, 1, make.TIME_NS)]):
                data = make.metrics_data(make.sums(make.number(1, {"k": value}, exemplars)))
                assert quick(encoder, data) == plain(data), value


def test_the_same_dict_with_other_content() -> None:
    """The SDK hands out the application's own dict: what counts is what it holds now."""
    encoder = PointEncoder()
    attributes: dict[str, Any] = {"a": "x", "b": "y"}
    data = make.metrics_data(make.sums(make.number(1, attributes)))
    for change in ({"a": "z"}, {"b": 1}, {"b": True}, {"c": "new"}, {"c": ["x"]}, {"c": ["x", 1]}):
        attributes |= change
        assert quick(encoder, data) == plain(data)
    attributes["c"].append(2)
    assert quick(encoder, data) == plain(data)
    attributes.clear()
    assert quick(encoder, data) == plain(data)


def test_attributes_keep_their_order() -> None:
    """The same attributes in another order are other bytes."""
    encoder = PointEncoder()
    for attributes in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": 1, "b": 2}, {"b": 2, "a": 1}):
        data = make.metrics_data(make.sums(make.number(1, attributes)))
        assert quick(encoder, data) == plain(data)


def test_keys_and_values_do_not_change_places() -> None:
    """Sets whose keys and values, in a row, look like those of another set."""
    encoder = PointEncoder()
    sets: list[dict[Any, Any]] = [
        {"repr": "1"}, {"a": 1}, {"a": "1"}, {"repr": "a", "1": "b"}, {"a": "b"}, {"b": "a"}, {1: "a"},
        {True: "a"}, {"1": "a"}, {"a": "'b'", "c": "1"}, {"a": "b", "c": 1}, {}, {"": ""}, {"": "", "a": ""},
    ]  # fmt: skip
    for _ in range(2):
        for attributes in sets:
            data = make.metrics_data(make.sums(make.number(1, attributes)))
            assert quick(encoder, data) == plain(data), attributes


class Colour(str, Enum):
    RED = "red"


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


def test_subclasses_of_text_are_their_own_characters() -> None:
    """As keys, values and names: whatever ``str()`` says, and whatever is remembered."""
    encoder = PointEncoder()
    for word in ("red", Colour.RED, Shouting("red")):
        attributes: dict[str, Any] = {"k": word, word: "v"}
        data = make.metrics_data(make.sums(make.number(1, attributes), name=word))
        assert quick(encoder, data) == plain(data)
        (point,) = decode_points(quick(encoder, data)[0][0] or b"")
        assert (point.metric_name, dict(point.attributes)) == ("red", {"k": "red", "red": "v"})


def test_points_that_come_and_go() -> None:
    """The order of the last collection is a guess and no more: sets vanish, move, appear."""
    encoder = PointEncoder()
    sets: list[dict[str, Any]] = [{"n": str(n)} if n % 3 else {"n": n} for n in range(12)]
    for chosen in (sets, sets[::-1], sets[3:], sets[:5] + sets[7:], [*sets, {"n": "new"}], sets[:1], sets):
        data = make.metrics_data(make.sums(*(make.number(1, attributes) for attributes in chosen)))
        assert quick(encoder, data) == plain(data)


def test_metrics_of_one_name() -> None:
    """Resource, scope, kind, unit, description, temporality: any difference is another metric."""
    encoder = PointEncoder()
    points = [make.number(1, {"a": "b"})]
    variants = [
        make.metrics_data(make.metric(data, "m", description, unit), resource=resource)
        for data in (make.Sum(points, make.DELTA, True), make.Sum(points, make.DELTA, False),
                     make.Sum(points, make.CUMULATIVE, True), Gauge(points))
        for description in (None, "", "d", 1, True, 1.0)
        for unit in (None, "s")
        for resource in (None, make.Resource({"n": 1}), make.Resource({"n": True}), make.Resource({}, "url"))
    ]  # fmt: skip
    for _ in range(2):
        for data in variants:
            assert quick(encoder, data) == plain(data)


# --------------------------------------------------------------------------- bounds


def distinct_sets(sets: Iterable[int]) -> list[Any]:
    return [make.number(1, {"user.id": f"user-{n:08}", "http.route": f"/route/{n}"}) for n in sets]


def test_memory_for_very_many_attribute_sets() -> None:
    """100,000 different sets leave no more behind than the bound, and the next usual ones are remembered."""
    encoder = PointEncoder()
    tracemalloc.start()
    try:
        for chunk in range(100):
            points = distinct_sets(range(1000 * chunk, 1000 * chunk + 1000))
            for _ in encoder.encode(make.metrics_data(make.sums(*points)).resource_metrics):
                assert len(encoder.attributes) <= MAX_SETS
        points.clear()
        left_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left_bytes < 10 << 20
    encoder.attributes = AttributeMemory()
    points = distinct_sets(range(100))
    requests(encoder, make.sums(*points))
    assert len(encoder.attributes) == 100


def test_a_full_memory_starts_anew() -> None:
    """Sets that are no longer seen give way to those that are."""
    memory = AttributeMemory()
    for number in range(2 * MAX_SETS + 1):
        memory.fields(7, {"n": number})
    assert len(memory) == MAX_SETS
    assert memory.is_outdated
    encoder = PointEncoder()
    encoder.attributes = memory
    requests(encoder, make.sums(*distinct_sets(range(10))))
    assert len(encoder.attributes) == 10


@pytest.mark.parametrize(
    "attributes", [{"k": "x" * 600}, {f"k{n}": "" for n in range(17)}, {"k": ("x",)}, {"k": math.nan}]
)
def test_sets_that_are_not_remembered(attributes: dict[str, Any]) -> None:
    """Long ones, those of many attributes, lists, and NaN; their requests are right all the same."""
    encoder = PointEncoder()
    for _ in range(2):
        data = make.metrics_data(make.sums(make.number(1, attributes)))
        assert quick(encoder, data) == plain(data)
    assert len(encoder.attributes) == 0


def test_very_many_metrics_and_sizes() -> None:
    """Names that are made up on the way, and points of ever other sizes, are not kept forever."""
    encoder = PointEncoder()
    for number in range(quick_module.MAX_METRICS + 10):
        requests(encoder, make.sums(make.number(), name=f"metric {number}"))
    assert len(encoder._metrics) <= quick_module.MAX_METRICS
    for size in range(1000):
        requests(encoder, make.sums(make.number(1, {"k": "x" * size})))
    kept = sum(len(head) for memory in encoder._metrics.values() for head in memory.values())
    assert kept < 100_000 + 1000 * 200
    assert max(map(len, encoder._metrics.values())) < 400


# --------------------------------------------------------------------------- threads


def test_several_threads_with_one_encoder() -> None:
    """Eight threads encode all the while the memory is replaced: nobody gets anybody else's bytes."""
    encoder = PointEncoder()
    wrong: list[object] = []

    def work(thread: int) -> None:
        try:
            for turn in range(30):
                points = [make.number(n, {"n": str((n + turn) % 50), "t": thread % 3}) for n in range(20)]
                data = make.metrics_data(make.sums(*points), make.metric(Gauge(points), f"g{thread % 2}"))
                if turn % 7 == 0:
                    encoder.attributes, encoder._metrics = AttributeMemory(), {}
                if quick(encoder, data) != plain(data):
                    wrong.append((thread, turn))
        except Exception as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []

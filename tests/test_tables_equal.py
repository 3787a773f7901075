"""The quick way to the tables and the plain one make the same rows, whatever the events are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import etl_files
import mutation
from otel_etw.tables.values import digits
from otel_etw.tracelogging.metadata import ArrayKind, EventMetadata, Field, encode_metadata
from otel_etw.tracelogging.payload import encode_payload
from otel_etw.tracelogging.types import InType, OutType
from tracelogging_strategies import any_event, values_of

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
KEYS = st.sampled_from(["a", "key", 'quo"te', "back\\slash", "ü", "", "otel.status_code", "env_properties"])
KINDS = st.sampled_from(
    [
        (InType.STR8, OutType.DEFAULT),
        (InType.STR8, OutType.UTF8),
        (InType.STR8, OutType.JSON),
        (InType.CSTR8, OutType.DEFAULT),
        (InType.STR16, OutType.DEFAULT),
        (InType.CSTR16, OutType.DEFAULT),
        (InType.INT64, OutType.DEFAULT),
        (InType.UINT64, OutType.DEFAULT),
        (InType.INT16, OutType.DEFAULT),
        (InType.UINT8, OutType.BOOLEAN),
        (InType.BOOL32, OutType.DEFAULT),
        (InType.DOUBLE, OutType.DEFAULT),
        (InType.FLOAT, OutType.DEFAULT),
        (InType.BINARY, OutType.DEFAULT),
        (InType.GUID, OutType.DEFAULT),
        (InType.FILETIME, OutType.DEFAULT),
    ]
)


def field(name: str, in_type: InType, out_type: OutType = OutType.DEFAULT) -> Field:
    return Field(name, in_type, out_type)


def struct(name: str, members: list[Field]) -> Field:
    return Field(name, InType.STRUCT, array=ArrayKind.SCALAR, members=tuple(members))


@st.composite
def common_schema(draw: st.DrawFn) -> EventMetadata:
    """A log record or span, much as the exporters describe it: parts may lack members, or have others."""
    text = InType.STR8
    part_a = [field("time", text)] * draw(st.booleans())
    if draw(st.booleans()):
        part_a.append(struct("ext_dt", [field("traceId", text), field("spanId", text)]))
    if draw(st.booleans()):
        part_a.append(struct("ext_cloud", [field("role", text), field("roleInstance", text)]))
    names = draw(st.lists(KEYS, max_size=4))
    part_c = [field(name, *draw(KINDS)) for name in names]
    part_b = [field("_typeName", text)]
    for one in (
        field("name", text),
        field("body", *draw(KINDS)),
        field("severityNumber", InType.INT16),
        field("severityText", text),
        field("eventId", InType.INT64),
        field("kind", InType.UINT8),
        field("startTime", text),
        field("parentId", text),
        field("success", InType.UINT8, OutType.BOOLEAN),
        field("httpUrl", text),
        field("links", text),
    ):
        part_b += [one] * draw(st.booleans())
    parts = [struct("PartA", part_a), struct("PartB", part_b), *([struct("PartC", part_c)] if part_c else [])]
    csver = field("__csver__", InType.UINT16, OutType.UNSIGNED)
    return EventMetadata(draw(TEXT), (csver, *draw(st.permutations(parts))))


USUAL_TEXTS = {
    "_typeName": st.sampled_from(["Log", "Span", "Log", "Span", "Logs", "Lo", "Event"]),
    "traceId": st.sampled_from(["0af7651916cd43dd8448eb211c80319c", "0" * 32, "0AF7", "", "é" * 16]),
    "spanId": st.sampled_from(["00f067aa0ba902b7", "0" * 16, "00F067AA0BA902B7"]),
    "parentId": st.sampled_from(["00f067aa0ba902b8", "0000000000000000"]),
    "time": st.sampled_from(
        ["2026-03-11T12:34:56Z", "2026-03-11T12:34:56.789Z", "2024-02-29T23:59:59.123456789Z",
         "2023-02-29T00:00:00Z", "2026-03-11T12:34:56+01:00", "0001-01-01T00:00:00Z",
         "9999-12-31T23:59:59.999Z", "2026-03-11T24:00:00Z", "soon"]
    ),
    "startTime": st.sampled_from(["2026-03-11T12:34:56.1Z", "2026-03-11T12:34:56.000001Z", ""]),
}  # fmt: skip


@st.composite
def usual(draw: st.DrawFn, fields: tuple[Field, ...], values: tuple[object, ...]) -> tuple[object, ...]:
    """``values`` with texts of the usual form where the field's name asks for one."""
    made = []
    for one, value in zip(fields, values, strict=True):
        if one.in_type == InType.STRUCT:
            value = draw(usual(one.members, value))
        elif one.name in USUAL_TEXTS and draw(st.integers(0, 9)):
            value = draw(USUAL_TEXTS[one.name])
        made.append(value)
    return tuple(made)


def described(metadata: EventMetadata) -> st.SearchStrategy[tuple[EventMetadata, list[object]]]:
    """A shape and values for some events of it."""
    values = values_of(metadata.fields).flatmap(lambda values: usual(metadata.fields, values))
    return st.tuples(st.just(metadata), st.lists(values, min_size=1, max_size=4))


def checked(shapes: list[tuple[EventMetadata, list[object]]], cuts: list[int]) -> None:
    """One event of each shape after the other, some payloads cut, through every way of reading."""
    records = []
    for metadata, rows in shapes:
        blob = encode_metadata(metadata)
        for row in rows:
            payload = encode_payload(metadata.fields, row)
            cut = cuts[len(records) % len(cuts)] if cuts else 0
            items = [(12, etl_files.traits_blob("Made")), (11, blob)]
            payload = payload[: len(payload) - cut] if cut and cut <= len(payload) else payload
            records.append(etl_files.event_record(2_000 + len(records), payload, channel=11, items=items))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.etl"
        size = 1 << 17
        path.write_bytes(etl_files.trace_file(etl_files.buffer(records, size=size), size=size))
        mutation.check(path)


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(st.lists(any_event, max_size=6), st.lists(st.integers(0, 3), max_size=3))
def test_any_self_describing_event_makes_the_same_rows(events: list, cuts: list[int]) -> None:
    """Fields of any types, nested and repeated, whole payloads and cut ones."""
    checked([(metadata, [row]) for metadata, row in events], cuts)


@QUICK
@given(
    st.lists(common_schema().flatmap(described), min_size=1, max_size=4),
    st.lists(st.integers(0, 2), max_size=2),
)
def test_anything_like_a_log_record_or_span_makes_the_same_rows(shapes: list, cuts: list[int]) -> None:
    """Common Schema events with any members and values, several of a shape."""
    checked(shapes, cuts)


@pytest.mark.parametrize("seed", range(3))
def test_doubles_have_the_digits_that_python_gives_them(seed: int) -> None:
    """Whole numbers keep their fraction, exponents and digits are those of ``repr``."""
    dice = np.random.default_rng(seed)
    bits = dice.integers(0, 1 << 63, 5_000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([bits, dice.integers(0, 10**6, 5_000) / 100, [0.0, -0.0, 1e15, 1e16, 1e-5, 1e22]])
    expected = [repr(value) if value - value == 0 else None for value in values.tolist()]
    for found, text in zip(digits(values).to_pylist(), expected, strict=True):
        assert text is None or found == text

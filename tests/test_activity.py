"""Trace and span ids as activity ids, against the standard library's GUIDs."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from otel_etw.layouts.common_schema.activity import activity_id


@given(st.integers(1, 2**128 - 1), st.integers(0, 2**64 - 1))
def test_the_guid_of_a_trace_reads_like_its_id(trace_id: int, span_id: int) -> None:
    """The bytes are those of a GUID in memory, whose text has the digits of the id."""
    assert activity_id("trace", trace_id, span_id) == UUID(hex=f"{trace_id:032x}").bytes_le


@given(st.integers(0, 2**128 - 1), st.integers(1, 2**64 - 1))
def test_the_guid_of_a_span_is_its_bytes_and_zeros(trace_id: int, span_id: int) -> None:
    """Eight bytes in the order of the id's digits, eight zeros."""
    assert activity_id("span", trace_id, span_id) == bytes.fromhex(f"{span_id:016x}") + bytes(8)


def test_without_the_id_there_is_no_activity() -> None:
    """An id that is missing or 0 leaves the activity to the system, and so does ``None``."""
    for missing in (None, 0):
        assert activity_id("trace", missing, 1) is None
        assert activity_id("span", 1, missing) is None
    assert activity_id(None, 1, 1) is None

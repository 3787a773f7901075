"""The tools that make whole columns, each against the plain function for one value."""

from __future__ import annotations

from uuid import UUID

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from otel_etw.layouts.times import parse_time_text, time_text
from otel_etw.tables.event_columns import guid_texts
from otel_etw.tables.forms import Forms, assign
from otel_etw.tables.times import parse_times

YEARS_IN_64_BITS = st.integers(-(1 << 63), (1 << 63) - 1)


def parsed(texts: list[str]) -> list[int | None]:
    """The times of ``texts``, put side by side into one array as records have them; ``None`` for none."""
    blobs = [text.encode() for text in texts]
    data = np.frombuffer(b"".join(blobs) + bytes(16), np.uint8)
    length = np.array([len(blob) for blob in blobs], np.int32)
    start = np.cumsum(length) - length
    missing = np.full(len(texts), -7, np.int64)
    found = parse_times(data, start, length, missing)
    return [None if time == -7 else time for time in found.tolist()]


@given(st.lists(YEARS_IN_64_BITS, max_size=20))
def test_times_of_any_years_are_parsed_as_one_by_one(times: list[int]) -> None:
    """What the exporters write for a time is read as that time, in every form of its fraction."""
    texts = [time_text(time) for time in times]
    assert parsed(texts) == [parse_time_text(text) for text in texts]


@given(st.integers(0, 10**18), st.lists(st.integers(0, 59 * 10**9), min_size=1, max_size=20))
def test_times_of_one_minute_are_parsed_as_one_by_one(minute: int, times: list[int]) -> None:
    """Texts that share everything before the seconds take a shorter way to the same times."""
    start = minute // (60 * 10**9) * 60 * 10**9
    texts = [f"{time_text(start + time)[:19]}.{time % 10**9:09d}Z" for time in times]
    assert parsed(texts) == [parse_time_text(text) for text in texts]


DAMAGED = st.sampled_from("0123456789-:.TZtz +/;@AZ\x00\x7fé")


@settings(max_examples=300)
@given(
    st.lists(st.tuples(YEARS_IN_64_BITS, st.integers(0, 40), DAMAGED), min_size=1, max_size=8), st.booleans()
)
def test_damaged_times_are_taken_as_one_by_one(changes: list[tuple[int, int, str]], alike: bool) -> None:
    """One sign of each text is another: whether that is a time, and which, does not depend on the way."""
    texts = []
    for time, place, sign in changes:
        text = time_text(changes[0][0] if alike else time)
        texts.append(text[:place] + sign + text[place + 1 :])
    expected = [parse_time_text(text) for text in texts]
    bounded = [None if time is None else min(max(time, -(1 << 63)), (1 << 63) - 1) for time in expected]
    assert parsed(texts) == bounded


@given(st.lists(st.uuids(), max_size=10))
def test_guids_have_their_text(guids: list[UUID]) -> None:
    """GUIDs as Windows stores them, many at once."""
    stored = np.frombuffer(b"".join(guid.bytes_le for guid in guids), np.uint8).reshape(-1, 16)
    assert guid_texts(stored).to_pylist() == [str(guid) for guid in guids]


def described(position: int, header_type: int, guid: bytes, items: bytes) -> bytes:
    """A record as far as forms look at it."""
    return bytes([0, 0, header_type, 0xC0]) + bytes(20) + guid + bytes(40) + items


@pytest.mark.parametrize("distinct", [1, 2, 5, 60])
def test_events_have_one_form_if_all_that_describes_them_is_equal(distinct: int) -> None:
    """Forms tell apart GUID, kind and every byte of the items, however many there are of one length."""
    dice = np.random.default_rng(distinct)
    guids = [dice.bytes(16) for _ in range(2)]
    kinds = []
    for number in range(distinct):
        metadata = bytes([16 + number % 3 * 8, 0, 11, 0, 0, 0, 8 + number % 3 * 8, 0])
        metadata += number.to_bytes(8, "little") + bytes(number % 3 * 8)
        kinds.append((0x12 + number % 2, guids[number % 5 == 0], metadata))
    chosen = [kinds[number] for number in dice.integers(0, distinct, 400)]
    records = [described(0, *one) for one in chosen]
    sizes = np.array([len(record) for record in records])
    position = np.cumsum(sizes) - sizes
    data = np.frombuffer(b"".join(records) + bytes(64), np.uint8)
    header_type = np.array([one[0] for one in chosen], np.uint8)
    forms = Forms()
    number = assign(forms, data, header_type, position, position + 0x50, position + sizes)
    assert len(set(zip(chosen, number.tolist(), strict=True))) == len(set(chosen)) == len(forms)
    again = assign(forms, data, header_type, position, position + 0x50, position + sizes)
    assert again.tolist() == number.tolist()
    for one, form in zip(chosen, number.tolist(), strict=True):
        description = forms.descriptions[form]
        assert (description.header_type, description.provider_id.bytes_le) == one[:2]
        assert description.metadata == one[2][8 : 8 + one[2][6]]

"""FILETIME, SYSTEMTIME, SIDs and text as Python values."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw.errors import DecodeError, EncodeError
from otel_etw.tracelogging.text import from_8bit, from_utf16, utf8, utf16
from otel_etw.tracelogging.types import EventDescriptor
from otel_etw.tracelogging.values import FileTime, SystemTime, sid_bytes, sid_text
from shared_files import vectors
from tracelogging_strategies import sids

FIRST = datetime(1601, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, "1601-01-01T00:00:00.0000000Z"),
        (-1, "1600-12-31T23:59:59.9999999Z"),
        (116_444_736_000_000_000, "1970-01-01T00:00:00.0000000Z"),
        (116_444_736_000_000_001, "1970-01-01T00:00:00.0000001Z"),
        (134_177_060_967_890_123, "2026-03-11T12:34:56.7890123Z"),
        (2_650_467_743_999_999_999, "9999-12-31T23:59:59.9999999Z"),
        (2_650_467_744_000_000_000, "10000-01-01T00:00:00.0000000Z"),
        (2**63 - 1, "30828-09-14T02:48:05.4775807Z"),
    ],
)
def test_filetime_as_text(ticks, text):
    """Seven digits and Z, past the year 9999 too; the last is the time that Windows documents as the end."""
    assert FileTime(ticks).isoformat() == str(FileTime(ticks)) == text
    assert repr(FileTime(ticks)) == f"FileTime({ticks}, {text})"


@given(st.integers(0, 2_650_467_743_999_999_999))
def test_filetime_agrees_with_datetime(ticks):
    """To the microsecond, every time up to the year 9999 is what datetime makes of it."""
    expected = FIRST + timedelta(microseconds=ticks // 10)
    assert FileTime(ticks).isoformat()[:-2] == expected.strftime("%Y-%m-%dT%H:%M:%S.%f")


@given(st.integers(-(2**63), 2**63 - 1))
def test_filetime_has_text_whatever_the_number(ticks):
    """Every 64-bit number has a text, and is still that number."""
    time = FileTime(ticks)
    assert time.isoformat().endswith("Z")
    assert time == ticks
    assert hash(time) == hash(ticks)


@pytest.mark.parametrize("offset_ns", range(-250, 251, 25))
def test_unix_nanoseconds_fall_into_their_tick(offset_ns):
    """Around a whole second, each nanosecond belongs to the tick that began last, also before 1970."""
    for base_ns in (0, 1_773_232_496_000_000_000, -1_000_000_000):
        time = FileTime.from_unix_nano(base_ns + offset_ns)
        assert isinstance(time, FileTime)
        assert 0 <= base_ns + offset_ns - time.unix_nano < 100
        assert FileTime.from_unix_nano(time.unix_nano) == time


def test_event_descriptors_are_those_of_the_golden_vectors():
    """The 16 bytes of every descriptor in the vectors are made from its numbers and read back to them."""
    found = 0
    for file in ("logs", "traces", "foreign"):
        for case in vectors(file)["cases"]:
            stated = dict((case.get("expected") or case["event"])["event_descriptor"])
            data = bytes.fromhex(stated.pop("bytes"))
            assert EventDescriptor(**stated).to_bytes() == data
            assert EventDescriptor.from_bytes(b"before" + data, 6) == EventDescriptor(**stated)
            found += 1
    assert found > 50


def test_systemtime_is_shown_as_it_is():
    """A valid time has no zone letter; a nonsense time is shown and not refused."""
    time = SystemTime(2026, 3, 3, 11, 12, 34, 56, 789)
    assert time.isoformat() == "2026-03-11T12:34:56.789"
    assert SystemTime.from_bytes(time.to_bytes()) == time
    assert SystemTime(*[65535] * 8).isoformat() == "65535-65535-65535T65535:65535:65535.65535"


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("S-1-5-18", "010100000000000512000000"),
        ("S-1-5-32-544", "01020000000000052000000020020000"),
        ("S-1-0", "0100000000000000"),
        ("S-1-4294967295", "01000000ffffffff"),
        ("S-1-0x000100000000-4294967295", "0101000100000000ffffffff"),
    ],
)
def test_well_known_sids(text, data):
    """A SID's text and bytes belong together, an authority of more than 32 bits in hexadecimal."""
    assert sid_text(bytes.fromhex(data)) == text
    assert sid_bytes(text).hex() == data


@given(sids)
def test_sids_round_trip(text):
    """Every SID is read back as it was written."""
    assert sid_text(sid_bytes(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "S", "S-1", "X-1-5", "S-1-5-", "S-256-5", "S-1-281474976710656", "S-1-0x1000000000000",
        "S-1-5-4294967296", "S-1-5-x", "S-1-5 ", "S-1-5" + "-1" * 256, "S-1-٥",
    ],
)  # fmt: skip
def test_what_is_no_sid_is_refused(text):
    """Wrong shapes and numbers beyond their width raise EncodeError."""
    with pytest.raises(EncodeError, match="SID"):
        sid_bytes(text)


@pytest.mark.parametrize("data", [b"", bytes(7), b"\1\1" + bytes(6), b"\1\0" + bytes(7)])
def test_bytes_that_are_no_sid_are_refused(data):
    """A size that is not 8 and 4 for each sub-authority raises DecodeError."""
    with pytest.raises(DecodeError, match="SID"):
        sid_text(data)


def test_lone_surrogates_become_replacement_characters():
    """In both encodings; a pair of surrogates is the character they stand for."""
    assert utf8("a\ud800b\udc00") == "a\ufffdb\ufffd".encode()
    assert utf16("a\ud800") == "a\ufffd".encode("utf-16-le")
    assert utf8("\ud83d\ude00") == "\U0001f600".encode()
    assert from_utf16(b"\x00\xd8a\x00") == "\ufffda"
    assert from_utf16(b"a\x00b") == "a\ufffd"


def test_8bit_text_falls_back_from_utf8_to_the_windows_code_page():
    """UTF-8 first, code page 1252 for what is none, Latin-1 for what that leaves undefined."""
    assert from_8bit("grün €".encode()) == "grün €"
    assert from_8bit(b"gr\xfcn \x80") == "grün €"
    assert from_8bit(b"\x81\xfc") == "\x81ü"


@given(st.binary(max_size=40))
def test_any_bytes_are_text(data):
    """No bytes make the two text decoders fail, and what they give can be encoded."""
    for text in (from_8bit(data), from_utf16(data)):
        assert text.encode() == utf8(text)

"""Nothing that a trace says can act on a terminal, imitate other rows, or break a line of JSON."""

from __future__ import annotations

import json
import sys
import unicodedata
from datetime import datetime, timezone
from ipaddress import ip_address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw.outputs.numbers import bytes_text, duration_text, iso_time, number_text, time_text
from otel_etw.outputs.text import (
    is_multiline,
    json_line,
    lines_of,
    plain_text,
    printable,
    value_text,
)
from otel_etw.tables.json_values import json_value
from otel_etw.tracelogging.values import FileTime, SystemTime

any_text = st.text(st.characters())  # includes surrogates


def is_dangerous(character: str) -> bool:
    """Controls, surrogates, line separators, and whatever changes the direction of text."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return True
    return unicodedata.bidirectional(character) in (
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN",
    ) and character not in "\u200c\u200d"  # the joiners that scripts and emoji need  # fmt: skip


def test_every_dangerous_character_is_escaped() -> None:
    """Of all of Unicode, no control, surrogate, separator or directional character passes."""
    passed = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if is_dangerous(chr(code)) and printable(chr(code)) == chr(code)
        and unicodedata.category(chr(code)) != "Cn" and not code & 0xFFFF >= 0xFFF0  # noncharacters
        and not 0x1BCA0 <= code <= 0x1BCA3 and not 0x1D173 <= code <= 0x1D17A  # shorthand, music
    ]  # fmt: skip
    assert passed == []


@given(any_text)
def test_printable_text_is_one_harmless_line(text: str) -> None:
    """Whatever goes in, what comes out has no dangerous character of the first kind and can be encoded."""
    shown = printable(text)
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    assert shown.encode("utf-8").decode("utf-8") == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("C:\\Windows", "C:\\Windows"),
        ("grüße 中 😀 [bold]", "grüße 中 😀 [bold]"),
    ],
)
def test_escapes_are_spelled_as_in_python(text: str, shown: str) -> None:
    """Escapes show as Python writes them; all ordinary text of any language stays as it is."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ("", '""'),
        ('say "hi"', '"say \\"hi\\""'),
        ("a=b", '"a=b"'),
        ("\x1b[0m", "\\x1b[0m"),
        ("x \x1b", '"x \\u001b"'),
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
        (float("nan"), "nan"),
        (-(2**63), "-9223372036854775808"),
        (b"\x00\xff", "0x00ff"),
        (bytes(100), f"0x{'00' * 32}... (100 bytes)"),
        ([1, "a", {"b": None}], '[1,"a",{"b":null}]'),
        (["\u202e"], '["\\u202e"]'),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (ip_address("::1"), "::1"),
        (FileTime(132756731728578510), "2021-09-09T14:59:32.8578510Z"),
        (SystemTime(2021, 9, 4, 9, 14, 59, 35, 799), "2021-09-09T14:59:35.799"),
    ],
)
def test_values_show_in_one_line(value: object, shown: str) -> None:
    """Every kind of decoded value has one short, safe spelling."""
    assert value_text(value) == shown


def test_text_alone_in_its_place_is_not_quoted() -> None:
    """A message is shown without quotes, other values as ever."""
    assert plain_text("two words") == "two words"
    assert plain_text({"a": 1}) == '{"a":1}'


def test_lines_split_only_where_a_text_breaks() -> None:
    """CR, LF and CR LF end lines; the separators that only look like it are escaped."""
    assert lines_of("a\r\nb\nc\rd\x85e\u2028f\x0bg") == ["a", "b", "c", "d\\x85e\\u2028f\\x0bg"]
    assert lines_of("\tx") == ["    x"]
    assert is_multiline("a\nb")
    assert not is_multiline("ab")
    assert not is_multiline(5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_json_lines_are_safe_and_lose_nothing(value: object, ascii_only: bool) -> None:
    """A line of JSON parses back to the same value and is printable as it stands, or pure ASCII if asked."""
    line = json_line({"value": value}, ascii_only=ascii_only)
    assert json.loads(line) == {"value": value}
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in line)
    assert line.isascii() or not ascii_only


def test_json_has_words_for_what_json_lacks() -> None:
    """Bytes say that they are such, non-finite numbers are words; times and ids are their text."""
    value = [b"\x00\x01", float("nan"), float("-inf"), UUID(int=1), datetime(2026, 1, 2, tzinfo=timezone.utc)]
    assert json_value(value) == [
        {"$bytes": "AAE="},
        "NaN",
        "-Infinity",
        "00000000-0000-0000-0000-000000000001",
        "2026-01-02T00:00:00+00:00",
    ]
    assert json_value(FileTime(0)) == "1601-01-01T00:00:00.0000000Z"
    assert json_value(SystemTime(1, 2, 3, 4, 5, 6, 7, 8)) == "0001-02-04T05:06:07.008"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0, "0"),
        (1234567, "1,234,567"),
        (0.0, "0"),
        (12.3456, "12.35"),
        (9999.4, "9999"),
        (123456.7, "123,457"),
        (1e15, "1.000e+15"),
        (0.00001234, "1.234e-05"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_short(value: float | None, shown: str) -> None:
    """Integers are exact with thousands apart, other numbers have four significant digits."""
    assert number_text(value) == shown


def test_fewer_digits_can_be_asked_for() -> None:
    """Whole numbers never lose digits to rounding."""
    assert number_text(0.049327, 3) == "0.0493"
    assert number_text(1234.5, 3) == "1,234"
    assert number_text(1234, 3) == "1,234"


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0 ns"),
        (1500, "1.5 us"),
        (999_499, "999 us"),
        (999_500, "1 ms"),
        (2_340_000, "2.34 ms"),
        (999_999_999, "1 s"),
        (59 * 10**9, "59 s"),
        (643 * 10**9, "0:10:43"),
        (90000 * 10**9, "1 day 1:00:00"),
        (-1500, "-1.5 us"),
    ],
)
def test_durations_have_their_natural_unit(nanoseconds: int, shown: str) -> None:
    """From nanoseconds to days."""
    assert duration_text(nanoseconds) == shown


def test_times_keep_nanoseconds_and_survive_any_number() -> None:
    """The fraction is cut, not rounded; a time outside the calendar is shown as its number."""
    assert time_text(1_773_232_496_789_123_456) == "2026-03-11 12:34:56.789"
    assert time_text(1_773_232_496_999_999_999, digits=0) == "2026-03-11 12:34:56"
    assert iso_time(1_773_232_496_789_123_456) == "2026-03-11T12:34:56.789123456Z"
    assert time_text(-1, digits=9) == "1969-12-31 23:59:59.999999999"
    assert time_text(2**63 * 1000) == f"{2**63 * 1000}ns"
    assert iso_time(-(2**70)) == f"{-(2**70)}ns"


def test_byte_counts_have_binary_units() -> None:
    """Exact below 1 KiB, four digits above."""
    assert [bytes_text(n) for n in (0, 1023, 65536, 7403, 5 * 2**40)] == [
        "0 B",
        "1023 B",
        "64 KiB",
        "7.229 KiB",
        "5 TiB",
    ]

"""JSON text of attribute values: the spelling, and the stand-ins for what no text can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw.layouts.json_text import MAX_PARSED_DEPTH, MAX_TEXT_CHARS, json_text, parse_json
from otel_etw.outputs.text import json_line, plain_text

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    SCALARS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20
)


@given(VALUES)
def test_parsing_gives_the_value_back(value: Any) -> None:
    """Whatever JSON can hold survives, and a JSON parser agrees on what it is."""
    text = json_text(value)
    assert parse_json(text) == value
    assert text.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, "two", None, True, False], '[1,"two",null,true,false]'),
        ({"b": 1, "a": {"z": [], "": {}}}, '{"a":{"":{},"z":[]},"b":1}'),
        ({"\ue000": 1, "\U00010000": 2, "é": 3}, '{"é":3,"\ue000":1,"\U00010000":2}'),
        ('"\\\b\f\n\r\t\x00\x1f\x7f/é🎉', '"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\x7f/é🎉"'),
        ([1.0, -0.0, 0.25, 1e15, 1e16, 1.5e300], "[1.0,-0.0,0.25,1000000000000000.0,1e16,1.5e300]"),
        ([1e-4, 1e-5, 1.25e-5, 1e-6, 1e-7], "[0.0001,0.00001,0.0000125,1e-6,1e-7]"),
        ([math.nan, math.inf, -math.inf], "[null,null,null]"),
        ([b"ab", bytearray(b"\xff"), memoryview(b"")], '["YWI=","/w==",""]'),
        ({1: "a", None: "b", False: "c"}, '{"1":"a","False":"c","None":"b"}'),
        ((1, range(3)), "[1,[0,1,2]]"),
        ("a\ud800b", '"a\ufffdb"'),
        (2**70, "1180591620717411303424"),
        ({"k": complex(1, 2)}, '{"k":"(1+2j)"}'),
    ],
)
def test_spelling(value: object, text: str) -> None:
    """No spaces, sorted keys, short escapes, doubles with a fraction, base64 for bytes, ``str`` else."""
    assert json_text(value) == text


def test_smallest_exponent_has_no_leading_zero() -> None:
    """An exponent is spelled without plus sign and zero, at both ends of the range of doubles."""
    assert json_text(5e-324) == "5e-324"
    assert json_text(1.7976931348623157e308) == "1.7976931348623157e308"


def test_a_container_inside_itself_ends() -> None:
    """A cycle is cut where it closes; the same container twice side by side is no cycle."""
    cycle: list[Any] = [1]
    cycle.append(cycle)
    shared = [2]
    assert json_text(cycle) == '[1,"(contains itself)"]'
    assert json_text([shared, shared]) == "[[2],[2]]"


def test_depth_has_a_bound() -> None:
    """Sixty-four levels are written, the next one is a text that says so."""
    value: Any = []
    for _ in range(100):
        value = [value]
    found = json.loads(json_text(value))
    for _ in range(63):
        (found,) = found
    assert found == ["(nested deeper than 64 levels)"]


def test_shared_parts_do_not_become_gigabytes() -> None:
    """Text ends a little past 1 MiB, however often a structure refers to its parts."""
    value: Any = ["x" * 10]
    for _ in range(60):
        value = [value] * 10
    assert MAX_TEXT_CHARS <= len(json_text(value)) < MAX_TEXT_CHARS + 100


class Endless(Sequence[int]):
    def __len__(self) -> int:
        return 2**60

    def __getitem__(self, index: Any) -> Any:
        return index

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 7


class Refusing(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise OSError(key)

    def __iter__(self) -> Iterator[str]:
        raise OSError("no keys today")

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        raise OSError("nor a text")


class Nameless:
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError("not even a class")

    __str__ = None  # type: ignore[assignment]


def test_objects_that_fail_become_their_type_name() -> None:
    """Nothing that an object raises gets out, be it asked for items, text or class."""
    assert json_text([1, Refusing()]) == '[1,"Refusing"]'
    assert json_text([1, Nameless()]) == '[1,"Nameless"]'
    assert len(json_text(Endless())) >= MAX_TEXT_CHARS


def test_integers_of_too_many_digits_are_hexadecimal() -> None:
    """Where Python refuses to make decimal digits the value is kept in hexadecimal ones."""
    text = json_text([10**5000])
    assert int(json.loads(text)[0], 16) == 10**5000


@given(st.text())
def test_parsing_refuses_with_value_error(text: str) -> None:
    """Any text parses or raises ``ValueError``."""
    try:
        parse_json(text)
    except ValueError:
        pass


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "[" * 100_000, "1" * 5000])
def test_python_extensions_are_no_json(text: str) -> None:
    """What only Python's parser takes, or what exhausts it, is refused."""
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize("depth", [MAX_PARSED_DEPTH + 1, 600, 900])
def test_nesting_that_a_later_recursion_cannot_follow_is_refused(depth: int) -> None:
    """The parser itself follows nearly a thousand levels; showing such a value would not."""
    with pytest.raises(ValueError, match="nested"):
        parse_json('{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}")


def test_nesting_that_encoders_write_is_parsed() -> None:
    """Text of the greatest depth written comes back, and can be shown."""
    text = "[" * MAX_PARSED_DEPTH + "]" * MAX_PARSED_DEPTH
    value = parse_json(text)
    assert json_line(value) == plain_text(value) == text

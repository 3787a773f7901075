"""Lists and maps as JSON text, spelled as ``serde_json`` spells them, and back.

No spaces; object keys sorted by their UTF-8 bytes; ``"``, ``\\`` and control characters escaped
(the short forms where there are any, else ``\\u00xx`` in lower case), all else raw; doubles always
show a fraction or an exponent, non-finite ones are ``null`` (spec/otel-on-etw.md, section 3).

The reference stops at one level of nesting and loses bytes; here values nest to any depth a reader
can follow, and bytes become base64 text.  What no text can hold has a stated stand-in:

=====================================  ==============================================
a container inside itself              ``"(contains itself)"``
more than 64 levels                    ``"(nested deeper than 64 levels)"``
an object of any other type            its ``str()``, or its type's name if that fails
an integer of over 4300 digits         its hexadecimal digits, as a string
text that passes 1 MiB                 ends there
=====================================  ==============================================

The last bound is far above what fits an event; it keeps a small structure that refers to its parts many
times over from becoming gigabytes of text.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from otel_etw.layouts.plain_text import clean_text, integer_text, text_of

MAX_DEPTH = 64
MAX_PARSED_DEPTH = 2 * MAX_DEPTH
MAX_TEXT_CHARS = 1 << 20
DEEP_TEXT = f"(nested deeper than {MAX_DEPTH} levels)"
CYCLE_TEXT = "(contains itself)"

# An item takes two characters at least, so no more of them can show.
_MAX_ITEMS = MAX_TEXT_CHARS // 2

_encode_string = json.JSONEncoder(ensure_ascii=False).encode


class _FullError(Exception):
    """The text has reached its greatest length."""


def json_text(value: object, max_depth: int = MAX_DEPTH) -> str:
    """The JSON text of any Python value; never raises."""
    writer = _Writer(max_depth)
    try:
        writer.write(value)
    except _FullError:
        pass
    except RecursionError:
        return json_string("(nested too deeply)")
    return "".join(writer.pieces)


def json_string(text: str) -> str:
    """``text`` as a JSON string, quotes included."""
    return _encode_string(clean_text(text))


def json_double(number: float) -> str:
    """A double as ``serde_json`` spells it (``1.0``, ``0.00001``, ``1e-7``); ``null`` if not finite."""
    if number - number != 0.0:
        return "null"
    text = float.__repr__(number)
    mantissa, marker, exponent_text = text.partition("e")
    if not marker:
        return text
    exponent = int(exponent_text)
    return format(Decimal(text), "f") if -5 <= exponent < 0 else f"{mantissa}e{exponent}"


def json_pairs(pairs: Sequence[tuple[str, object]]) -> list[str]:
    """The members of one JSON object (``"key":value``), sorted by key; a repeated key is written again."""
    cleaned = sorted(((clean_text(key), value) for key, value in pairs), key=lambda pair: pair[0])
    return [f"{json_string(key)}:{json_text(value)}" for key, value in cleaned]


def parse_json(text: str) -> Any:
    """What a JSON text holds; ``ValueError`` if it is none (``NaN`` and its kin are none).

    Nor is it taken if it nests more than :data:`MAX_PARSED_DEPTH` deep: parsers differ in how deep they
    follow, and whoever gets the value follows it with a recursion of its own.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON text nested too deeply") from None
    if is_deeper(value, MAX_PARSED_DEPTH):
        raise ValueError(f"JSON text nested deeper than {MAX_PARSED_DEPTH} levels")
    return value


def is_deeper(value: object, levels: int) -> bool:
    """Whether lists and maps nest more than ``levels`` deep; goes level by level, not by recursion."""
    containers = [value] if isinstance(value, (list, dict)) else []
    while containers and levels:
        levels -= 1
        containers = [
            member
            for container in containers
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, (list, dict))
        ]
    return bool(containers)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _Writer:
    """Collects the pieces of one text, and knows how much there is and which containers are open."""

    def __init__(self, max_depth: int) -> None:
        self.pieces: list[str] = []
        self._max_depth = max_depth
        self._length = 0
        self._open: set[int] = set()

    def write(self, value: object) -> None:
        try:
            kind = _kind(value)
            content = _content(kind, value)
        except Exception:  # noqa: BLE001 - whatever the application's object raises
            # Not even its type can be asked for, or its items not be had: text, which always can.
            kind, content = "scalar", json_string(text_of(value))
        if kind == "scalar":
            self._put(str(content))
        elif id(value) in self._open:
            self._put(json_string(CYCLE_TEXT))
        elif len(self._open) >= self._max_depth:
            self._put(json_string(DEEP_TEXT))
        else:
            self._open.add(id(value))
            self._write_items(kind, content)
            self._open.discard(id(value))

    def _write_items(self, kind: str, items: Any) -> None:
        first, last = ("{", "}") if kind == "map" else ("[", "]")
        self._put(first)
        for index, item in enumerate(items):
            if index:
                self._put(",")
            if kind == "map":
                key, item = item
                self._put(f"{json_string(key)}:")
            self.write(item)
        self._put(last)

    def _put(self, piece: str) -> None:
        self.pieces.append(piece)
        self._length += len(piece)
        if self._length >= MAX_TEXT_CHARS:
            raise _FullError


def _kind(value: object) -> str:
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return "scalar"
    if isinstance(value, Mapping):
        return "map"
    return "list" if isinstance(value, Sequence) else "scalar"


def _content(kind: str, value: Any) -> object:
    """A scalar's text, a map's (key, value) pairs in order, or a list's items."""
    if kind == "map":
        pairs = [(text_of(key), item) for key, item in islice(value.items(), _MAX_ITEMS)]
        return sorted(pairs, key=lambda pair: pair[0])
    if kind == "list":
        return list(islice(value, _MAX_ITEMS))
    return _scalar_text(value)


def _scalar_text(value: object) -> str:
    if isinstance(value, str):
        return json_string(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        text = integer_text(value)
        return json_string(text) if "x" in text else text
    if isinstance(value, float):
        return json_double(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return json_string(b64encode(value).decode("ascii"))
    return json_string(text_of(value))

"""The one written convention for what JSON columns hold, so that types survive in text. Pure.

* bytes are an object with one member: ``{"$bytes": "<base64>"}``;
* numbers that JSON has no spelling for are the texts ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``;
* a double always shows a fraction or an exponent, an integer never does, and has all its digits;
* GUIDs, times, addresses, SIDs are their text;
* members stand in the order of the event; text is not escaped more than JSON asks for.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

BYTES_KEY = "$bytes"
"""The member of the object that stands for bytes."""

_NON_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def json_value(value: object) -> Any:
    """A decoded value of any type as what ``json.dumps`` takes without loss."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _NON_FINITE[str(float(value))]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {BYTES_KEY: b64encode(bytes(value)).decode("ascii")}
    if hasattr(value, "isoformat"):  # before numbers and tuples: the times of Windows are such
        return value.isoformat()
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): json_value(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(element) for element in value]
    return str(value)


def json_text(value: object) -> str:
    """``value`` as JSON text; what has no encoding (lone surrogates) becomes U+FFFD."""
    text = _dumps(json_value(value))
    return text if text.isascii() else encodable(text)


def json_object(members: Iterable[tuple[str, object]]) -> str:
    """An object of all ``members``, those of equal names too."""
    return "{" + ",".join(f"{json_text(name)}:{json_text(value)}" for name, value in members) + "}"


def encodable(text: str) -> str:
    """``text`` with lone surrogates replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text

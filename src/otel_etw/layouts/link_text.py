"""Span links as JSON text, the way of all producers: ids under ``toTraceId`` and ``toSpanId``."""

from __future__ import annotations

import json
from typing import Any


def link_ids(text: str | None) -> list[tuple[str, str]] | None:
    """(trace id, span id) of each link in a list of objects, or in one object that repeats its keys."""
    try:
        found = json.loads(text or "", object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list):
        return None
    ids: list[tuple[str, str]] = []
    for pairs in _repeated_objects(found) if isinstance(found, _Pairs) else found:
        link = dict(pairs) if isinstance(pairs, _Pairs) else {}
        trace_id, span_id = link.get("toTraceId"), link.get("toSpanId")
        if not isinstance(trace_id, str) or not isinstance(span_id, str):
            return None
        ids.append((trace_id.lower(), span_id.lower()))
    return ids


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, repeated keys kept."""


def _repeated_objects(pairs: _Pairs) -> list[_Pairs]:
    """The objects that were written into one another: a key met before begins the next."""
    objects: list[_Pairs] = []
    keys: set[str] = set()
    for key, value in pairs:
        if not objects or key in keys:
            objects.append(_Pairs())
            keys.clear()
        objects[-1].append((key, value))
        keys.add(key)
    return objects

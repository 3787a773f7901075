"""Byte counts as people write them: ``64KB``, ``256 MiB``."""

from __future__ import annotations

import re

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d{1,20})\s*(?:([kmgt])(?:i?b)?|b)?", re.IGNORECASE | re.ASCII)


def size_in_bytes(value: int | str) -> int:
    """A number of bytes, given as such or as text with a unit: ``B``, ``KB``, ``MB``, ``GB``, ``TB``.

    Letter case, spaces, and the ``B`` are free.  Units are powers of 1024, with (``KiB``) or without
    (``KB``) the ``i``, as buffers are counted by every tool for ETW.  Raises ValueError for text that is
    no size, TypeError for what is neither text nor int.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise TypeError(f"a size must be an int or text, not {type(value).__name__}")
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f'a size must be bytes, or text such as "64 KB" or "256 MiB", not {value!r}')
    number, unit = match.groups("")
    return int(number) * int(1024 ** _POWERS[unit.lower()])

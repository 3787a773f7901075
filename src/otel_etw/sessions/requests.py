"""What a person asks of a session, provider by provider: ``NAME_OR_GUID[:LEVEL[:KEYWORDS]]``. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from uuid import UUID

from otel_etw.tracelogging.provider_names import Registered, named_provider
from otel_etw.tracelogging.types import LEVEL_NUMBERS, Level

ALL_KEYWORDS = 0xFFFFFFFF_FFFFFFFF
"""All bits, spelled out: 0 means "all" to the kernel, too, but some exporters (those in Rust) compare the
mask themselves, and would stay silent."""

_HEXADECIMAL = re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE | re.ASCII)
_ORIGINS = {
    "registered": "registered on this machine",
    "hashed": "GUID hashed from the name",
    "given": "GUID as given",
    "fixed": "the provider of all metrics, fixed GUID",
}


class ProviderRequest(NamedTuple):
    """One provider and which of its events are wanted.

    ``origin`` is that of :class:`.NamedProvider`. ``level``: events of this level (0 to 255) or a smaller
    one, 0 for all. ``any_keyword``: events with one of these 64 bits, 0 for all.
    """

    name: str
    id: UUID
    origin: str
    level: int = Level.VERBOSE
    any_keyword: int = ALL_KEYWORDS


def parse_request(
    text: str,
    registered: Registered | None = None,
    *,
    level: int = Level.VERBOSE,
    any_keyword: int = ALL_KEYWORDS,
) -> ProviderRequest:
    """The request that ``text`` spells; ``level`` and ``any_keyword`` stand in for what it leaves out.

    The name is looked up as :func:`.named_provider` does it.  Raises ``ValueError``, which says what was
    expected and found.
    """
    name, *rest = text.strip().split(":")
    if len(rest) > 2:
        raise ValueError(
            f"expected NAME[:LEVEL[:KEYWORDS]], found {text!r}: a name with ':' goes by its GUID"
        )
    level_text, keywords_text = (*rest, "", "")[:2]
    try:
        provider = named_provider(name.strip(), registered)
        return ProviderRequest(
            *provider,
            request_level(level_text) if level_text else level,
            request_keywords(keywords_text) if keywords_text else any_keyword,
        )
    except ValueError as problem:
        raise ValueError(f"{text!r}: {problem}" if rest else str(problem)) from None


def request_level(text: str) -> int:
    """The number of a level given by name, or by number (0 to 255). Raises ``ValueError``."""
    known = LEVEL_NUMBERS.get(text.lower())
    if known is not None:
        return known
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    order = "; the level comes before the keywords" if _HEXADECIMAL.fullmatch(text) else ""
    raise ValueError(
        f"expected a level (critical, error, warning, info, verbose or 0 to 255), found {text!r}{order}"
    )


def request_keywords(text: str) -> int:
    """A 64-bit mask in decimal, or in hexadecimal after ``0x``. Raises ``ValueError``."""
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= ALL_KEYWORDS:
        return int(text)
    raise ValueError(f"expected keywords (a mask of 64 bits such as 0x10), found {text!r}")


def described(request: ProviderRequest) -> str:
    """The request in words, in one line: what was chosen, and why."""
    name = f"  {request.name}" if request.origin != "given" else ""
    return f"{request.id}{name}  ({_ORIGINS[request.origin]}; {_wanted(request)})"


def _wanted(request: ProviderRequest) -> str:
    level, mask = request.level, request.any_keyword
    if level == 0:
        levels = "all levels"
    elif level <= Level.VERBOSE:
        levels = f"up to level {level} ({Level(level).name.lower()})"
    else:
        levels = f"up to level {level}"
    return f"{levels}, {'all keywords' if mask in (0, ALL_KEYWORDS) else f'keywords {mask:#x}'}"

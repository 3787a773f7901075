"""Which events a session wants: a level and a keyword for all providers, others for single ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from otel_etw.tracelogging.provider_id import provider_id as provider_id_of

_HIGHEST_LEVEL = 0xFF
_ALL_KEYWORDS = 0xFFFFFFFF_FFFFFFFF
_GUID_TEXT = re.compile(r"\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?", re.IGNORECASE)


class ProviderFilter(NamedTuple):
    """Which events of a provider a session wants.

    Those of a level up to ``level`` (1 to 255; 0 for any) that have a bit of ``keyword`` (64-bit mask; 0
    for any).  An event of level 0 or keyword 0 passes, as it does in ETW.
    """

    level: int = 0
    keyword: int = 0

    @property
    def highest_level(self) -> int:
        """The level with "any" as a number."""
        return self.level or _HIGHEST_LEVEL

    @property
    def keyword_mask(self) -> int:
        """The keyword with "any" as bits."""
        return self.keyword or _ALL_KEYWORDS

    def wants(self, level: int, keyword: int) -> bool:
        """Whether an event of this level and keyword passes."""
        return level <= self.highest_level and (not keyword or bool(keyword & self.keyword_mask))


Providers = Mapping["str | UUID", "tuple[int, int] | ProviderFilter"]
"""By a provider's name or GUID: its level and keyword."""


class SessionFilters(NamedTuple):
    """The filter of every provider."""

    others: ProviderFilter
    by_provider: Mapping[UUID, ProviderFilter]

    def of(self, provider_id: UUID) -> ProviderFilter:
        """That of one provider."""
        return self.by_provider.get(provider_id, self.others)

    @classmethod
    def checked(cls, level: int, keyword: int, providers: Providers | None) -> SessionFilters:
        """Raise ValueError or TypeError for what makes no sense, saying what and where."""
        if providers is not None and not isinstance(providers, Mapping):
            raise TypeError(
                f"providers must map names or GUIDs to (level, keyword), not {type(providers).__name__}"
            )
        by_provider: dict[UUID, ProviderFilter] = {}
        for key, chosen in (providers or {}).items():
            provider_id = _id_of(key)
            if provider_id in by_provider:
                raise ValueError(f"providers names {key!r} twice, as {provider_id}")
            by_provider[provider_id] = _checked_pair(f"providers[{key!r}]", chosen)
        return cls(_checked_filter("", level, keyword), by_provider)


def _id_of(key: str | UUID) -> UUID:
    if isinstance(key, UUID):
        return key
    if not isinstance(key, str):
        raise TypeError(f"a key of providers must be a name or a UUID, not {type(key).__name__}")
    if not key or "\0" in key:
        raise ValueError(f"a key of providers must be the name of a provider, not {key!r}")
    return UUID(key) if _GUID_TEXT.fullmatch(key) else provider_id_of(key)


def _checked_pair(what: str, chosen: tuple[int, int] | ProviderFilter) -> ProviderFilter:
    if not isinstance(chosen, tuple):
        raise TypeError(f"{what} must be a pair (level, keyword), not {type(chosen).__name__}")
    if len(chosen) != 2:
        raise ValueError(f"{what} must be a pair (level, keyword), not {chosen!r}")
    return _checked_filter(f"{what}: ", *chosen)


def _checked_filter(where: str, level: int, keyword: int) -> ProviderFilter:
    for what, value, largest in (("level", level, _HIGHEST_LEVEL), ("keyword", keyword, _ALL_KEYWORDS)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{where}{what} must be an int, not {type(value).__name__}")
        if not 0 <= value <= largest:
            raise ValueError(f"{where}{what} must be 0 to {largest}, not {value}")
    return ProviderFilter(level, keyword)

"""Which rows are wanted: by time, provider and level, for whole columns at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Selection:
    """Everything that is not ``None`` or empty has to fit; of several providers, one has to.

    ``since_unix_nano`` is included, ``until_unix_nano`` not, and both are held against a row's own ``time``.
    ``providers`` are names (wildcards ``*`` and ``?``, whatever the case of letters) or GUIDs. ``level`` is
    the most verbose ETW level wanted; events of level 0 pass, as they pass every filter in ETW.
    """

    since_unix_nano: int | None = None
    until_unix_nano: int | None = None
    providers: tuple[str, ...] = ()
    level: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of ``batch`` (of any of the tables) that are wanted."""
        masks = []
        if self.since_unix_nano is not None or self.until_unix_nano is not None:
            time = batch.column("time").cast(pa.int64()).to_numpy()
            masks.append(self.time_mask(time))
        if self.level is not None:
            masks.append(batch.column("level").to_numpy(zero_copy_only=False) <= self.level)
        if self.providers:
            names, ids = batch.column("provider"), batch.column("provider_id")
            masks.append(self._dictionary_mask(names, self.is_wanted_name))
            masks[-1] |= self._dictionary_mask(ids, self.is_wanted_id)
        if not masks:
            return batch
        return batch.filter(pa.array(np.logical_and.reduce(masks)))

    def time_mask(self, time_unix_nano: np.ndarray) -> np.ndarray:
        """Which of the times are wanted."""
        mask = np.ones(len(time_unix_nano), bool)
        if self.since_unix_nano is not None:
            mask &= time_unix_nano >= self.since_unix_nano
        if self.until_unix_nano is not None:
            mask &= time_unix_nano < self.until_unix_nano
        return mask

    def is_wanted_name(self, name: str | None) -> bool:
        """Whether a provider of that name is among those wanted by name."""
        return any(pattern.match((name or "").lower()) for pattern in _patterns(self.providers))

    def is_wanted_id(self, provider_id: UUID | str | None) -> bool:
        """Whether a provider of that GUID is among those wanted by GUID."""
        return provider_id is not None and str(provider_id) in _guids(self.providers)

    def wants_provider(self, name: str | None, provider_id: UUID | str | None) -> bool:
        """Whether events of that provider are wanted."""
        return not self.providers or self.is_wanted_id(provider_id) or self.is_wanted_name(name)

    @staticmethod
    def _dictionary_mask(column: pa.DictionaryArray, is_wanted: Callable[[str | None], bool]) -> np.ndarray:
        wanted = np.array([*map(is_wanted, column.dictionary.to_pylist()), False], bool)
        indices = pc.fill_null(column.indices, len(wanted) - 1).to_numpy()
        return wanted[indices]


def is_guid(text: str) -> bool:
    """Whether ``text`` is a GUID rather than a name, with braces or without."""
    return guid_of(text) is not None


def guid_of(text: str) -> str | None:
    """The GUID that ``text`` is, lower case without braces; ``None`` if it is a name."""
    try:
        return str(UUID(text)) if len(text.strip("{}")) == 36 else None
    except ValueError:
        return None


def _guids(providers: Sequence[str]) -> set[str]:
    return {guid for guid in map(guid_of, providers) if guid is not None}


def _patterns(providers: Iterable[str]) -> list[re.Pattern[str]]:
    names = (name for name in providers if guid_of(name) is None)
    return [re.compile(translate(name.lower()), re.DOTALL) for name in names]

"""Arguments that exporters, processors and handler have in common: checked, merged with the environment.

An argument that is ``None`` was not given: its ``OTEL_EXPORTER_ETW_*`` variable applies, then the default
(:mod:`otel_etw.environment`).  An invalid argument raises, since whoever wrote it is there to see it:
``TypeError`` or :class:`~otel_etw.errors.EncodeError` (a ``ValueError``), naming the argument and its value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from uuid import UUID

from otel_etw import environment
from otel_etw.errors import EncodeError
from otel_etw.layouts.common_schema.activity import ActivityId
from otel_etw.tracelogging.provider_id import check_provider_name, provider_id

__all__ = [
    "WriterOptions",
    "drop_oversize_option",
    "event_name_option",
    "flag_option",
    "level_option",
    "name_of_event",
    "provider_group_option",
    "writer_options",
]

_Item = TypeVar("_Item")
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class WriterOptions:
    """How the events of log records and spans are written.

    ``resource_attributes``: keys of the resource that every event repeats.  ``keyword``: 64-bit mask.
    ``activity_id``: which id fills the events' ActivityId, if any.  ``drop_oversize``: an item too large for
    an event is dropped instead of cut.
    """

    provider_name: str
    provider_id: UUID
    resource_attributes: frozenset[str]
    keyword: int
    activity_id: ActivityId | None
    provider_group: UUID | None
    mark_utf8: bool
    drop_oversize: bool


def writer_options(
    *,
    provider_name: str | None = None,
    etw_only_name: bool | None = None,
    resource_attributes: Collection[str] | None = None,
    keyword: int | None = None,
    activity_id: Literal["trace", "span", "none"] | None = None,
    provider_group: UUID | str | None = None,
    mark_utf8: bool | None = None,
    oversize: Literal["truncate", "drop"] | None = None,
) -> WriterOptions:
    """The options of one exporter, processor or handler."""
    etw_only = flag_option("etw_only_name", etw_only_name, environment.etw_only_name)
    name = _provider_name(provider_name, etw_only)
    return WriterOptions(
        provider_name=name,
        provider_id=provider_id(name),
        resource_attributes=_resource_attributes(resource_attributes),
        keyword=_keyword(keyword),
        activity_id=_activity_id(activity_id),
        provider_group=provider_group_option(provider_group),
        mark_utf8=flag_option("mark_utf8", mark_utf8, environment.mark_utf8),
        drop_oversize=drop_oversize_option(oversize),
    )


def provider_group_option(provider_group: UUID | str | None) -> UUID | None:
    """The provider group: a GUID, its text, or ``"none"``."""
    if provider_group is None:
        return environment.provider_group()
    if isinstance(provider_group, UUID):
        return provider_group
    if not isinstance(provider_group, str):
        raise _wrong_type("provider_group", "a UUID or its text", provider_group)
    if provider_group == "none":
        return None
    try:
        return UUID(provider_group)
    except ValueError:
        raise EncodeError(f"provider_group must be a GUID or its text, not {provider_group!r}") from None


def drop_oversize_option(oversize: str | None) -> bool:
    """Whether an item too large for an event is dropped: ``"truncate"`` or ``"drop"``."""
    if oversize is None:
        return environment.drop_oversize()
    return _word("oversize", oversize, ("truncate", "drop")) == "drop"


def flag_option(argument: str, value: bool | None, unset: Callable[[], bool]) -> bool:
    """A boolean argument; ``unset`` is asked where it was not given."""
    if value is None:
        return unset()
    if not isinstance(value, bool):
        raise _wrong_type(argument, "True or False", value)
    return value


def event_name_option(value: str | _Function | None, unset: Callable[[], str]) -> str | _Function:
    """The name of the ETW events, or a function that gives it; ``unset`` is asked where it was not given."""
    if value is None:
        return unset()
    if isinstance(value, str):
        if not value or "\0" in value:
            raise EncodeError(f"event_name must not be empty or contain NUL, not {value!r}")
    elif not callable(value):
        raise _wrong_type("event_name", "text or a function", value)
    return value


def name_of_event(event_name: str | Callable[[_Item], str], item: _Item, default: str) -> str:
    """The name of the ETW event of ``item``; ``default`` where the application's function gives none."""
    if isinstance(event_name, str):
        return event_name
    try:
        name: object = event_name(item)
    except Exception:  # noqa: BLE001 - a callback of the application's
        return default
    return name if isinstance(name, str) and name else default


def level_option(value: int | _Function | None, unset: Callable[[], int]) -> int | _Function:
    """A level from 1 to 5, or a function that gives it; ``unset`` is asked where it was not given."""
    if value is None:
        return unset()
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 5:
            raise EncodeError(f"level must be 1 (critical) to 5 (verbose), not {value}")
    elif isinstance(value, bool) or not callable(value):
        raise _wrong_type("level", "an integer or a function", value)
    return value


def _provider_name(value: object, etw_only: bool) -> str:
    if value is None:
        return environment.provider_name(etw_only=etw_only)
    if not isinstance(value, str):
        raise _wrong_type("provider_name", "text", value)
    try:
        check_provider_name(value, etw_only=etw_only)
    except EncodeError as error:
        raise EncodeError(f"provider_name: {error}") from None
    return value


def _resource_attributes(value: object) -> frozenset[str]:
    if value is None:
        return environment.resource_attributes()
    # One text would be taken for a collection of letters.
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise _wrong_type("resource_attributes", "a collection of keys", value)
    keys = list(value)
    for key in keys:
        if not isinstance(key, str):
            raise _wrong_type("resource_attributes", "a collection of keys, which are text", key)
    return frozenset(keys)


def _keyword(value: object) -> int:
    if value is None:
        return environment.keyword()
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type("keyword", "an integer", value)
    if not 0 <= value < 2**64:
        raise EncodeError(f"keyword must be an unsigned 64-bit mask, not {value}")
    return value


def _activity_id(value: object) -> ActivityId | None:
    if value is None:
        return environment.activity_id()
    word = _word("activity_id", value, ("trace", "span", "none"))
    if word == "trace":
        return "trace"
    return "span" if word == "span" else None


def _word(argument: str, value: object, words: tuple[str, ...]) -> str:
    choices = f"{', '.join(map(repr, words[:-1]))} or {words[-1]!r}"
    if not isinstance(value, str):
        raise _wrong_type(argument, choices, value)
    if value not in words:
        raise EncodeError(f"{argument} must be {choices}, not {value!r}")
    return value


def _wrong_type(argument: str, expected: str, value: object) -> TypeError:
    return TypeError(f"{argument} must be {expected}, not {_shown(value)} ({type(value).__name__})")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - an object of the application's
        return "an object that cannot be shown"
    return text if len(text) <= 80 else text[:80] + "..."

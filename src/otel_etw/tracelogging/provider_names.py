"""Which provider a person means who types a name or a GUID. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID, METRICS_PROVIDER_NAME, provider_id

_GUID = re.compile(
    r"\{?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}?", re.IGNORECASE | re.ASCII
)


class NamedProvider(NamedTuple):
    """A provider as the user named it.

    ``origin`` is ``"hashed"``, ``"given"`` (a GUID), ``"fixed"`` (metrics) or ``"registered"`` (with Windows,
    by a manifest or a MOF class, whose GUID need not be the name's hash).
    """

    name: str
    id: UUID
    origin: str


class Registered(Protocol):
    """The providers that are registered by name on a machine."""

    def find(self, name: str) -> Sequence[tuple[str, UUID]]:
        """Names, as registered, and GUIDs of those called ``name`` in whatever case; usually none or one."""
        ...


def named_provider(text: str, registered: Registered | None = None) -> NamedProvider:
    """The provider that ``text`` means.

    A GUID (braces allowed) stands for itself, ``metrics`` and the metrics provider's own name for the fixed
    GUID of the metrics provider, a name that ``registered`` knows for that provider; anything else is hashed.
    ``*`` before a name hashes it in any case.  Raises ``ValueError`` for an empty name, and for one that
    several providers have.
    """
    if text in ("", "*"):
        raise ValueError("a provider name must not be empty")
    if text.startswith("*"):
        return NamedProvider(text[1:], provider_id(text[1:]), "hashed")
    guid = _GUID.fullmatch(text)
    if guid:
        return NamedProvider(text, UUID(guid[1]), "given")
    if text.lower() in ("metrics", METRICS_PROVIDER_NAME.lower()):
        return NamedProvider(METRICS_PROVIDER_NAME, METRICS_PROVIDER_ID, "fixed")
    found = dict.fromkeys(registered.find(text)) if registered is not None else {}
    if len({guid for _, guid in found}) > 1:
        guids = ", ".join(sorted(str(guid) for _, guid in found))
        raise ValueError(f"several registered providers are called {text!r}, name one by its GUID: {guids}")
    for name, identity in found:
        return NamedProvider(name, identity, "registered")
    return NamedProvider(text, provider_id(text), "hashed")

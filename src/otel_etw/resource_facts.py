"""What of an SDK resource goes into every event, kept for the resources that were seen last.

The SDK replaces a provider's resource after a fork (``service.instance.id`` changes), and an identity may be
used again for another object: what is kept is therefore found by content.  Only beside the resource itself,
which cannot change and is held, does identity tell that nothing has to be compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from otel_etw.layouts.common_schema import ResourceFacts, resource_facts

_KEPT = 8


class ResourceLike(Protocol):
    """The SDK's ``Resource``, of which only the attributes count."""

    @property
    def attributes(self) -> Mapping[str, object]:
        """By key."""


class FactsCache:
    """Equal resources give the *same* :class:`ResourceFacts` object, as long as it is among the last eight.

    ``chosen`` are the keys of the attributes that go into every event.  Any thread may ask.
    """

    def __init__(self, chosen: Collection[str] = ()) -> None:
        self._chosen = frozenset(chosen)
        self._none = ResourceFacts()
        self._last: tuple[object, ResourceFacts] = (None, self._none)
        self._by_content: dict[object, ResourceFacts] = {}

    def facts(self, resource: ResourceLike | None) -> ResourceFacts:
        """The facts of a resource; of none at all, none."""
        known, facts = self._last
        if resource is known:
            return facts
        facts = self._none if resource is None else self._found(resource.attributes)
        self._last = (resource, facts)
        return facts

    def _found(self, attributes: Mapping[str, object]) -> ResourceFacts:
        facts = resource_facts(attributes, self._chosen)
        # 1, True and 1.0 are equal and yet different facts.
        content = (facts.role, facts.role_instance, tuple((key, repr(value)) for key, value in facts.chosen))
        found = self._by_content.get(content)
        if found is None:
            by_content = dict(list(self._by_content.items())[1 - _KEPT :])
            by_content[content] = found = facts
            self._by_content = by_content
        return found

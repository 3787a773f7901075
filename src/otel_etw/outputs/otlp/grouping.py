"""Rows gathered by the resource and scope they share, which OTLP says once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar, final

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_etw.layouts.otlp_metrics.values import key_values
from otel_etw.outputs.otlp.values import attributes_of

_OfResource = TypeVar("_OfResource")
_OfScope = TypeVar("_OfScope")

SERVICE_COLUMNS = ("service_name", "service_instance_id")
SCOPE_COLUMNS = ("scope_name", "scope_version", "scope_schema_url", "scope_attributes")


class ScopeKey(NamedTuple):
    """The columns that tell scopes apart."""

    name: str | None = None
    version: str | None = None
    schema_url: str | None = None
    attributes: str | None = None


@final
class Groups(Generic[_OfResource, _OfScope]):
    """Finds the scope's message for a row, and makes it, and that of its resource, for the first such row."""

    def __init__(
        self,
        add_resource: Callable[[Hashable], _OfResource],
        add_scope: Callable[[_OfResource, ScopeKey], _OfScope],
    ) -> None:
        self._add_resource = add_resource
        self._add_scope = add_scope
        self._resources: dict[Hashable, _OfResource] = {}
        self._scopes: dict[tuple[Hashable, ScopeKey], _OfScope] = {}

    def of(self, resource: Hashable, scope: ScopeKey) -> _OfScope:
        """The message that the row belongs to."""
        key = (resource, scope)
        found = self._scopes.get(key)
        if found is None:
            of_resource = self._resources.get(resource)
            if of_resource is None:
                of_resource = self._resources[resource] = self._add_resource(resource)
            found = self._scopes[key] = self._add_scope(of_resource, scope)
        return found


def service_resource(service: tuple[str | None, str | None]) -> Resource:
    """The resource of rows that know it only by service name and instance id."""
    names = ("service.name", "service.instance.id")
    facts = {name: value for name, value in zip(names, service, strict=True) if value is not None}
    return Resource(attributes=key_values(facts))


def scope_message(scope: ScopeKey) -> InstrumentationScope:
    """The scope; empty for rows that know none."""
    return InstrumentationScope(
        name=scope.name or "", version=scope.version or "", attributes=attributes_of(scope.attributes)
    )

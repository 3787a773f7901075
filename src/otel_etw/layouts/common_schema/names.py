"""Field names of Common Schema events that both directions use."""

CSVER = "__csver__"
CSVER_VALUE = 0x400

MORE = "otel_etw.more"
"""PartC member of this project: the attributes that had no room as members, one JSON object."""

TRUNCATED = "otel_etw.truncated"
"""PartC member of this project: what was cut, a JSON object of field name -> length in bytes before."""

WELL_KNOWN = {
    "db.system.name": "dbSystem",
    "db.namespace": "dbName",
    "db.query.text": "dbStatement",
    "http.request.method": "httpMethod",
    "url.full": "httpUrl",
    "http.response.status_code": "httpStatusCode",
    "messaging.system": "messagingSystem",
    "messaging.destination.name": "messagingDestination",
    "messaging.url": "messagingUrl",
    "rpc.system.name": "rpcSystem",
    "rpc.response.status_code": "rpcGrpcStatusCode",
}
"""Attributes of spans that have a field in PartB, in the order of those fields (section 3.2)."""

ATTRIBUTE_OF = {field: attribute for attribute, field in WELL_KNOWN.items()}
"""The same the other way round."""

EXCEPTION_ATTRIBUTES = {
    "ex_type": "exception.type",
    "ex_msg": "exception.message",
    "ex_stack": "exception.stacktrace",
}
"""What the .NET Geneva exporter says of an exception (behind ``ext_`` or ``env_``, section 4.2)."""

SEVERITY_OF_LEVEL = {1: 21, 2: 17, 3: 13, 4: 9, 5: 5}
"""ETW level -> severity number, where only a level is known; others say nothing about severity."""

SPAN_KINDS = ("internal", "server", "client", "producer", "consumer")
"""What the numbers of a span's ``kind`` mean."""


def span_kind(number: int | None) -> str | None:
    """The word for the number; a number without one as text."""
    if number is None:
        return None
    return SPAN_KINDS[number] if 0 <= number < len(SPAN_KINDS) else str(number)


# What an extended span event has in PartC behind its attributes, in this order. OpenTelemetry's own names for
# formats without such fields, where there are any.
STATUS_CODE = "otel.status_code"
TRACE_STATE = "otel_etw.trace_state"
TRACE_FLAGS = "otel_etw.trace_flags"
PARENT_IS_REMOTE = "otel_etw.parent_is_remote"
DROPPED_ATTRIBUTES = "otel.dropped_attributes_count"
DROPPED_EVENTS = "otel.dropped_events_count"
DROPPED_LINKS = "otel.dropped_links_count"
SCOPE_NAME = "otel.scope.name"
SCOPE_VERSION = "otel.scope.version"
SCOPE_SCHEMA_URL = "otel.scope.schema_url"
SCOPE_ATTRIBUTES = "otel_etw.scope_attributes"
LINKS = "otel_etw.links"
"""A JSON list of what PartB's ``links`` have no room for; each object's ``index`` counts them from 0."""

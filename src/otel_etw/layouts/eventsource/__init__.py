"""Providers made with .NET's EventSource, which describe their events in manifests inside the trace.

``Manifests`` takes in the pieces of manifests as they are met and finds the description of an event;
``decode`` reads a payload by it.
"""

from otel_etw.layouts.eventsource.manifest import Manifest, parse_manifest
from otel_etw.layouts.eventsource.manifests import (
    MANIFEST_EVENT_ID,
    MANIFEST_OPCODE,
    Manifests,
    is_manifest_event,
)
from otel_etw.layouts.eventsource.template import EventTemplate, TemplateField, decode, template_field

__all__ = [
    "MANIFEST_EVENT_ID",
    "MANIFEST_OPCODE",
    "EventTemplate",
    "Manifest",
    "Manifests",
    "TemplateField",
    "decode",
    "is_manifest_event",
    "parse_manifest",
    "template_field",
]

"""Log records and spans as Common Schema events (parts A, C, B), and back.

The layouts are those of the Rust crates ``opentelemetry-etw-logs`` 0.11 and ``opentelemetry-etw-traces`` 0.1,
byte for byte, as ``spec/otel-on-etw.md`` sections 3.1 and 3.2 have them.  Where the reference loses or
corrupts data (sections 5.1 and 5.2), these encoders keep it, in a form that readers of the reference's events
can follow:

* an ``event_id`` of a log record that is no integer stays a member of PartC;
* lists and maps are always JSON text, to any depth (:mod:`otel_etw.layouts.json_text`), and a span's links
  are always there;
* of more than 127 members of PartC the surplus goes into one last member ``otel_etw.more``, a JSON object;
* NUL in a key, which would end the name early, becomes U+FFFD;
* an event too large is cut: the longest values lose their ends, at a character boundary, until it fits, and
  a member ``otel_etw.truncated`` (a JSON object, field name -> length in bytes before) says which.  If the
  keys are what is too large, members with long keys, or in the end all, move into ``otel_etw.more``, which
  loses whole members from its end, as ``links`` lose whole links, and the event's name is cut to 255 bytes.

An *extended* span event (``extended=True``) has further members in PartC, behind its attributes, for what the
reference does not export.  Only those that say something are written (no zero, no empty text):

=====================================  ================================================================
``otel.status_code``                   text ``OK``: the status was set to OK (an error shows in ``success``)
``otel_etw.trace_state``               text, as the W3C header has it
``otel_etw.trace_flags``               integer; 1 is sampled
``otel_etw.parent_is_remote``          true
``otel.dropped_attributes_count``      integer, as are ``otel.dropped_events_count`` and
                                       ``otel.dropped_links_count``
``otel.scope.name``                    text, as are ``otel.scope.version`` and ``otel.scope.schema_url``
``otel_etw.scope_attributes``          JSON object
``otel_etw.links``                     JSON list of objects with ``index`` (of the link in ``links``, from 0)
                                       and those of ``attributes``, ``trace_state``,
                                       ``dropped_attributes_count`` that the link has
=====================================  ================================================================

``mark_utf8=True`` gives the out-type UTF-8 to all text that the reference leaves without one, which Windows'
viewers show in code page 1252.  It changes the metadata, so it is off by default.

Python's own values: an integer beyond 64 bits is decimal text, ``None`` an empty string (an absent body),
any other object its ``str()``, lone surrogates U+FFFD.  List-valued *resource* attributes are empty strings,
as in the reference.
"""

from otel_etw.layouts.common_schema.decode_log import decode_log
from otel_etw.layouts.common_schema.decode_span import decode_span
from otel_etw.layouts.common_schema.encode_log import encode_log
from otel_etw.layouts.common_schema.encode_span import encode_span
from otel_etw.layouts.common_schema.names import MORE, TRUNCATED
from otel_etw.layouts.common_schema.record import (
    LinkFields,
    LogFields,
    ResourceFacts,
    SpanFields,
    resource_facts,
    severity_level,
)

__all__ = [
    "MORE",
    "TRUNCATED",
    "LinkFields",
    "LogFields",
    "ResourceFacts",
    "SpanFields",
    "decode_log",
    "decode_span",
    "encode_log",
    "encode_span",
    "resource_facts",
    "severity_level",
]

"""Log records as Common Schema events (parts A, C, B), and back.

The layout is that of the Rust crate ``opentelemetry-etw-logs`` 0.11, byte for byte, as
``spec/otel-on-etw.md`` section 3.1 has it.  Where the reference loses or corrupts data (section 5.1), this
encoder keeps it, in a form that readers of the reference's events can follow:

* an ``event_id`` that is no integer stays a member of PartC;
* lists and maps are always JSON text, to any depth (:mod:`otel_etw.layouts.json_text`);
* of more than 127 members of PartC the surplus goes into one last member ``otel_etw.more``, a JSON object;
* NUL in a key, which would end the name early, becomes U+FFFD;
* an event too large is cut: the longest values lose their ends, at a character boundary, until it fits, and
  a member ``otel_etw.truncated`` (a JSON object, field name -> length in bytes before) says which.  If the
  keys are what is too large, members with long keys, or in the end all, move into ``otel_etw.more``, which
  loses whole members from its end, and the event's name is cut to 255 bytes.

Python's own values: an integer beyond 64 bits is decimal text, ``None`` an empty string (an absent body),
any other object its ``str()``, lone surrogates U+FFFD.  List-valued *resource* attributes are empty strings,
as in the reference.
"""

from otel_etw.layouts.common_schema.decode import decode_log
from otel_etw.layouts.common_schema.encode import encode_log
from otel_etw.layouts.common_schema.names import MORE, TRUNCATED
from otel_etw.layouts.common_schema.record import LogFields, ResourceFacts, resource_facts, severity_level

__all__ = [
    "MORE",
    "TRUNCATED",
    "LogFields",
    "ResourceFacts",
    "decode_log",
    "encode_log",
    "resource_facts",
    "severity_level",
]

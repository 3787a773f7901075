"""The encoding of self-describing (TraceLogging) events: pure functions on bytes, no I/O, no OpenTelemetry.

:mod:`.types` has the wire values, :mod:`.values` the Python values that Windows types become,
:mod:`.provider_id` provider names, GUIDs and traits, :mod:`.metadata` the description of an event's fields,
:mod:`.encode` and :mod:`.decode` the two directions of the field values.
"""

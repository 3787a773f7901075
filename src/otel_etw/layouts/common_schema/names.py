"""Field names of Common Schema log events that both directions use."""

CSVER = "__csver__"
CSVER_VALUE = 0x400

MORE = "otel_etw.more"
"""PartC member of this project: the attributes that had no room as members, one JSON object."""

TRUNCATED = "otel_etw.truncated"
"""PartC member of this project: what was cut, a JSON object of field name -> length in bytes before."""

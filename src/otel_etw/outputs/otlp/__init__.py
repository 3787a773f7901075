"""Rows of the tables as OTLP messages, and those as OTLP's JSON.

``logs_data``, ``traces_data`` and ``metrics_data`` each take a record batch of their table and give the one
message that the OTLP file format and OTLP requests are made of: a ``LogsData`` has the wire format of an
``ExportLogsServiceRequest``, and so on.
"""

from __future__ import annotations

from otel_etw.outputs.otlp.json_form import json_line
from otel_etw.outputs.otlp.logs import logs_data
from otel_etw.outputs.otlp.metrics import metrics_data
from otel_etw.outputs.otlp.spans import traces_data

__all__ = ["json_line", "logs_data", "metrics_data", "traces_data"]

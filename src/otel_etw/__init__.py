"""OpenTelemetry on ETW (Event Tracing for Windows).

Exporters that put the OpenTelemetry SDK's logs, spans and metrics on ETW as self-describing events, a
``logging`` handler that does so without the SDK's records, a session that writes them to an ``.etl`` file on
any system, a reader for such files, and what they hold as Arrow tables.  The names below load what they need
when they are first used; importing this package loads neither the SDK nor protobuf.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from otel_etw._version import __version__

if TYPE_CHECKING:
    from otel_etw.etl.reader import open_etl
    from otel_etw.handler import EtwHandler
    from otel_etw.loading import load
    from otel_etw.logs import EtwLogRecordExporter, EtwLogRecordProcessor
    from otel_etw.metrics import EtwMetricExporter
    from otel_etw.sessions.embedded import EtlSession
    from otel_etw.sessions.live import LiveSession
    from otel_etw.spans import EtwSpanExporter, EtwSpanProcessor
    from otel_etw.tracelogging.provider_id import provider_id

__all__ = [
    "EtlSession",
    "EtwHandler",
    "EtwLogRecordExporter",
    "EtwLogRecordProcessor",
    "EtwMetricExporter",
    "EtwSpanExporter",
    "EtwSpanProcessor",
    "LiveSession",
    "__version__",
    "load",
    "open_etl",
    "provider_id",
]

# Public name -> the module that defines it, and the requirement that brings what this module imports.
_HOMES = {
    "EtlSession": ("otel_etw.sessions.embedded", "otel-etw"),
    "EtwHandler": ("otel_etw.handler", "otel-etw"),
    "EtwLogRecordExporter": ("otel_etw.logs", "otel-etw"),
    "EtwLogRecordProcessor": ("otel_etw.logs", "otel-etw"),
    "EtwMetricExporter": ("otel_etw.metrics", "otel-etw"),
    "EtwSpanExporter": ("otel_etw.spans", "otel-etw"),
    "EtwSpanProcessor": ("otel_etw.spans", "otel-etw"),
    "LiveSession": ("otel_etw.sessions.live", "otel-etw"),
    "load": ("otel_etw.loading", "otel-etw[tools]"),
    "open_etl": ("otel_etw.etl.reader", "otel-etw"),
    "provider_id": ("otel_etw.tracelogging.provider_id", "otel-etw"),
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562); ``MissingExtraError`` says what to install if that fails."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module_name, requirement = home
    try:
        value: object = getattr(import_module(module_name), name)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == __name__:
            raise
        from otel_etw.errors import MissingExtraError

        raise MissingExtraError(
            f'{name} needs the module {missing.name!r}; install it with: pip install "{requirement}"'
        ) from missing
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

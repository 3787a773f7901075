"""The environment variables of this package, read in one place.

``OTEL_EXPORTER_ETW_PROVIDER_NAME``
    Name of the provider of exporters that were given none; ``OpenTelemetry_Python`` by default.
``OTEL_EXPORTER_ETW_FILE``
    File of the session shared by exporters that were given none; ``{pid}`` in it stands for the process id.

A variable that is empty counts as unset, as everywhere in OpenTelemetry.
"""

from __future__ import annotations

import logging
import os

from otel_etw.errors import EncodeError
from otel_etw.tracelogging.provider_id import check_provider_name

PROVIDER_NAME_VARIABLE = "OTEL_EXPORTER_ETW_PROVIDER_NAME"
FILE_VARIABLE = "OTEL_EXPORTER_ETW_FILE"
DEFAULT_PROVIDER_NAME = "OpenTelemetry_Python"

_logger = logging.getLogger("otel_etw")


def provider_name(*, etw_only: bool = False) -> str:
    """The configured provider name; an invalid one is logged and the default used."""
    name = os.environ.get(PROVIDER_NAME_VARIABLE) or DEFAULT_PROVIDER_NAME
    try:
        check_provider_name(name, etw_only=etw_only)
    except EncodeError as error:
        _logger.warning("%s: %s; using %r", PROVIDER_NAME_VARIABLE, error, DEFAULT_PROVIDER_NAME)
        return DEFAULT_PROVIDER_NAME
    return name


def session_file() -> str | None:
    """The configured file of the shared session, or ``None``."""
    return os.environ.get(FILE_VARIABLE) or None

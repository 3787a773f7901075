"""Standard library logging, through the OpenTelemetry SDK, into an ``.etl`` file.

python examples/logs_to_etl.py app.etl && otel-etw view app.etl
"""

import logging
import sys

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource

from otel_etw import EtlSession, EtwLogRecordProcessor


def main(path: str) -> None:
    with EtlSession(path) as session:
        resource = Resource.create({"service.name": "orders", "deployment.environment": "test"})
        provider = LoggerProvider(resource=resource)
        processor = EtwLogRecordProcessor(
            "MyCompany_MyApp", session=session, resource_attributes={"deployment.environment"}
        )
        provider.add_log_record_processor(processor)

        log = logging.getLogger("orders")
        log.setLevel(logging.INFO)
        log.addHandler(LoggingHandler(logger_provider=provider))
        log.info("order %d accepted", 17, extra={"customer": "ann", "items": ["tea", "cups"]})
        log.warning("stock is low", extra={"article": "tea", "left": 3})

        provider.shutdown()
        print(f"{processor.stats.written} log records in {session.path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "app.etl")

"""Spans into an ``.etl`` file as they end, failed ones at another level, and with them their events.

python examples/spans_to_etl.py app.etl && otel-etw view app.etl
"""

import sys

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from otel_etw import EtlSession, EtwSpanProcessor


def level_of(span: ReadableSpan) -> int:
    """2 is ETW's error, 5 verbose: a session can take the failed spans alone."""
    return 5 if span.status.is_ok else 2


def main(path: str) -> None:
    with EtlSession(path) as session:
        provider = TracerProvider(resource=Resource.create({"service.name": "orders"}))
        processor = EtwSpanProcessor(
            "MyCompany_MyApp", session=session, level=level_of, activity_id="trace", extended=True
        )
        provider.add_span_processor(processor)

        tracer = provider.get_tracer("orders")
        with tracer.start_as_current_span("order", attributes={"customer": "ann"}):
            with tracer.start_as_current_span("reserve") as reserving:
                reserving.add_event("stock is low", {"article": "tea", "left": 3})
            try:
                with tracer.start_as_current_span("pay"):
                    raise ConnectionError("the bank does not answer")
            except ConnectionError:
                pass

        provider.shutdown()
        print(f"{processor.stats.written} spans and events of spans in {session.path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "app.etl")

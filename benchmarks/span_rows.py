"""Spans: our own cost, between a TracerProvider with our processor and one with a processor that is idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from benchmarks.do_nothing import DoNothingSession
from benchmarks.log_rows import RESOURCE
from benchmarks.measuring import best_ns, check
from benchmarks.table import Row, micro
from otel_etw import EtlSession, EtwSpanProcessor

ATTRIBUTES: dict[str, str | int] = {
    "http.request.method": "GET",
    "http.route": "/products/{id}",
    "url.full": "https://shop.example/products/17",
    "http.response.status_code": 200,
}


def rows(function: Any, folder: Path, rounds: int) -> Iterator[Row]:
    """Root spans with four attributes."""
    with EtlSession(folder / "spans.etl", mode="rolling", max_file_size="64 MiB", max_files=1) as session:
        listening = EtwSpanProcessor("Benchmark", session=DoNothingSession(function))
        into_file = EtwSpanProcessor("Benchmark", session=session)
        spent = best_ns(
            {
                "sdk": span_loop(SpanProcessor()),
                "ctypes": span_loop(listening),
                "file": span_loop(into_file),
            },
            times=3_000,
            rounds=rounds,
        )
        check(listening.stats, into_file.stats)
    sdk = f"{micro(spent['sdk'])} the SDK's span, from start to end"
    for where, key in (
        ("a span, to a C `EventWriteTransfer` that does nothing", "ctypes"),
        ("the same, into an `EtlSession`", "file"),
    ):
        own = spent[key] - spent["sdk"]
        yield Row(where if key == "file" else f"own cost of {where}", micro(own), sdk, own / spent["sdk"])


def span_loop(processor: SpanProcessor) -> Callable[[int], None]:
    """Starts and ends spans through the SDK's API."""
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("benchmark")

    def loop(times: int) -> None:
        start_span = tracer.start_span
        for _ in range(times):
            start_span("GET /products/{id}", attributes=ATTRIBUTES).end()

    return loop

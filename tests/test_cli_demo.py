"""``otel-etw demo``: the whole way from the SDK to the screen."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from otel_etw.cli.demo_service import PROVIDER_NAME
from otel_etw.etl.reader import open_etl
from otel_etw.layouts.items import LogItem, MetricPoint, SpanItem
from otel_etw.tables.items import items_of
from shown_traces import invoke, run_command


@pytest.fixture(autouse=True)
def _quiet_logger():
    """The demo silences the package's logger, which the other tests of this process do not expect."""
    handlers = list(logging.getLogger("otel_etw").handlers)
    yield
    logging.getLogger("otel_etw").handlers[:] = handlers


def all_contents(path: Path) -> list[object]:
    with open_etl(path) as trace:
        return [item.content for event in trace.in_time_order() for item in items_of(event)]


def contents(path: Path) -> tuple[list[LogItem], list[MetricPoint]]:
    found = all_contents(path)
    logs = [content for content in found if isinstance(content, LogItem)]
    return logs, [content for content in found if isinstance(content, MetricPoint)]


def test_the_demo_shows_all_signals_and_kinds(tmp_path: Path) -> None:
    """A table of log records, trees of spans, every metric, pictures of both, and what to try next."""
    path = tmp_path / "demo.etl"
    result = invoke("demo", "--output", path)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    text = result.stdout
    for level in ("DEBUG", "INFO", "WARN", "ERROR", "FATAL"):
        assert f"  {level:<6}  webshop" in text, level
    assert "PaymentDeclinedError" in text
    assert "more log records" in text
    for line in (
        "shop.orders  {order}, counter, delta",
        "shop.carts.open  {cart}, up-down counter, cumulative",
        "shop.stock  {item}, gauge",
        "http.server.request.duration  s, histogram, delta",
        "shop.order.value  EUR, exponential histogram, delta",
        "shop.sent  By, counter, delta",
        "shop.sessions.active  {session}, up-down counter, cumulative",
        "shop.cache.hit_ratio  1, gauge",
    ):
        assert line in text
    assert "█" in text
    assert text.index("shop open") < text.index("Traces  100 traces (") < text.index("Metrics")
    for line in ("├─ SELECT carts  client", "│  └─ POST /charges  client", "└─ INSERT orders  client"):
        assert line in text
    assert "POST /charges  client  failed: PaymentDeclinedError: card declined: limit reached" in text
    assert '{"shop.relation":"filled the cart"}' in text
    assert "more traces" in text
    assert "━" in text
    next_commands = [line.split("  ")[1] for line in text.splitlines() if line.startswith("  otel-etw ")]
    assert [line.split()[1] for line in next_commands] == ["view", "view", "view", "info", "guid"]
    for line in next_commands:
        assert invoke(*line.split()[1:]).exit_code == 0


def test_the_file_holds_what_the_service_did(tmp_path: Path) -> None:
    """Sums over the file equal the log: nothing is lost between the SDK and the file."""
    path = tmp_path / "demo.etl"
    assert invoke("demo", "--output", path, "--count", "40", "--seed", "5").exit_code == 0
    logs, points = contents(path)
    placed = [log for log in logs if log.body == "order placed"]
    assert placed
    # Older releases of the handler leave the name where the service put it, among the attributes.
    names = {log.event_name or log.attributes.get("otel.event.name") for log in placed}
    assert names == {"shop.order.placed"}
    assert sum(point.value or 0 for point in points if point.metric_name == "shop.orders") == len(placed)
    values = [point for point in points if point.metric_name == "shop.order.value"]
    assert sum(point.count or 0 for point in values) == len(placed)
    assert sum(point.sum or 0 for point in values) == pytest.approx(
        sum(log.attributes["order.value"] for log in placed)
    )
    durations = [point for point in points if point.metric_name == "http.server.request.duration"]
    assert sum(point.count or 0 for point in durations) == 40
    assert {point.kind for point in points} == {"sum", "gauge", "histogram", "exponential_histogram"}
    assert logs[-1].attributes == {"requests": 40, "orders": len(placed) + sum(
        log.body == "payment failed" for log in logs
    )}  # fmt: skip
    assert all(log.service_name == "webshop" for log in logs)
    inside = logs[1:-1]
    assert all(len(log.trace_id or "") == 32 and len(log.span_id or "") == 16 for log in inside)
    with open_etl(path) as trace:
        names = {event.provider_name for event in trace if event.kind == "event"}
        assert not trace.damage
        assert trace.damage.unfinished is None
    assert names == {PROVIDER_NAME, "NativeMetricsExtension_Provider"}


def test_the_file_holds_a_trace_for_each_request(tmp_path: Path) -> None:
    """Whole, inside the time of its root, with the log records of its spans and what failed in it."""
    path = tmp_path / "demo.etl"
    assert invoke("demo", "--output", path, "--count", "150").exit_code == 0
    found = all_contents(path)
    spans = [content for content in found if isinstance(content, SpanItem)]
    logs = [content for content in found if isinstance(content, LogItem)]
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    roots = [span for span in spans if span.parent_span_id is None]
    assert len(by_id) == len(spans)
    assert len(roots) == len({root.trace_id for root in roots}) == 150
    assert {root.kind for root in roots} == {"server"}
    assert {span.kind for span in spans} == {"server", "client", "internal"}
    for span in spans:
        assert span.duration_ns >= 0
        if span.parent_span_id is not None:
            parent = by_id[span.trace_id, span.parent_span_id]
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano
    assert {(log.trace_id, log.span_id) for log in logs[1:-1]} <= set(by_id)
    recorded = [log for log in logs if log.event_name == "exception" or log.body == "exception"]
    failed = {(span.trace_id, span.span_id) for span in spans if span.status == "error"}
    assert recorded
    assert {(log.trace_id, log.span_id) for log in recorded} <= failed
    links = [link for span in spans for link in span.links]
    assert links
    assert all(by_id[link.trace_id, link.span_id].name == "POST /cart" for link in links)


def test_a_seed_makes_the_same_day(tmp_path: Path) -> None:
    """Apart from times and ids."""
    stories = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert invoke("demo", "--output", tmp_path / name, "--count", "15", "--seed", seed).exit_code == 0
        logs, _ = contents(tmp_path / name)
        stories.append([(log.body, str(log.attributes.get("order.value"))) for log in logs])
    assert stories[0] == stories[1] != stories[2]


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    """As ``.1``, by the session."""
    path = tmp_path / "demo.etl"
    path.write_bytes(b"mine")
    assert invoke("demo", "--output", path, "--count", "1").exit_code == 0
    assert (tmp_path / "demo.etl.1").read_bytes() == b"mine"
    assert contents(path)[0]


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    """On stderr, with the reason, and exit code 1."""
    result = run_command("demo", "--output", tmp_path / "missing" / "demo.etl")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"otel-etw: {tmp_path / 'missing' / 'demo.etl'}: No such file or directory"
    ]


def test_a_disabled_sdk_is_noticed(tmp_path: Path) -> None:
    """An environment variable that silences the SDK would make an empty demo."""
    result = run_command(
        "demo", "--output", tmp_path / "demo.etl", "--count", "1", env={"OTEL_SDK_DISABLED": "true"}
    )
    assert result.returncode == 0
    assert "OTEL_SDK_DISABLED" in result.stdout


def test_the_environment_does_not_rename_the_service(tmp_path: Path) -> None:
    """Variables meant for real services do not reach the demo's own settings."""
    env = {
        "OTEL_SERVICE_NAME": "mine",
        "OTEL_EXPORTER_ETW_PROVIDER_NAME": "Mine",
        "OTEL_TRACES_SAMPLER": "always_off",
    }
    path = tmp_path / "demo.etl"
    assert run_command("demo", "--output", path, "--count", "5", env=env).returncode == 0
    logs, _ = contents(path)
    assert {log.service_name for log in logs} == {"webshop"}
    assert all(log.trace_id for log in logs[1:-1])

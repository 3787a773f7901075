"""Spans on the command line: trees among the rows, rows of their own, JSON lines, counts."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl_files import START_FILETIME, T0, buffer, event_record, trace_file, traits_blob
from otel_etw.errors import OtelEtwError
from otel_etw.layouts.common_schema import encode_log, encode_span
from otel_etw.layouts.common_schema.record import LogFields, SpanFields
from otel_etw.layouts.items import SpanItem
from otel_etw.outputs import span_traces
from otel_etw.outputs.text import printable
from otel_etw.sessions.embedded import EtlSession
from otel_etw.tracelogging.values import UNIX_EPOCH_FILETIME
from shown_traces import (
    EVIL,
    LOG_PROVIDER,
    LOG_TIME,
    SPAN_ID,
    TRACE_ID,
    checkout,
    invoke,
    rows,
    run_command,
    span,
    write_logs,
    write_spans,
)

OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six log records of one trace, its spans, and a trace of one failed span written as an error."""
    path = tmp_path_factory.mktemp("spans") / "spans.etl"
    with EtlSession(path) as session:
        write_logs(session)
        write_spans(session, checkout())
        alone = replace(checkout()[2], name="lonely", trace_id=OTHER_TRACE, parent_span_id=f"{SPAN_ID:016x}")
        write_spans(session, [alone], level=2)
    return path


def documents(path: Path, *options: object) -> list[dict[str, Any]]:
    result = invoke("view", path, "--signal", "spans", "--format", "jsonl", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


TREES = """\
2026-03-11 12:34:56.913  SPAN    shop    4bf92f35  POST /checkout  124 ms  server  http.route=/checkout  \
http.response.status_code=402  link=0af76519/b7ad6b71 {"why":"cart"}
   +500 us       250 us  ╸                         ├─ cache get  cache.hit=true
     +2 ms        98 ms  ━━━━━━━━━━━━━━━━━━━╸      ├─ POST /charges  client  failed: card declined  \
http.request.method=POST  url.full=https://bank.example/charges
     +3 ms        20 ms  ╺━━━╸                     │  └─ resolve  ok
   +103 ms        12 ms                     ╺━━╸   └─ orders  INSERT orders  client
2026-03-11 12:34:56.889  SPAN    shop    0af76519  lonely  98 ms  client  failed: card declined  \
http.request.method=POST  url.full=https://bank.example/charges  (parent 00f067aa0ba902b7 not here)
"""


def test_a_trace_is_one_row_with_its_tree(trace: Path) -> None:
    """Below the log records, which stay the rows they were."""
    shown = rows(trace)
    assert shown[-6:] == TREES.splitlines()
    assert [line.split()[2] for line in shown[:3]] == ["DEBUG", "INFO", "WARN2"]
    assert rows(trace, "--signal", "spans") == TREES.splitlines()
    assert "SPAN" not in "".join(rows(trace, "--signal", "logs"))


def test_each_span_is_a_row_on_request(trace: Path) -> None:
    """``--spans``: in the order in which they ended, with the ids when wide."""
    shown = rows(trace, "--signal", "spans", "--spans")
    assert [line[51:].partition("  ")[0] for line in shown] == [
        "cache get", "resolve", "POST /charges", "INSERT orders", "POST /checkout", "lonely",
    ]  # fmt: skip
    assert shown[1] == "2026-03-11 12:34:56.812  SPAN    shop    4bf92f35  resolve  20 ms  ok"
    wide = rows(trace, "--spans", "--wide", "--grep", "^shop\nresolve")
    assert len(wide) == 1
    assert "  4bf92f3577b34da6a3ce929d0e0e4736/0000000000000004  resolve  20 ms" in wide[0]
    assert f"provider={LOG_PROVIDER} pid={os.getpid()} tid=" in wide[0]


def test_wide_trees_say_where_each_event_comes_from(trace: Path) -> None:
    """Provider, process and thread behind every span."""
    shown = rows(trace, "--signal", "spans", "--wide")
    assert len(shown) == 6
    assert all(f"provider={LOG_PROVIDER} pid={os.getpid()}" in line for line in shown)


def test_json_lines_have_all_facts_of_a_span(trace: Path) -> None:
    """Under the names of SpanItem; the time is that of its end."""
    found = documents(trace)
    assert [document["signal"] for document in found] == ["spans"] * 6
    charge = found[2]
    etw = charge.pop("etw")
    assert (etw["provider"], etw["event"], etw["level"]) == (LOG_PROVIDER, "Span", 5)
    assert charge == {
        "signal": "spans",
        "time": "2026-03-11T12:34:56.889000000Z",
        "time_unix_nano": LOG_TIME + 100_000_000,
        "name": "POST /charges",
        "start_time_unix_nano": LOG_TIME + 2_000_000,
        "end_time_unix_nano": LOG_TIME + 100_000_000,
        "duration_ns": 98_000_000,
        "trace_id": f"{TRACE_ID:032x}",
        "span_id": "0000000000000003",
        "parent_span_id": "0000000000000001",
        "kind": "client",
        "success": False,
        "status": "error",
        "status_message": "card declined",
        "attributes": {"http.request.method": "POST", "url.full": "https://bank.example/charges"},
        "service_name": "shop",
    }
    (link,) = found[4]["links"]
    assert link == {"trace_id": OTHER_TRACE, "span_id": "b7ad6b7169203331", "attributes": {"why": "cart"}}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--grep", "INSERT"], ["INSERT orders"]),
        (["--grep", "0000000000000004"], ["resolve"]),
        (["--grep", f"{OTHER_TRACE}/b7ad6b7169203331"], ["POST /checkout"]),
        (["--grep", "failed: card"], ["POST /charges", "lonely"]),
        (["--event", "post *"], ["POST /charges", "POST /checkout"]),
        (["--event", "span", "--limit", "3"], ["cache get", "resolve", "POST /charges"]),
        (["--level", "error"], ["lonely"]),
        (["--until", "2026-03-11T12:34:56.813"], ["cache get", "resolve"]),
        (["--limit", "2"], ["cache get", "resolve"]),
        (["--tail", "1"], ["lonely"]),
    ],
)  # fmt: skip
def test_selecting_options_select_spans(trace: Path, options: list[str], wanted: list[str]) -> None:
    """As they select log records; the time of a span is its end."""
    assert [document["name"] for document in documents(trace, *options)] == wanted


def test_a_trace_counts_as_one_row(trace: Path) -> None:
    """For ``--limit`` and ``--tail``."""
    assert rows(trace, "--signal", "spans", "--limit", "1") == TREES.splitlines()[:5]
    assert rows(trace, "--tail", "1") == TREES.splitlines()[5:]


def test_selected_spans_stand_where_their_parents_are_not_shown(trace: Path) -> None:
    """A filter takes spans, not traces; what is missing then is said."""
    assert [line[51:] for line in rows(trace, "--signal", "spans", "--grep", "resolve|INSERT")] == [
        "2 spans in 112 ms",
        "├─ resolve  ok  (parent 0000000000000003 not here)",
        "└─ orders  INSERT orders  client  (parent 0000000000000001 not here)",
    ]


def test_failures_are_red_where_colour_is_wanted(trace: Path) -> None:
    """Name, level and message."""
    if sys.platform == "win32":
        pytest.skip("consoles there may take colours by calls, which a pipe has no use for")
    text = run_command("view", trace, "--signal", "spans", env={"FORCE_COLOR": "1"}).stdout
    assert "\x1b[1;31mPOST /charges\x1b[0m" in text
    assert "\x1b[31m  failed: card declined\x1b[0m" in text
    assert "\x1b[1;31mSPAN  \x1b[0m" in text


def test_nothing_of_a_span_reaches_the_output_as_a_control(tmp_path: Path) -> None:
    """Names, messages, attributes: no escapes, no line breaks, in any format."""
    path = tmp_path / "evil.etl"
    root = span(
        EVIL, 1, None, 0, 1, status="error", status_message=EVIL, service_name=EVIL, attributes={EVIL: EVIL}
    )
    with EtlSession(path) as session:
        write_spans(session, [replace(root, span_id=f"{2:016x}", parent_span_id=root.span_id), root])
    for options in ([], ["--wide"], ["--spans", "--wide"], ["--format", "jsonl"]):
        text = invoke("view", path, *options).stdout
        assert all(line.isprintable() for line in text.splitlines())
        assert len(text.splitlines()) == (2 if "jsonl" in options else 3)
        assert "fake row" in text


def record(at_ns: int, encoded: Any) -> bytes:
    """An event that reached ETW ``at_ns`` after ``LOG_TIME``."""
    raw = T0 + (LOG_TIME + at_ns) // 100 + UNIX_EPOCH_FILETIME - START_FILETIME
    items = [(12, traits_blob("P")), (11, encoded.metadata)]
    return event_record(raw, encoded.payload, channel=11, items=items)


def span_record(
    name: str, trace_id: int, own: int, above: int | None, ended_ns: int, reached_ns: int = 0
) -> bytes:
    end = LOG_TIME + ended_ns
    fields = SpanFields(name, trace_id, own, end - 1000, end, above)
    return record(reached_ns or ended_ns, encode_span(fields))


def log_record(body: str, made_ns: int) -> bytes:
    return record(made_ns, encode_log(LogFields(LOG_TIME + made_ns, 9, body=body)))


def test_trees_stand_where_their_trace_ended(tmp_path: Path) -> None:
    """Among the log records by time, though no event says that a trace is complete; late spans included."""
    second, path = 10**9, tmp_path / "x.etl"
    records = [
        log_record("before", second),
        span_record("one", 1, 11, None, 2 * second),
        log_record("between", 3 * second - second // 2),
        span_record("two", 2, 21, None, 3 * second),
        span_record("late child of one", 1, 12, 11, 3 * second + 5),
        span_record("child of two, elsewhere", 2, 22, 99, 4 * second),
        log_record("after", 5 * second),
        log_record("much later", 120 * second),
    ]
    path.write_bytes(trace_file(buffer(records, 65536), size=65536))
    words = ("before", "between", "late child", "one", "elsewhere", "two", "2 spans", "after", "much")
    shown = [next(word for word in words if f"  {word}" in line or f" {word}" in line) for line in rows(path)]
    assert shown == ["before", "between", "one", "late child", "2 spans", "two", "elsewhere", "after", "much"]


def test_spans_of_several_files_make_one_tree(tmp_path: Path) -> None:
    """Each process writes its own file; the parent of a server span is in the caller's."""
    for name, own, above in (("caller", 1, None), ("server", 2, 1)):
        data = trace_file(buffer([span_record(name, 7, own, above, 10 - own)], 65536), size=65536)
        (tmp_path / f"{name}.etl").write_bytes(data)
    files = [tmp_path / "caller.etl", tmp_path / "server.etl"]
    first, second = rows(*files)
    assert "caller" in first
    assert "└─ server" in second
    assert "not here" in rows(files[1])[0]


def test_info_counts_spans_per_provider(trace: Path) -> None:
    """Beside log records and the rest, for people and for programs."""
    text = invoke("info", trace).stdout
    assert "  signals     logs 6, spans 6\n" in text
    assert f"12  {LOG_PROVIDER}  a621502c-95a2-5076-de10-e62e7fa20dfb  logs 6, spans 6\n" in text
    info = json.loads(invoke("info", trace, "--json").stdout)
    assert info["signals"] == {"logs": 6, "spans": 6}
    (provider,) = [provider for provider in info["providers"] if provider["provider"] == LOG_PROVIDER]
    assert provider["signals"] == {"logs": 6, "spans": 6}


@pytest.mark.parametrize(("count", "most"), [(3_500, 1_000), (100_000, span_traces.MOST_SPANS)])
def test_one_trace_of_very_many_spans_is_shown_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, most: int
) -> None:
    """None is lost, and it takes seconds."""
    if count == 100_000 and not os.environ.get("OTEL_ETW_LONG_TESTS"):
        pytest.skip("takes long to write; OTEL_ETW_LONG_TESTS=1 runs it")
    monkeypatch.setattr(span_traces, "MOST_SPANS", most)
    path = tmp_path / "many.etl"
    with EtlSession(path) as session:
        write_spans(session, many(count))
    start = time.perf_counter()
    lines = rows(path)
    assert time.perf_counter() - start < 60
    parts = -(-count // (most + 1))
    assert sum(" work" in line for line in lines) == count
    assert sum("(incomplete: too many spans wait)" in line for line in lines) == parts - 1
    assert sum(f"(part {parts} of this trace)" in line for line in lines) == 1


def many(count: int) -> list[SpanItem]:
    """Spans of one trace, the last of them the root, each with three children."""
    return [span("work", n, n // 3 or None, 0, n) for n in range(count, 0, -1)]


@pytest.mark.parametrize("seed", range(8))
def test_damaged_spans_are_shown_or_refused(trace: Path, tmp_path: Path, seed: int) -> None:
    """Whatever bytes are wrong: trees, rows or our error, and never a control character."""
    chance = random.Random(seed)
    data = bytearray(trace.read_bytes())
    used = len(data.rstrip(b"\xff"))
    for _ in range(chance.choice((1, 5, 50))):
        data[chance.randrange(used)] = chance.choice((0, 0xFF, chance.randrange(256)))
    path = tmp_path / "damaged.etl"
    path.write_bytes(data)
    for arguments in (["view"], ["view", "--spans", "--wide"], ["view", "--format", "jsonl"], ["info"]):
        result = invoke(*arguments, path)
        assert result.exit_code == 0 or isinstance(result.exception, OtelEtwError), seed
        assert all(printable(line) == line for line in result.stdout.splitlines()), seed

"""``otel-etw export`` as it is called: targets, formats, filters, what it says, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from otel_etw.cli import main
from otel_etw.tables.schema import SCHEMAS, TABLES
from shared_files import corpus
from shown_traces import EVENT_PROVIDER, EVIL, LOG_PROVIDER, LOG_TIME, run_command, write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("export") / "shown.etl")


class Run:
    """What ``main`` did with ``arguments``: exit code, standard output in bytes, lines on stderr."""

    def __init__(self, capture: pytest.CaptureFixture[bytes], *arguments: object) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["export", *map(str, arguments)])
        code = ended.value.code
        self.code = code if isinstance(code, int) else 0
        captured = capture.readouterr()
        self.output = captured.out
        self.says = captured.err.decode()

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.decode().split("\n")[:-1]]


def test_a_directory_gets_parquet_of_each_table_with_rows(
    trace: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Without a format; and the last lines say what there is, and what there is not."""
    run = Run(capsysbinary, trace, "-o", tmp_path / "deep" / "out")
    assert run.code == 0
    assert run.output == b""
    out = tmp_path / "deep" / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "events.parquet",
        "logs.parquet",
        "metric_points.parquet",
    ]
    assert "no rows, hence no file: spans" in run.says
    assert "6 logs, 4 metric_points, " in run.says
    assert f"to {out}" in run.says
    logs = pq.read_table(out / "logs.parquet")
    assert logs["body"].to_pylist()[:2] == ["cache warmed", "order placed"]
    assert logs.schema.equals(SCHEMAS["logs"])
    events = pq.read_table(out / "events.parquet")
    assert [name for name in events["event_name"].to_pylist() if name in ("Started", "Working", "Stopped")]
    assert set(events["signal"].to_pylist()) == {"events"}


def test_all_events_and_single_tables(
    trace: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """--all-events adds the events behind the other tables; --table chooses, metrics is metric_points."""
    run = Run(capsysbinary, trace, "-o", "-", "--format", "jsonl", "--table", "events", "--all-events")
    signals = [line["signal"] for line in run.objects()]
    assert (signals.count("logs"), signals.count("metrics")) == (6, 4)
    run = Run(capsysbinary, trace, "-o", tmp_path / "points.csv", "--tables", "metrics")
    assert run.code == 0
    with (tmp_path / "points.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    run = Run(capsysbinary, trace, "-o", tmp_path / "one.csv", "--tables", "logs", "--level", "critical")
    assert "otel-etw: 1 log to " in run.says
    run = Run(capsysbinary, trace, "-o", tmp_path / "x.csv", "--tables", "logs,rows")
    assert run.code == 2
    assert "expected some of logs, spans, metric_points, events, found 'rows'" in run.says


def test_a_packed_file_is_not_taken_for_a_directory(
    trace: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Its name looks like a file that is not written; with a slash at its end it is a directory's."""
    run = Run(capsysbinary, trace, "-o", tmp_path / "logs.csv.gz")
    assert run.code == 2
    assert "name a file without .gz" in run.says
    assert list(tmp_path.iterdir()) == []
    assert Run(capsysbinary, trace, "-o", f"{tmp_path / 'logs.csv.gz'}{os.sep}").code == 0


def test_standard_output_takes_lines_of_every_table(
    trace: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """JSON lines say their table and are by time; nothing but them is on standard output."""
    run = Run(capsysbinary, trace, "-o", "-", "--format", "jsonl")
    lines = run.objects()
    assert {line["table"] for line in lines} == {"logs", "metric_points", "events"}
    assert [line["body"] for line in lines if line["table"] == "logs"][3] == EVIL
    assert b"\x1b" not in run.output
    assert "to standard output" in run.says
    run = Run(capsysbinary, trace, "-o", "-", "--format", "csv", "--table", "logs")
    assert [row["body"] for row in csv.DictReader(io.StringIO(run.output.decode(), newline=""))][3] == EVIL
    run = Run(capsysbinary, trace, "-o", "-", "--format", "csv")
    assert run.code == 1
    assert "rows of logs and of metric_points" in run.says


def test_otlp_lines_on_standard_output(trace: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """What has no form in OTLP is counted; as log records, on request, it is among them."""
    run = Run(capsysbinary, trace, "-o", "-", "--format", "otlp-json")
    assert {key for line in run.objects() for key in line} == {"resourceLogs", "resourceMetrics"}
    assert "3 events with no form in OTLP left out (--events-as-logs" in run.says
    run = Run(capsysbinary, trace, "-o", "-", "--format", "otlp-json", "--tables", "events")
    assert run.code == 2
    assert "--events-as-logs" in run.says


@pytest.mark.parametrize(
    ("filters", "bodies"),
    [
        (("--level", "error"), [EVIL, '{"free":0,"reason":"disk"}']),
        (("--since", "2026-03-11T12:35:00"), ['{"free":0,"reason":"disk"}', "done"]),
        (("--until", "2026-03-11T12:34:57Z"), ["cache warmed"]),
        (("--provider", "test_sh*", "--level", "1"), ['{"free":0,"reason":"disk"}']),
        (("--provider", EVENT_PROVIDER), []),
    ],
)
def test_filters_choose_rows_as_in_view(
    trace: Path, capsysbinary: pytest.CaptureFixture[bytes], filters: tuple[str, ...], bodies: list[str]
) -> None:
    """Level, time and provider."""
    run = Run(capsysbinary, trace, "-o", "-", "--format", "jsonl", "--table", "logs", *filters)
    found = [
        json.loads(line["body"]) if line["body_type"] == "json" else line["body"] for line in run.objects()
    ]
    expected = [json.loads(body) if body.startswith("{") else body for body in bodies]
    assert found == expected
    assert ("nothing to export" in run.says) == (not bodies)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("-o", "-"), "standard output needs a --format"),
        (("-o", "-", "--format", "parquet"), "parquet cannot go to standard output"),
        (("-o", "x.csv", "--format", "parquet"), "x.csv has the extension of csv, not of parquet"),
        (("-o", "x.parquet", "--partition-by", "date"), "--partition-by makes directories of Parquet"),
        (
            ("-o", "x", "--format", "csv", "--partition-by", "date"),
            "--partition-by makes directories of Parquet",
        ),
        (("-o", "x", "--partition-by", "hour"), "expected some of date, service, provider, found 'hour'"),
        (("-o", "x", "--level", "loud"), "expected critical, error"),
        (("-o", "x", "--since", "tomorrow"), "expected a time such as"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    trace: Path, capsysbinary: pytest.CaptureFixture[bytes], arguments: tuple[str, ...], problem: str
) -> None:
    """Before anything is read."""
    run = Run(capsysbinary, trace, *arguments)
    assert run.code == 2
    assert problem in run.says
    assert run.says.count("\n") == 1


def test_the_extension_of_json_lines_fits_otlp_when_it_is_said(
    trace: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """``.jsonl`` is what the file format prefers; alone it means plain lines."""
    path = tmp_path / "out.jsonl"
    assert Run(capsysbinary, trace, "-o", path, "--format", "otlp-json", "--tables", "logs").code == 0
    assert "resourceLogs" in json.loads(path.read_text("utf-8").split("\n")[0])
    assert Run(capsysbinary, trace, "-o", path, "--overwrite").code == 0
    assert "table" in json.loads(path.read_text("utf-8").split("\n")[0])


def test_what_exists_stays_and_is_said(
    trace: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Exit code 1 and one line; a second time with --overwrite works."""
    assert Run(capsysbinary, trace, "-o", tmp_path).code == 0
    run = Run(capsysbinary, trace, "-o", tmp_path)
    assert (run.code, run.says.count("\n")) == (1, 1)
    assert "exists; --overwrite replaces it" in run.says
    assert Run(capsysbinary, trace, "-o", tmp_path, "--overwrite").code == 0


def test_partitions_by_the_command_line(
    trace: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Keys in their order, for every table with rows."""
    assert (
        Run(capsysbinary, trace, "-o", tmp_path, "--partition-by", "service,date", "--table", "logs").code
        == 0
    )
    (path,) = tmp_path.rglob("*.parquet")
    assert path.relative_to(tmp_path).as_posix() == "logs/service=shop/date=2026-03-11/part-00000.parquet"


def test_several_files_are_merged_by_time_or_one_after_the_other(
    trace: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Each row says its file."""
    other = write_trace(tmp_path / "other.etl")
    arguments = (trace, other, "-o", "-", "--format", "jsonl")
    run = Run(capsysbinary, *arguments, "--table", "logs")
    files = [Path(line["file"]).name for line in run.objects()]
    assert files == ["shown.etl"] * 6 + ["other.etl"] * 6  # the events of the second came later
    lines = Run(capsysbinary, *arguments).objects()
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    lines = Run(capsysbinary, *reversed(arguments[:2]), *arguments[2:], "--file-order").objects()
    logs = [Path(line["file"]).name for line in lines if line["table"] == "logs"]
    assert logs == ["other.etl"] * 6 + ["shown.etl"] * 6


def test_damage_is_said_and_with_strict_is_exit_code_3(
    trace: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The files are written all the same; an undamaged trace ends with 0."""
    data = bytearray(trace.read_bytes())
    place = data.index(b"order placed")
    start = data.rindex(b"Log\0", 0, place)
    data[start - 60 : start - 20] = b"\xff" * 40
    broken = tmp_path / "broken.etl"
    broken.write_bytes(data)
    run = Run(capsysbinary, broken, "-o", tmp_path / "plain")
    assert run.code == 0
    assert str(broken) in run.says
    run = Run(capsysbinary, broken, "-o", tmp_path / "strict", "--strict")
    assert run.code == 3
    assert (tmp_path / "strict" / "metric_points.parquet").exists()
    assert Run(capsysbinary, trace, "-o", tmp_path / "whole", "--strict").code == 0


def test_a_file_that_is_no_trace_is_an_error(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """And one that is not there; neither makes the target."""
    (tmp_path / "text.etl").write_text("hello", encoding="utf-8")
    for name in ("text.etl", "absent.etl"):
        run = Run(capsysbinary, tmp_path / name, "-o", tmp_path / "out")
        assert (run.code, run.says.count("\n")) == (1, 1)
    assert not (tmp_path / "out").exists()


def test_a_closed_pipe_is_quiet(trace: Path) -> None:
    """``| head`` ends the export without a word."""
    import subprocess

    from shown_traces import command_line

    process = subprocess.Popen(
        command_line("export", trace, "-o", "-", "--format", "jsonl"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert said == b""


def test_a_process_of_its_own_writes_bytes_as_they_are(trace: Path, tmp_path: Path) -> None:
    """Whatever the encoding of the console, JSON lines are UTF-8 and end in a line feed."""
    done = run_command(
        "export", trace, "-o", "-", "--format", "jsonl", encoding=None, env={"PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0
    assert done.stdout.endswith(b"}\n")
    assert b"\r" not in done.stdout
    assert [json.loads(line)["body"] for line in done.stdout.splitlines() if b'"table":"logs"' in line][
        -1
    ] == "done"


@pytest.mark.parametrize("name", ["primitive-types.etl", "SelfDescribingSingleEvent.etl"])
def test_files_of_windows_become_tables(
    name: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Every record is a row of events, in every format."""
    path = corpus(name)
    counts = set()
    for format_ in ("parquet", "csv", "jsonl"):
        assert Run(capsysbinary, path, "-o", tmp_path / format_, "--format", format_).code == 0
    counts = {pq.read_table(tmp_path / "parquet" / "events.parquet").num_rows}
    with (tmp_path / "csv" / "events.csv").open(encoding="utf-8", newline="") as file:
        counts.add(len(list(csv.DictReader(file))))
    counts.add(len((tmp_path / "jsonl" / "events.jsonl").read_bytes().splitlines()))
    assert len(counts) == 1


def test_the_words_of_these_tests_are_those_of_the_trace() -> None:
    """Names that the helpers and this module share."""
    assert (LOG_PROVIDER, LOG_TIME // 10**9) == ("Test_Shop", 1_773_232_496)
    assert TABLES == ("logs", "spans", "metric_points", "events")

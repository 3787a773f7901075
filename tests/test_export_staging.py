"""Nothing half-written stands under a final name: errors, interruption, kill, and names that are taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from export_tables import batches, steps
from otel_etw.errors import ExportError
from otel_etw.outputs.export.driver import Target, export
from otel_etw.outputs.export.formats import CSV, FORMATS, JSONL, PARQUET, Format
from otel_etw.outputs.export.staging import Staging
from otel_etw.tables.schema import TABLES
from session_events import write_plainly
from shown_traces import command_line

ALL = (*FORMATS.values(), "partitions")


def target_for(format_: Format | str, directory: Path) -> tuple[Target, tuple[str, ...]]:
    if isinstance(format_, str):
        return Target(PARQUET, directory, is_directory=True, partition_by=("date", "service")), TABLES
    return Target(format_, directory, is_directory=True), TABLES[:3] if format_.is_otlp else TABLES


def everything_below(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("format_", ALL)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_export_that_fails_leaves_nothing(tmp_path: Path, format_: Any, error: BaseException) -> None:
    """Whatever ends it, after whatever was written: no file, no hidden file, no directory of its own."""

    def failing() -> Iterator[dict[str, pa.RecordBatch]]:
        yield from steps()
        raise error

    target, tables = target_for(format_, tmp_path / "new" / "out")
    with pytest.raises(type(error)):
        export(failing(), target, tables)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_", ALL)
def test_until_the_end_only_hidden_names_are_there(tmp_path: Path, format_: Any) -> None:
    """While steps come, every name that was made begins with a dot; afterwards none does."""

    def watched() -> Iterator[dict[str, pa.RecordBatch]]:
        yield from steps()
        made = list(tmp_path.iterdir())
        assert made
        assert all(path.name.startswith(".") and path.name.endswith(".tmp") for path in made)

    target, tables = target_for(format_, tmp_path)
    export(watched(), target, tables)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert everything_below(tmp_path)


@pytest.mark.parametrize("format_", ALL)
def test_what_exists_is_not_touched_without_overwrite(tmp_path: Path, format_: Any) -> None:
    """The error comes before the first step is asked for, and names the way out."""
    target, tables = target_for(format_, tmp_path)
    export(steps(), target, tables)
    before = everything_below(tmp_path)

    def never() -> Iterator[dict[str, pa.RecordBatch]]:
        pytest.fail("decoding was started")
        yield {}

    with pytest.raises(ExportError, match="exists; --overwrite replaces it"):
        export(never(), target, tables)
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("format_", ALL)
def test_overwriting_replaces_all_of_it_or_nothing(tmp_path: Path, format_: Any) -> None:
    """A failing export leaves the old files, a complete one the new, and none of tables without rows."""
    target, tables = target_for(format_, tmp_path)
    export(steps(), target, tables)
    before = everything_below(tmp_path)

    def failing() -> Iterator[dict[str, pa.RecordBatch]]:
        yield batches()
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="fire"):
        export(failing(), target, tables, overwrite=True)
    assert everything_below(tmp_path) == before
    only_logs = {"logs": batches()["logs"].slice(0, 1)}
    export([only_logs], target, tables, overwrite=True)
    assert [name.split(".")[0].split("/")[0] for name in everything_below(tmp_path)] == ["logs"]


def test_a_name_that_was_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Without --overwrite a file that somebody else has put there during the export stays theirs."""

    def slow() -> Iterator[dict[str, pa.RecordBatch]]:
        yield batches()
        (tmp_path / "spans.csv").write_text("theirs", encoding="utf-8")

    with pytest.raises(ExportError, match="exists"):
        export(slow(), Target(CSV, tmp_path, is_directory=True), TABLES)
    assert everything_below(tmp_path) == {"spans.csv": b"theirs"}


def test_file_systems_without_links_get_the_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a hard link is refused, a rename after one more look does it."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    export(steps(), Target(JSONL, tmp_path / "all.jsonl"), TABLES)
    assert list(everything_below(tmp_path)) == ["all.jsonl"]


def test_a_directory_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    """--overwrite removes a tree of partitions, and nothing that is more than that."""
    target, tables = target_for("partitions", tmp_path)
    export(steps(), target, tables)
    (tmp_path / "logs" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match="other files in it"):
        export(steps(), target, tables, overwrite=True)
    assert (tmp_path / "logs" / "notes.txt").exists()
    (tmp_path / "spans.csv").mkdir()
    with pytest.raises(ExportError, match="other files in it"):
        export(steps(), Target(CSV, tmp_path / "spans.csv"), ("spans",), overwrite=True)


def test_a_target_below_a_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    """And leaves everything as it was."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OSError, match="file"):
        export(steps(), Target(CSV, tmp_path / "file" / "out", is_directory=True), TABLES)
    with pytest.raises(ExportError, match="is a file"):
        export(steps(), Target(CSV, tmp_path / "file", is_directory=True), TABLES)
    assert everything_below(tmp_path) == {"file": b"x"}


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    """With a limit on file size for a full disk: the system's error, and no file."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        for format_ in ALL:
            target, tables = target_for(format_, tmp_path / "out")
            with pytest.raises(OSError, match="too large"):
                export(steps(), target, tables)
            assert list(tmp_path.iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_hidden_names_of_long_names_fit(tmp_path: Path) -> None:
    """A name as long as the file system allows can still be staged."""
    name = "x" * 246 + ".parquet"
    with Staging() as staging:
        hidden = staging.file(tmp_path / name)
        hidden.write_bytes(b"1")
        staging.commit()
    assert everything_below(tmp_path) == {name: b"1"}


# --------------------------------------------------------------------------- real processes


@pytest.fixture(scope="module")
def large_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty thousand events: enough for an export to be met at work."""
    from otel_etw.sessions.embedded import EtlSession

    path = tmp_path_factory.mktemp("large") / "large.etl"
    with EtlSession(path) as session:
        provider = session.register("Test_Large")
        for number in range(60_000):
            write_plainly(provider, number, 200)
        provider.close()
    return path


def met_at_work(trace: Path, directory: Path, send: int) -> subprocess.Popen[bytes]:
    """An export to ``directory`` that got the signal ``send`` while its hidden file was growing."""
    arguments = ("export", trace, "-o", directory, "--format", "jsonl")
    process = subprocess.Popen(command_line(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline and process.poll() is None:
        if any(path.stat().st_size for path in directory.glob(".*.tmp")):
            process.send_signal(send)
            break
        time.sleep(0.0005)
    process.communicate(timeout=50)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to send there")
def test_a_killed_process_leaves_only_hidden_names(large_trace: Path, tmp_path: Path) -> None:
    """kill -9 at work: nothing under a final name; the next export is not in its way."""
    process = met_at_work(large_trace, tmp_path, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    names = [path.name for path in tmp_path.iterdir()]
    assert names
    assert all(name.startswith(".") and name.endswith(".tmp") for name in names)
    again = subprocess.run(
        command_line("export", large_trace, "-o", tmp_path, "--format", "jsonl"),
        capture_output=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert len((tmp_path / "events.jsonl").read_bytes().splitlines()) >= 60_000


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to send there")
def test_an_interrupted_process_cleans_up(large_trace: Path, tmp_path: Path) -> None:
    """Ctrl-C at work: exit code 130, no traceback, and nothing is left."""
    process = met_at_work(large_trace, tmp_path, signal.SIGINT)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []

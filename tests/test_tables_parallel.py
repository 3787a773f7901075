"""Several processes make the same tables as one, in the same order, and tell of the same damage."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pyarrow as pa
import pytest

import etl_files
from otel_etw.errors import OtelEtwError, TraceFileError
from otel_etw.tables import parallel
from otel_etw.tables.decoding import decode
from otel_etw.tables.schema import EVENTS
from otel_etw.tables.selection import Selection

BUFFER_BYTES = 4096


def made_files(folder: Path, seed: int) -> list[Path]:
    """Three files of buffers that overlap in time, one of them damaged in two places."""
    dice = random.Random(seed)
    paths = []
    for number in range(3):
        buffers = []
        for _ in range(40):
            raw = dice.randrange(2_000, 60_000)
            records = []
            for _ in range(dice.randrange(1, 30)):
                raw += dice.choice((0, 1, 1, 50, 900))
                payload = dice.randrange(1 << 16).to_bytes(dice.choice((4, 4, 4, 3)), "little")
                records.append(etl_files.tracelogging_record(raw, payload=payload))
            buffers.append(etl_files.buffer(records[:24], size=BUFFER_BYTES, processor=number))
        content = bytearray(etl_files.trace_file(*buffers, size=BUFFER_BYTES))
        if number == 1:
            content[5 * BUFFER_BYTES + 72 : 5 * BUFFER_BYTES + 74] = b"\x09\0"
            content[9 * BUFFER_BYTES : 9 * BUFFER_BYTES + 4] = b"\xff\xff\xff\xff"
        path = folder / f"{number}.etl"
        path.write_bytes(content)
        paths.append(path)
    return paths


def table(paths: list[Path], **options: object) -> tuple[pa.Table, dict[str, object]]:
    """All events with their text spelled out, and what was wrong with each file."""
    with decode(paths, tables=(EVENTS,), batch_bytes=8 * BUFFER_BYTES, **options) as decoding:  # type: ignore[arg-type]
        batches = [made[EVENTS] for made in decoding]
        assert decoding.fraction == 1.0
        report = {
            file.path: (file.damage.counts, {kind: sorted(at) for kind, at in file.damage.offsets.items()})
            for file in decoding.report
        }
    joined = pa.Table.from_batches(batches)
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in joined.columns
    ]
    return pa.table(columns, names=joined.column_names), report


@pytest.mark.parametrize("order", ["time", "file"])
def test_two_processes_make_what_one_makes(tmp_path: Path, order: str) -> None:
    """Rows, their order, and damage by kind and place are the same, in both orders."""
    paths = made_files(tmp_path, 7)
    alone, damage = table(paths, order=order)
    together, same_damage = table(paths, order=order, jobs=2)
    assert together.equals(alone)
    assert same_damage == damage
    assert any(counts for counts, _ in damage.values())


def test_processes_leave_out_what_is_not_selected(tmp_path: Path) -> None:
    """A selection holds in every process."""
    paths = made_files(tmp_path, 8)
    times = table(paths)[0].column("time").cast(pa.int64()).to_pylist()
    middle = sorted(times)[len(times) // 2]
    chosen, _ = table(paths, jobs=2, selection=Selection(since_unix_nano=middle))
    assert chosen.num_rows == sum(time >= middle for time in times)


def test_at_least_one_job_is_needed(tmp_path: Path) -> None:
    """No processes cannot decode anything."""
    with pytest.raises(ValueError, match="at least one job, found 0"):
        decode([tmp_path], jobs=0)


@pytest.mark.skipif(os.name == "nt", reason="an open file stays there")
@pytest.mark.parametrize("instead", [False, True])
def test_a_file_that_has_gone_or_is_another_by_now_is_said(
    tmp_path: Path, instead: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """The processes open it by its name, only later; nothing is read by the index of another file."""
    [path, *_] = made_files(tmp_path, 5)
    with decode([path], jobs=2) as decoding:
        path.unlink()
        if instead:
            record = etl_files.event_record(etl_files.T0)
            data = etl_files.trace_file(etl_files.buffer([record]), start_filetime=134_000_000_000_000_001)
            path.write_bytes(data)
        with pytest.raises(TraceFileError if instead else FileNotFoundError, match=re.escape(path.name)):
            list(decoding)
    assert capfd.readouterr().err == ""


def ended(*_: object) -> None:
    os._exit(9)


def test_a_process_that_ends_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the system runs out of memory."""
    monkeypatch.setattr(parallel, "_look", ended)
    with decode(made_files(tmp_path, 5), jobs=2) as decoding, pytest.raises(OtelEtwError, match="has ended"):
        list(decoding)

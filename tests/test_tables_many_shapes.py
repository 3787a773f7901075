"""A file may have a shape of its own for every event: what is remembered of them stays bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

import etl_files
import mutation
from otel_etw.etl.reader import open_etl
from otel_etw.tables import batch_decoding
from otel_etw.tables import reading as reading_module
from otel_etw.tables.batch_decoding import BatchDecoder, Wanted
from otel_etw.tables.batches import event_batches
from otel_etw.tables.reading import Reading
from otel_etw.tables.schema import TABLES

FIELDS = [(f"field{number}", 8) for number in range(20)]


@pytest.fixture
def many_shapes(tmp_path: Path) -> Path:
    records = [
        etl_files.tracelogging_record(etl_files.T0 + number, f"Shape{number}", FIELDS, bytes(80))
        for number in range(120)
    ]
    path = tmp_path / "shapes.etl"
    parts = [etl_files.buffer(records[start : start + 8]) for start in range(0, 120, 8)]
    path.write_bytes(etl_files.trace_file(*parts))
    return path


def test_what_is_remembered_of_shapes_is_bounded(many_shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the leaves of all plans, and by the metadata of all forms; the rows are the same."""
    monkeypatch.setattr(batch_decoding, "_MOST_LEAVES", 205)
    monkeypatch.setattr(reading_module, "_MOST_DESCRIBING_BYTES", 8_000)
    assert mutation.check(many_shapes) == "whole"
    forms = set()
    with open_etl(many_shapes) as trace:
        decoder, reading = BatchDecoder(Wanted(TABLES)), Reading([trace])
        for batch in event_batches([trace], order="file", reading=reading, batch_bytes=8_192):
            decoder.decode(batch)
            forms.add(id(batch.forms.descriptions))
            assert sum(len(plan.leaves or ()) for plan in decoder._plans) <= 205
            assert len(batch.forms) < 60
    assert len(forms) > 1

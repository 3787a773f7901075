"""Trees of Parquet files: where rows go, whatever they are called, and who can read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_tables import LOG_ROWS, ROWS, T0, steps
from otel_etw.errors import ExportError
from otel_etw.outputs.export.driver import Target, export
from otel_etw.outputs.export.formats import PARQUET
from otel_etw.outputs.export.partitions import (
    MOST_OPEN,
    NULL_PARTITION,
    WAITING_BYTES,
    PartitionedTable,
    partition_name,
)
from otel_etw.tables.builders import batch_of_rows
from otel_etw.tables.schema import LOGS, SCHEMAS, TABLES

DAY_NS = 86_400 * 10**9


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    export(steps(), Target(PARQUET, tmp_path, is_directory=True, partition_by=("date", "service")), TABLES)
    return tmp_path


def days_and_services() -> list[tuple[str, str | None]]:
    return [
        ("2026-03-11" if row["time"] < T0 + DAY_NS else "2026-03-12", row.get("service_name") or None)
        for row in LOG_ROWS
        if len(row.get("service_name") or "") < 200
    ]


def test_every_row_is_below_the_directories_of_its_values(lake: Path) -> None:
    """The values of ``date`` and ``service`` in the path are those of the rows in the file."""
    found = 0
    for path in (lake / "logs").rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        found += table.num_rows
        date, service = (part.split("=", 1)[1] for part in path.relative_to(lake / "logs").parts[:2])
        in_utc = table["time"].cast(pa.timestamp("ns"))  # Arrow needs no database of zones for it
        assert set(in_utc.cast(pa.date32()).cast(pa.string()).to_pylist()) == {date}
        (name,) = set(table["service_name"].to_pylist())
        if service == NULL_PARTITION:
            assert name is None
        elif "~" in service:
            assert name.startswith(service.split("~")[0])
        else:
            assert unquote(service) == name
    assert found == len(LOG_ROWS)


def test_nothing_is_written_outside_whatever_services_are_called(lake: Path) -> None:
    """``../..`` is one directory with a harmless name."""
    tops = {path.relative_to(lake).parts[0] for path in lake.rglob("*")}
    assert tops == set(TABLES)
    names = {path.name for path in (lake / "logs").glob("*/*")}
    assert "service=..%2F.%2E" in names
    assert all(set('\\:*?"<>|/') & set(name) == set() and not name.endswith((".", " ")) for name in names)


def test_pyarrow_reads_the_tree(lake: Path) -> None:
    """Its Hive partitioning gives the names back, null for null."""
    schema = pa.schema([("date", pa.string()), ("service", pa.string())])
    table = ds.dataset(lake / "logs", partitioning=ds.partitioning(schema, flavor="hive")).to_table()
    read = [(row["date"], row["service"]) for row in table.to_pylist() if len(row["service"] or "") < 100]
    assert sorted(read, key=repr) == sorted(days_and_services(), key=repr)


def test_duckdb_reads_the_tree(lake: Path) -> None:
    """``hive_partitioning`` prunes by date and finds each service under its name."""
    source = f"read_parquet('{lake.as_posix()}/logs/**/*.parquet', hive_partitioning=true)"
    counts = duckdb.sql(f"SELECT date::VARCHAR, count(*) FROM {source} GROUP BY 1 ORDER BY 1").fetchall()
    assert counts == [("2026-03-11", 5), ("2026-03-12", 3)]
    services = duckdb.sql(f"SELECT DISTINCT service FROM {source} WHERE date = '2026-03-11'").fetchall()
    assert sorted(services, key=repr) == [("shop",), (None,)]
    hostile = duckdb.sql(f"SELECT body FROM {source} WHERE service = '../..'").fetchall()
    assert hostile == [("NaN",)]


def test_polars_reads_the_tree(lake: Path) -> None:
    """As do the other readers."""
    pl = pytest.importorskip("polars")
    frame = pl.scan_parquet(f"{lake}/logs/**/*.parquet", hive_partitioning=True).collect()
    found = frame.filter(pl.col("service") == "shop")["body"].to_list()
    assert sorted(found) == sorted(row["body"] for row in LOG_ROWS if row.get("service_name") == "shop")


def test_tables_without_the_column_have_the_null_partition(lake: Path) -> None:
    """Events know no service; they are in the tree all the same."""
    (path,) = (lake / "events").rglob("*.parquet")
    assert path.parent.name == f"service={NULL_PARTITION}"
    assert pq.ParquetFile(path).metadata.num_rows == len(ROWS["events"])


@given(st.text(max_size=300))
def test_partition_names_are_one_safe_path_component(value: str) -> None:
    """Not empty, no separator, no more than 255 bytes; short ones say their value."""
    name = partition_name("service", value.encode("utf-8", "replace").decode())
    assert name == os.path.basename(name)
    assert len(name.encode()) <= 255
    assert name.isascii()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~%=")
    assert not name.endswith(".")


def test_long_names_that_start_alike_stay_apart() -> None:
    """What a directory name has no room for goes into a hash."""
    one, other = (partition_name("service", "é" * 400 + end) for end in "ab")
    assert one != other
    assert one.startswith("service=%C3%A9%C3%A9")


def many_services(count: int, rounds: int) -> list[Any]:
    return [
        batch_of_rows(LOGS, [{"time": T0 + r, "body": f"{r}", "service_name": f"s{i}"} for i in range(count)])
        for r in range(rounds)
    ]


def test_only_so_many_files_are_open_and_rows_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With little memory and many services, partitions go on in further parts, numbered as time goes."""
    monkeypatch.setattr("otel_etw.outputs.export.partitions.WAITING_BYTES", 2_000)
    table = PartitionedTable(tmp_path, SCHEMAS[LOGS], ("service",))
    services = 2 * MOST_OPEN
    most_open = 0
    for batch in many_services(services, 6):
        table.write(batch)
        most_open = max(most_open, len(table._open))
    table.close()
    assert 0 < most_open <= MOST_OPEN
    for number in range(services):
        parts = sorted((tmp_path / f"service=s{number}").iterdir())
        bodies = [text for part in parts for text in pq.ParquetFile(part).read(["body"])["body"].to_pylist()]
        assert bodies == [str(i) for i in range(6)]
    assert any(len(list((tmp_path / f"service=s{number}").iterdir())) > 1 for number in range(services))


def test_rows_that_wait_do_not_keep_whole_batches_in_memory(tmp_path: Path) -> None:
    """A service that is rarely met waits long; what it holds meanwhile is its own rows."""
    table = PartitionedTable(tmp_path, SCHEMAS[LOGS], ("service",))
    rows = [{"time": T0, "body": "x" * 10_000, "service_name": "often"} for _ in range(200)]
    batch = batch_of_rows(LOGS, [*rows, {"time": T0, "body": "y", "service_name": "rarely"}])
    before = pa.total_allocated_bytes()
    for _ in range(60):
        table.write(batch)
    assert pa.total_allocated_bytes() - before < WAITING_BYTES * 2 < 60 * batch.nbytes
    table.close()


def test_a_column_of_too_many_values_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of a file per row helps nobody, and nothing of it is left."""
    monkeypatch.setattr("otel_etw.outputs.export.partitions.MOST_PARTITIONS", 50)
    parts = [{LOGS: batch} for batch in many_services(51, 1)]
    with pytest.raises(ExportError, match="more than 50 partitions by service"):
        export(
            parts, Target(PARQUET, tmp_path / "lake", is_directory=True, partition_by=("service",)), (LOGS,)
        )
    assert list(tmp_path.iterdir()) == []

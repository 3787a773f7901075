"""``load``: trace files as Arrow tables, lazily, and what other tools make of them."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest

from otel_etw import EtlSession, load, open_etl
from otel_etw.errors import QueryError, TraceFileError
from otel_etw.loading import Loaded
from otel_etw.tables.schema import SCHEMAS, TABLES
from shown_traces import EVENT_PROVIDER, LOG_PROVIDER, LOG_TIME, checkout, write_spans, write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("load") / "shown.etl")


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("load") / "spans.etl"
    with EtlSession(path) as session:
        write_spans(session, checkout())
    return path


def bodies(loaded: Loaded) -> list[str]:
    found: list[str] = loaded.logs.column("body").to_pylist()
    return found


def test_the_four_tables_have_their_schemas_and_rows(trace: Path, spans: Path) -> None:
    """Rows of two files, in time order, each table as its schema says."""
    loaded = load(trace, spans)
    for name in TABLES:
        assert getattr(loaded, name).schema == SCHEMAS[name]
    assert (loaded.logs.num_rows, loaded.spans.num_rows, loaded.metric_points.num_rows) == (6, 5, 4)
    times = loaded.events.column("time").cast(pa.int64()).to_pylist()
    assert times == sorted(times)
    assert set(loaded.events.column("file").to_pylist()) == {str(trace), str(spans)}


def test_nothing_is_decoded_before_it_is_asked_for(trace: Path) -> None:
    """A name in the representation tells what has been decoded; asking twice gives the same table."""
    loaded = load(trace)
    assert repr(loaded).count("not decoded yet") == 4
    logs = loaded.logs
    assert repr(loaded).count("not decoded yet") == 1
    assert "logs: 6 rows" in repr(loaded)
    assert "events: not decoded yet" in repr(loaded)
    assert loaded.logs is logs
    assert repr(str(trace)) in repr(loaded)


def test_streams_hold_the_same_rows_and_are_not_kept(trace: Path) -> None:
    """``batches`` gives the rows of the table, without decoding it for good, and of a decoded one too."""
    loaded = load(trace)
    for name in TABLES:
        streamed = loaded.batches(name).read_all()
        assert streamed.schema == SCHEMAS[name]
        assert "not decoded yet" in repr(loaded)
        assert streamed.to_pydict().keys() == loaded.table(name).to_pydict().keys()
        assert streamed.equals(loaded.table(name)) or streamed.num_rows == loaded.table(name).num_rows
        assert loaded.batches(name).read_all().num_rows == streamed.num_rows


def test_a_stream_that_nobody_reads_to_its_end_costs_nothing_later(trace: Path) -> None:
    """Leaving a stream closes its files; the table comes as ever."""
    loaded = load(trace)
    reader = loaded.batches("logs")
    reader.read_next_batch()
    del reader
    assert loaded.logs.num_rows == 6


@pytest.mark.parametrize(
    ("since", "until", "count"),
    [
        (LOG_TIME, LOG_TIME + 2 * 10**9, 2),
        ("2026-03-11T12:34:58.789", None, 4),
        ("2026-03-11T13:34:58.789+01:00", None, 4),
        (datetime(2026, 3, 11, 12, 34, 58, 789000), None, 4),
        (datetime(2026, 3, 11, 13, 34, 58, 789001, timezone(timedelta(hours=1))), None, 3),
        (None, datetime(2026, 3, 11, 12, 34, 56, 789000, timezone.utc), 0),
        ("10m", None, 0),
        (0, "2000w", 0),
    ],
)
def test_times_are_taken_in_every_form(since: Any, until: Any, count: int, trace: Path) -> None:
    """Nanoseconds, datetimes with a zone or in UTC, text as on the command line."""
    assert load(trace, since=since, until=until).logs.num_rows == count


def test_times_of_pandas_keep_their_nanoseconds(trace: Path) -> None:
    """A pandas Timestamp is a datetime that knows more."""
    pandas = pytest.importorskip("pandas")
    at = pandas.Timestamp(LOG_TIME + 1, unit="ns", tz="UTC")
    assert load(trace, since=at).logs.num_rows == 5
    assert load(trace, since=at - pandas.Timedelta(1, "ns")).logs.num_rows == 6


@pytest.mark.parametrize(
    ("arguments", "logs", "events"),
    [
        ({"providers": LOG_PROVIDER}, 6, 6),
        ({"providers": ["test_*"]}, 6, 9),
        ({"providers": (EVENT_PROVIDER, "nobody")}, 0, 3),
        ({"level": "error"}, 2, 3),
        ({"level": 3}, 3, 5),
        ({"level": "5"}, 6, 9),
    ],
)
def test_rows_are_selected(arguments: dict[str, Any], logs: int, events: int, trace: Path) -> None:
    """By provider's name, wildcard or GUID, and by level, of every table."""
    loaded = load(trace, **arguments)
    assert loaded.logs.num_rows == logs
    described = loaded.events.filter(pa.compute.is_in(loaded.events["signal"], pa.array(["logs", "events"])))
    wanted = described.filter(pa.compute.starts_with(described["kind"].cast(pa.string()), "event_header"))
    assert wanted.num_rows == events


def test_providers_are_selected_by_guid(trace: Path) -> None:
    """As UUID or text."""
    guid = load(trace).logs.column("provider_id")[0].as_py()
    assert load(trace, providers=UUID(guid)).logs.num_rows == 6
    assert load(trace, providers=guid.upper()).logs.num_rows == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"since": "yesterday"}, "since: expected a time such as"),
        ({"until": "2026-13-01"}, "until: '2026-13-01' is no time"),
        ({"level": "loud"}, "level: expected critical"),
        ({"level": 256}, "level: expected critical"),
        ({"order": "size"}, 'expected "time" or "file" as order'),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(
    arguments: dict[str, Any], said: str, trace: Path
) -> None:
    """Each names itself and what was expected."""
    with pytest.raises(ValueError, match=said):
        load(trace, **arguments)


def test_other_mistakes_are_refused_at_once(trace: Path, tmp_path: Path) -> None:
    """No path, a missing file, no trace, an unknown table, a type that is no time."""
    with pytest.raises(ValueError, match="at least one path"):
        load()
    with pytest.raises(OSError, match="nix"):
        load(tmp_path / "nix.etl")
    other = tmp_path / "other.etl"
    other.write_bytes(b"no trace" * 1000)
    with pytest.raises(TraceFileError, match=r"other\.etl"):
        load(other)
    with pytest.raises(ValueError, match="expected a table out of logs, spans"):
        load(trace).batches("metrics")
    with pytest.raises(TypeError, match="since: expected a datetime"):
        load(trace, since=1.5)  # type: ignore[arg-type]


def test_the_report_is_there_before_and_after(trace: Path, tmp_path: Path) -> None:
    """Of a whole file there is nothing to say; of a damaged one it is known once it was read."""
    loaded = load(trace)
    assert not loaded.report
    assert [file.path for file in loaded.report] == [str(trace)]
    assert loaded.events.num_rows
    assert not loaded.report
    assert loaded.report.lines() == []
    damaged = tmp_path / "damaged.etl"
    data = bytearray(trace.read_bytes())
    with open_etl(trace) as whole:
        event = list(whole)[5]
        offset = event.buffer * whole.header.buffer_size_bytes + event.offset
    data[offset : offset + 2] = b"\xff\xff"
    damaged.write_bytes(data)
    broken = load(damaged)
    assert broken.events.num_rows < loaded.events.num_rows
    assert broken.report
    assert "damage" in broken.report.lines()[0]
    assert "damaged" in repr(broken)


def test_sql_keeps_or_streams(trace: Path) -> None:
    """The answer is the same; ``keep=False`` leaves nothing decoded."""
    query = "SELECT body FROM logs ORDER BY time LIMIT 2"
    loaded = load(trace)
    assert loaded.sql(query, keep=False).to_pylist() == [{"body": "cache warmed"}, {"body": "order placed"}]
    assert repr(loaded).count("not decoded yet") == 4
    assert loaded.sql(query).to_pylist() == [{"body": "cache warmed"}, {"body": "order placed"}]
    assert "logs: 6 rows" in repr(loaded)
    with pytest.raises(QueryError, match="Did you mean"):
        loaded.sql("FROM log")


def test_threads_may_share_one(trace: Path) -> None:
    """Several threads that ask at once get one and the same table."""
    loaded = load(trace)
    found: list[pa.Table] = []
    threads = [threading.Thread(target=lambda: found.append(loaded.logs)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(table is found[0] for table in found)


def test_pandas_takes_the_tables(trace: Path, spans: Path) -> None:
    """Times stay times in UTC, JSON is text, what is missing is missing."""
    pandas = pytest.importorskip("pandas")
    loaded = load(trace, spans)
    logs = loaded.logs.to_pandas()
    assert list(logs["body"])[:2] == ["cache warmed", "order placed"]
    assert str(logs["time"].dtype) == "datetime64[ns, UTC]"
    assert logs["time"].iloc[0] == pandas.Timestamp(LOG_TIME, unit="ns", tz="UTC")
    assert logs["attributes"].iloc[1] == '{"order.id":7,"note":"two words"}'
    by_name = loaded.spans.to_pandas().groupby("name")["duration_ns"].sum()
    assert by_name["POST /checkout"] == 124_000_000
    assert loaded.sql("SELECT count(*) AS n FROM spans").to_pandas()["n"].tolist() == [5]
    for name in TABLES:
        assert len(loaded.table(name).to_pandas()) == loaded.table(name).num_rows


@pytest.mark.filterwarnings("default")  # polars says that it takes arrow.json for its text
def test_polars_takes_the_tables(trace: Path, spans: Path) -> None:
    """The same through Arrow."""
    polars = pytest.importorskip("polars")
    loaded = load(trace, spans)
    frame = polars.from_arrow(loaded.spans)
    assert (
        frame["duration_ns"].sum()
        == loaded.sql("SELECT sum(duration_ns)::BIGINT AS s FROM spans")["s"][0].as_py()
    )
    logs = polars.from_arrow(loaded.logs)
    assert logs["time"].dt.timestamp("ns").to_list()[0] == LOG_TIME
    attributes = logs["attributes"]
    if attributes.dtype != polars.String:  # newer ones keep the type
        attributes = attributes.ext.storage()
    assert attributes.str.json_path_match("$.note").to_list()[1] == "two words"
    assert polars.from_arrow(loaded.sql("FROM logs SELECT body, time"))["body"].to_list() == bodies(loaded)
    for name in TABLES:
        assert polars.from_arrow(loaded.table(name)).height == loaded.table(name).num_rows


def test_a_dataset_takes_the_streams(trace: Path, spans: Path, tmp_path: Path) -> None:
    """pyarrow writes a stream as a Parquet dataset and reads it back as it was."""
    loaded = load(trace, spans)
    for name in TABLES:
        pa.dataset.write_dataset(loaded.batches(name), tmp_path / name, format="parquet")
        back = pa.dataset.dataset(tmp_path / name).to_table()
        assert back.num_rows == loaded.table(name).num_rows
        assert back.column("time").to_pylist() == loaded.table(name).column("time").to_pylist()
    assert pa.parquet.read_table(tmp_path / "logs").column("body").to_pylist() == bodies(loaded)

"""Write docs/tables.md, the reference of the four tables, from their schema.

python docs/make_tables.py
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from otel_etw.tables.schema import COLUMNS, EVENTS, JSON_TYPE, LOGS, METRIC_POINTS, SPANS

HEAD = """# The four tables

Made from `otel_etw.tables.schema` by `python docs/make_tables.py`; a test finds what is missing here.

`load`, `otel-etw sql` and `otel-etw export` make the same tables of any trace files. A column is null
where an event does not carry the fact; only `time` never is. Rows stand by the time at which their events
reached ETW.

*JSON* columns are text of the type `arrow.json`, which DuckDB takes for its JSON: `attributes->>'user'`
works at once. What JSON cannot say is written by one convention:

* bytes are `{"$bytes": "<base64>"}`;
* doubles always have a fraction or an exponent (`1.0`, `1e+16`), integers never, and all their digits;
  `"NaN"`, `"Infinity"` and `"-Infinity"` are texts;
* GUIDs, times, addresses and SIDs are their text;
* of several attributes of one name the last counts in `attributes`; `fields` has every one.

*Name* columns are text in Arrow's dictionary encoding, since few values repeat. Text that is not UTF-8 is
read as code page 1252 (Latin-1 where that has no character), and counted in the report. Times lie within
64 bits of nanoseconds, the years 1677 to 2262; others become the nearest.
"""

ABOUT = {
    LOGS: "One row for each log record. Events of Windows and of other providers join them on request "
    "(`events_as_logs=True`, `--events-as-logs`), by OpenTelemetry's mapping for ETW.",
    SPANS: "One row for each ended span.",
    METRIC_POINTS: "One row for each data point of a metric, of any of the five kinds.",
    EVENTS: "One row for each record in the file, whatever it is: also for those that are rows of the other "
    "tables, which `signal` tells. (`otel-etw export` leaves these out unless `--all-events` is given.)",
}

TYPES = {
    pa.timestamp("ns", "UTC"): "time (ns, UTC)",
    JSON_TYPE: "JSON",
    pa.string(): "text",
    pa.dictionary(pa.int32(), pa.string()): "name",
    pa.binary(): "bytes",
    pa.bool_(): "truth",
    pa.list_(pa.float64()): "list of double",
    pa.list_(pa.uint64()): "list of uint64",
}


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for table, columns in COLUMNS.items():
        parts.append(
            f"\n## {table}\n\n{ABOUT[table]}\n\n| column | type | what it says |\n| --- | --- | --- |\n"
        )
        parts += [f"| `{name}` | {TYPES.get(kind, str(kind))} | {doc} |\n" for name, kind, doc in columns]
    return "".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("tables.md").write_text(reference(), encoding="utf-8")

"""The formats of an export: their names, extensions, and what a file of each may hold. Pure.

Guessing goes by the longest extension, so that ``spans.otlp.jsonl`` is OTLP and ``spans.jsonl`` is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from otel_etw.tables.schema import EVENTS, LOGS, METRIC_POINTS, SPANS


@dataclass(frozen=True)
class Format:
    """One format. ``extensions``: the first is what files get; all of them tell the format of a file."""

    name: str
    extensions: tuple[str, ...]
    streams: bool = True
    """Whether it can go to standard output."""
    mixes_tables: bool = False
    """Whether rows of several tables can stand in one file and be told apart."""
    is_otlp: bool = False
    accepted: tuple[str, ...] = ()
    """Extensions that a file may have, too, if it is said which format it is to be."""

    @property
    def extension(self) -> str:
        """With the dot."""
        return self.extensions[0]

    def accepts(self, path: str) -> bool:
        """Whether a file of this format may have the name ``path``."""
        return path.lower().endswith(self.extensions + self.accepted)

    def file_name(self, table: str) -> str:
        """The name of the file of ``table`` in a directory; OTLP's files are named as its signals."""
        return (_OTLP_NAMES[table] if self.is_otlp else table) + self.extension


PARQUET = Format("parquet", (".parquet",), streams=False)
CSV = Format("csv", (".csv",))
JSONL = Format("jsonl", (".jsonl", ".ndjson", ".json"), mixes_tables=True)
OTLP_JSON = Format(
    "otlp-json", (".otlp.jsonl", ".otlp.json"), mixes_tables=True, is_otlp=True, accepted=JSONL.extensions
)
OTLP_PROTO = Format("otlp-proto", (".otlp.binpb", ".binpb", ".otlp", ".pb"), is_otlp=True)

FORMATS = {one.name: one for one in (PARQUET, CSV, JSONL, OTLP_JSON, OTLP_PROTO)}

OTLP_TABLES = (LOGS, SPANS, METRIC_POINTS)
"""The tables that OTLP has messages for."""

_OTLP_NAMES = {LOGS: "logs", SPANS: "traces", METRIC_POINTS: "metrics", EVENTS: "events"}


def format_of(path: str) -> Format | None:
    """The format that the end of ``path`` tells, if it does."""
    lower = path.lower()
    endings = [(extension, one) for one in FORMATS.values() for extension in one.extensions]
    fitting = [(len(extension), one) for extension, one in endings if lower.endswith(extension)]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None

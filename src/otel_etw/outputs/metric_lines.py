"""A summary of metrics as lines: per metric a heading and a small table, a row for each set of attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.cells import cell_len

from otel_etw.outputs.histograms import Histogram, Picture
from otel_etw.outputs.metric_summary import QUANTILES, Metric, MetricSummary, Series
from otel_etw.outputs.numbers import counted, number_text
from otel_etw.outputs.pieces import Pieces, attribute_pieces
from otel_etw.outputs.text import printable

_DIGITS = 3
_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = " .:-=+*#@"

Cell = tuple[str, str]
"""Title and text of one number."""


def summary_lines(
    summary: MetricSummary, *, unicode: bool, wide: bool = False, width: int | None = None
) -> Iterator[Pieces]:
    """The whole summary, an empty line before each metric; services are named where there are several.

    Where a row of a table is wider than ``width`` cells, attributes stand in lines of their own.
    """
    sources = _sources(summary)
    yield [
        ("Metrics", "bold underline"),
        (f"  {counted(len(summary), 'metric')}, {counted(summary.series, 'series', 'series')}", "dim"),
        (f", {counted(summary.points, 'data point')}", "dim"),
    ]
    shown = next(iter(sources)) if len(sources) == 1 else None
    for metric in summary:
        source = metric.key[:3]
        if source != shown:
            shown = source
            yield []
            yield [("of ", "dim"), *sources[source]]
        yield []
        yield _heading(metric, wide)
        yield from _table(metric, unicode, width)


Source = tuple[str | None, str | None, str]
"""Service, instance, and the whole resource as text."""


def _sources(summary: MetricSummary) -> dict[Source, Pieces]:
    """Where the metrics come from: service and instance, and what tells resources of equal ones apart."""
    resources = {metric.key[:3]: metric.resource for metric in summary}
    alike: dict[tuple[str | None, str | None], list[Mapping[str, Any]]] = {}
    for (name, instance, _), resource in resources.items():
        alike.setdefault((name, instance), []).append(resource)
    sources: dict[Source, Pieces] = {}
    for (name, instance, text), resource in resources.items():
        others = alike[name, instance]
        telling = {
            key: value
            for key, value in resource.items()
            if any(key not in other or repr(other[key]) != repr(value) for other in others)
        }
        service = " ".join(printable(part) for part in (name, instance) if part) or "no service"
        sources[name, instance, text] = [(service, "blue"), *attribute_pieces(telling)]
    return sources


def bars(picture: Picture, *, unicode: bool) -> str:
    """One character per column, as high as its share of the highest; blank only for an empty column."""
    blocks = _BLOCKS if unicode else _ASCII_BLOCKS
    highest = max(picture.counts, default=0)
    return "".join(blocks[0] if count <= 0 else blocks[1 + count * 7 // highest] for count in picture.counts)


def _heading(metric: Metric, wide: bool) -> Pieces:
    key = metric.key
    kind = key.kind.replace("_", " ")
    if key.kind == "sum":
        kind = "counter" if key.is_monotonic else "up-down counter"
    facts = [printable(key.unit), kind, key.temporality or "", counted(metric.points, "data point")]
    pieces: Pieces = [
        (printable(key.name), "bold cyan"),
        ("  " + ", ".join(fact for fact in facts if fact), ""),
    ]
    if metric.description:
        pieces.append((f"  {printable(metric.description)}", "dim"))
    if wide and key.scope_name:
        pieces.append((f"  scope={printable(key.scope_name)} {printable(key.scope_version)}".rstrip(), "dim"))
    return pieces


def _table(metric: Metric, unicode: bool, width: int | None) -> Iterator[Pieces]:
    all_series = list(metric.series.values())
    cells = [_cells(series) for series in all_series]
    titles = list(dict.fromkeys(title for row in cells for title, _ in row))
    lines = _aligned([titles, *([dict(row).get(title, "") for title in titles] for row in cells)])
    pictures = _pictures(all_series, unicode)
    attributes = [attribute_pieces(series.attributes) + _run_pieces(series) for series in all_series]
    rows: list[Pieces] = [
        [(line, ""), (picture, "green")] for line, picture in zip(lines[1:], pictures, strict=True)
    ]
    if len(titles) > 1:
        yield [(lines[0], "dim")]
    if _fit(width, (row + pieces for row, pieces in zip(rows, attributes, strict=True))):
        yield from (row + pieces for row, pieces in zip(rows, attributes, strict=True))
        return
    picture_apart = not _fit(width, rows)
    for (numbers, picture), pieces in zip(rows, attributes, strict=True):
        if pieces:
            yield pieces
        yield [numbers] if picture_apart else [numbers, picture]
        if picture_apart and picture[0]:
            yield [("  ", ""), picture]


def _run_pieces(series: Series) -> Pieces:
    """Of a cumulative series, how often it started; what its value is made of then is no single point."""
    return [(f"  {counted(len(series.runs), 'start')}", "dim")] if len(series.runs) > 1 else []


def _aligned(rows: list[list[str]]) -> list[str]:
    """One line per row, every column flushed right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "".join(f"  {text:>{width}}" for text, width in zip(row, widths, strict=True)) for row in rows
    ]


def _fit(width: int | None, rows: Iterable[Pieces]) -> bool:
    return width is None or all(_cells_of(row) <= width for row in rows)


def _cells_of(pieces: Pieces) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def _cells(series: Series) -> list[Cell]:
    if series.histogram is not None:
        return _histogram_cells(series.histogram)
    if series.last.kind == "summary":
        return _quantile_summary_cells(series)
    if series.last.kind == "gauge" and series.points > 1:
        facts = {"last": series.value, "min": series.lowest, "max": series.highest}
        return [(title, number_text(value)) for title, value in facts.items()]
    return [("value", number_text(series.value))]


def _histogram_cells(histogram: Histogram) -> list[Cell]:
    facts: dict[str, int | float | None] = {
        "count": histogram.count,
        "sum": histogram.sum,
        "mean": histogram.mean,
        "min": histogram.min,
        **{f"~p{q * 100:g}": histogram.quantile(q) for q in QUANTILES},
        "max": histogram.max,
    }
    return [(title, number_text(value, _DIGITS)) for title, value in facts.items()]


def _quantile_summary_cells(series: Series) -> list[Cell]:
    point = series.last
    quantiles = [(f"p{q * 100:g}", number_text(value)) for q, value in point.quantiles]
    return [("count", number_text(point.count)), ("sum", number_text(point.sum)), *quantiles]


def _pictures(all_series: list[Series], unicode: bool) -> list[str]:
    """``low bars high`` of each series, the bars below one another; nothing where there are no histograms."""
    pictures = [
        series.histogram.picture() if series.histogram else Picture(0, 0, ()) for series in all_series
    ]
    if not any(picture.counts for picture in pictures):
        return ["" for _ in pictures]
    parts = [
        (
            number_text(picture.low, _DIGITS),
            bars(picture, unicode=unicode),
            number_text(picture.high, _DIGITS),
        )
        if picture.counts
        else ("", "", "")
        for picture in pictures
    ]
    low_width = max(len(low) for low, _, _ in parts)
    width = max(len(f"{drawn} {high}") for _, drawn, high in parts)
    return [f"  {low:>{low_width}} {f'{drawn} {high}':<{width}}" for low, drawn, high in parts]

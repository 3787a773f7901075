"""Ask any ``.etl`` file in SQL, and have what it holds as Arrow tables for pandas, polars or Parquet.

python examples/query_a_trace.py app.etl
"""

import sys

from otel_etw import load

SEVERITIES = """
    SELECT severity_text, count(*) AS records, min(body) AS example
    FROM logs GROUP BY ALL ORDER BY records DESC
"""
SLOWEST = """
    SELECT name, duration_ns / 1e6 AS ms, attributes->>'http.route' AS route
    FROM spans ORDER BY duration_ns DESC LIMIT 5
"""


def main(path: str) -> None:
    trace = load(path)  # a directory, a glob or an archive, too; nothing is decoded yet
    print(trace.events.num_rows, "events, of which", trace.logs.num_rows, "log records,", end=" ")
    print(trace.spans.num_rows, "spans,", trace.metric_points.num_rows, "data points")
    for query in (SEVERITIES, SLOWEST):
        for row in trace.sql(query).to_pylist():  # .to_pandas() gives a DataFrame
            print(row)
    for batch in trace.batches("metric_points"):  # a stream, for what is larger than memory
        for name, value in zip(batch["metric_name"].to_pylist(), batch["value"].to_pylist(), strict=True):
            print(name, value)
    for line in trace.report.lines():
        print("missing:", line)


if __name__ == "__main__":
    main(sys.argv[1])

"""Write docs/configuration.md, the reference of the environment variables, from the table that is read.

python docs/make_configuration.py
"""

from __future__ import annotations

from pathlib import Path

from otel_etw.environment import INTERNAL_METRICS_VARIABLE, VARIABLES

HEAD = """# Configuration by environment

Made from `otel_etw.environment` by `python docs/make_configuration.py`; a test finds what is missing here.

Each variable stands for an argument: it counts where the argument was not given in code, and so for what
`OTEL_LOGS_EXPORTER=etw`, `OTEL_TRACES_EXPORTER=etw` and `OTEL_METRICS_EXPORTER=etw` make without any code. An
empty variable counts as unset. An invalid value is logged once, as a warning of the logger `otel_etw`, and
the default is used; the application never fails for it.

| variable | values | default | meaning | read by |
| --- | --- | --- | --- | --- |
"""

TAIL = f"""
*handler* is `EtwHandler`; *the shared session* is the one of all exporters, processors and handlers that were
given no `session`. It is made for the first of them, so the values of that moment count. On Windows there
is one only if `OTEL_EXPORTER_ETW_FILE` is set; without it events go to ETW itself, for whatever sessions
listen on the machine, and what is said here of files counts for nothing.

`{INTERNAL_METRICS_VARIABLE}` is the SDK's own variable: if it is `true`, exporters, processors
and handlers publish metrics about themselves (`otel.sdk.exporter.*`, `otel.sdk.processor.*`) through the
`meter_provider` that they were given, or through the global one.
"""


def reference() -> str:
    """The whole page."""
    rows = (
        f"| `{row.name}` | {row.values} | {row.unset} | {row.meaning} | {row.used_by} |\n"
        for row in VARIABLES
    )
    return HEAD + "".join(rows) + TAIL


if __name__ == "__main__":
    Path(__file__).with_name("configuration.md").write_text(reference(), encoding="utf-8")

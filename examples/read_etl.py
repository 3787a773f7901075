"""Print what any ``.etl`` file holds: who recorded it, every event with its fields, and what was damaged.

python examples/read_etl.py app.etl
"""

import sys

from otel_etw import open_etl


def main(path: str) -> None:
    with open_etl(path) as trace:
        print(f"session {trace.header.session_name!r}, {trace.header.events_lost} events lost")
        for event in trace.in_time_order():
            if event.name is not None:
                print(event.timestamp_ns, event.provider_name or event.provider_id, event.name, event.fields)
        if trace.damage:
            print(trace.damage)


if __name__ == "__main__":
    main(sys.argv[1])

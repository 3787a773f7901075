"""A file is streamed: the reader's anonymous memory does not grow with the file.

The limit is 300 MB of anonymous memory for a 2 GB file.  The normal run holds a 200 MB file to a
tenth of that; ``OTEL_ETW_LONG_TESTS=1`` reads 2 GB.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from etl_files import T0, buffer, event_record, header_buffer

LONG = os.environ.get("OTEL_ETW_LONG_TESTS") == "1"
FILE_BYTES = (2000 if LONG else 200) * 1024 * 1024
LIMIT_BYTES = FILE_BYTES // 2000 * 300
BUFFER_BYTES = 65536

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RssAnon is Linux's")

READER = """
import sys
from otel_etw.etl.reader import open_etl

def anonymous_bytes():
    with open("/proc/self/status", encoding="ascii") as status:
        (line,) = [line for line in status if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024

path, order = sys.argv[1:]
with open_etl(path) as trace:
    before = peak = anonymous_bytes()
    count = 0
    last = None
    for event in trace if order == "file" else trace.in_time_order():
        count += 1
        if order == "time":
            assert last is None or last <= event.timestamp_raw
            last = event.timestamp_raw
        if count % 500 == 0:
            peak = max(peak, anonymous_bytes())
    assert not trace.damage
print(count, before, max(peak, anonymous_bytes()))
"""


def write_large_file(path: Path, size_bytes: int) -> int:
    """Buffers of two processors that overlap in time, repeated with moving times; answers the event count."""
    dice = random.Random(1)
    payload = dice.randbytes(3000)
    per_buffer = (BUFFER_BYTES - 72) // (80 + len(payload))
    count = 0
    with path.open("wb") as file:
        file.write(header_buffer(BUFFER_BYTES))
        number = 0
        while file.tell() < size_bytes:
            start = T0 + number // 2 * 1000
            records = [event_record(start + n * 10 + number % 2, payload) for n in range(per_buffer)]
            file.write(buffer(records, BUFFER_BYTES, processor=number % 2))
            count += per_buffer
            number += 1
    return count + 1


def measure(path: Path, order: str) -> tuple[int, int, int]:
    """(events, anonymous bytes before, at the peak) of a process that iterates the file."""
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path), order], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count, before, peak = map(int, done.stdout.split())
    return count, before, peak


@pytest.mark.parametrize("order", ["file", "time"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, order: str) -> None:
    small, large = tmp_path / "small.etl", tmp_path / "large.etl"
    # In time order up to 32 MiB are kept for the second reading: the smaller file has to fill that.
    small_count = write_large_file(small, (20 if order == "file" else 60) * 1024 * 1024)
    large_count = write_large_file(large, FILE_BYTES)
    try:
        found_small, small_before, small_peak = measure(small, order)
        found_large, large_before, large_peak = measure(large, order)
    finally:
        small.unlink()
        large.unlink()
    assert (found_small, found_large) == (small_count, large_count)
    assert large_peak < 300 * 1024 * 1024
    grown = large_peak - large_before
    assert grown < (LIMIT_BYTES if order == "file" else 48 * 1024 * 1024)
    assert grown - (small_peak - small_before) < 6 * 1024 * 1024

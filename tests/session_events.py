"""Numbered events for the session tests, and every reader's idea of which numbers a file holds."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

from independent_readers import READERS
from otel_etw.etl.reader import open_etl
from otel_etw.providers.base import PreparedWrite
from otel_etw.providers.embedded import EmbeddedProvider
from otel_etw.tracelogging.encode import EventBuilder
from otel_etw.tracelogging.types import EventDescriptor

DESCRIPTOR = EventDescriptor(level=4, keyword=1)
NAME = "Numbered"
_I64 = struct.Struct("<q")
TESTS = str(Path(__file__).parent)


def _metadata() -> bytes:
    builder = EventBuilder(NAME)
    builder.add_i64("number", 0)
    builder.add_binary("padding", b"")
    return builder.metadata()


METADATA = _metadata()


def payload_of(number: int, padding: int = 0) -> bytes:
    return _I64.pack(number) + padding.to_bytes(2, "little") + bytes(padding)


def write_number(provider: EmbeddedProvider, number: int, padding: int = 0) -> int:
    """Write the event ``number`` with ``padding`` more bytes; the write's status.

    Even numbers go by ``write``, odd ones by a prepared write, so that either has the other about it.
    """
    if number % 2:
        return prepared(provider)(payload_of(number, padding), None)
    return write_plainly(provider, number, padding)


def write_plainly(provider: EmbeddedProvider, number: int, padding: int = 0) -> int:
    return provider.write(DESCRIPTOR, METADATA, payload_of(number, padding))


def prepared(provider: EmbeddedProvider) -> PreparedWrite:
    """The prepared write of such events, one for each provider."""
    write: PreparedWrite | None = vars(provider).get("prepared_by_test")
    if write is None:
        # With the provider, not in a table of ours, which would keep it and its session alive.
        write = vars(provider)["prepared_by_test"] = provider.prepare(DESCRIPTOR, METADATA)
    return write


def number_of(payload: bytes) -> int:
    return _I64.unpack_from(payload)[0]


def our_numbers(path: str | os.PathLike[str]) -> list[int]:
    """What our reader finds, which must call nothing damaged."""
    with open_etl(path) as trace:
        events = [event for event in trace if event.kind == "event"]
        assert not trace.damage, trace.damage
    assert all(event.name == NAME and not event.problems for event in events)
    return [number_of(event.payload) for event in events]


def numbers_by_reader(path: str | os.PathLike[str]) -> dict[str, list[int]]:
    """The numbers in file order, by reader."""
    found = {"otel_etw": our_numbers(path)}
    for name, read in READERS.items():
        found[name] = [number_of(event.payload) for event in read(path)]
    return found


def numbers_in(path: str | os.PathLike[str]) -> list[int]:
    """The numbers in file order, on which all readers must agree."""
    found = numbers_by_reader(path)
    assert found["etl-parser"] == found["otel_etw"]
    assert found["dissect.etl"] == found["otel_etw"]
    return found["otel_etw"]


def start_child(script: str, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """A Python process running ``script`` with these helpers importable; stdin and stdout are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([TESTS, *sys.path])},
        **options,  # type: ignore[call-overload]
    )


def run_child(script: str, *arguments: object, timeout: float = 60, **options: object) -> str:
    """Run ``script`` to its end, which must be a good one, and answer its standard output."""
    with start_child(script, *arguments, **options) as child:
        try:
            out, err = child.communicate(timeout=timeout)
        except BaseException:
            child.kill()
            raise
    assert child.returncode == 0, err.decode()
    assert b"Traceback" not in err, err.decode()
    return out.decode()

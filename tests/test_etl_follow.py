"""The reader on files that an ``EtlSession`` is writing: complete at every moment, never damaged."""

from __future__ import annotations

import struct
from pathlib import Path
from uuid import UUID

import pytest

from etl_files import metadata_blob
from otel_etw.etl.event import Event
from otel_etw.etl.reader import open_etl
from otel_etw.sessions.embedded import EtlSession
from otel_etw.tracelogging.types import EventDescriptor

METADATA = metadata_blob("Count", [("n", 8)])
ACTIVITY, RELATED = UUID(int=5), UUID(int=6)


def counted(events: list[Event]) -> list[int]:
    return [int(str(event.fields["n"])) for event in events if event.kind == "event"]


@pytest.mark.parametrize("buffer_size_bytes", [4096, 65536])
def test_every_acknowledged_event_is_read_while_the_session_writes(
    tmp_path: Path, buffer_size_bytes: int
) -> None:
    path = tmp_path / "live.etl"
    session = EtlSession(path, buffer_size=buffer_size_bytes)
    provider = session.register("Follow_Me")
    written = 0
    early = open_etl(path)
    try:
        for _ in range(12):
            for _ in range(37):
                status = provider.write(EventDescriptor(level=4), METADATA, struct.pack("<I", written))
                assert status == 0
                written += 1
            with open_etl(path) as trace:
                for found in (list(trace), list(trace.in_time_order())):
                    assert counted(found) == list(range(written))
                    assert not trace.damage, trace.damage
                    assert trace.damage.unfinished
            assert counted(list(early)) == list(range(written))
            assert not early.damage
    finally:
        early.close()
        session.close()
    with open_etl(path) as trace:
        assert counted(list(trace)) == list(range(written))
        assert not trace.damage
        assert trace.damage.unfinished is None
        assert trace.header.end_time_filetime
        assert trace.header.buffers_written == trace.buffers_read


def test_what_a_provider_writes_is_what_an_event_says(tmp_path: Path) -> None:
    path = tmp_path / "one.etl"
    descriptor = EventDescriptor(id=7, version=1, level=2, opcode=1, task=9, keyword=0x8000_0000_0000_0001)
    with EtlSession(path, session_name="following") as session:
        provider = session.register("Follow_Me")
        provider.write(descriptor, METADATA, b"\x2a\0\0\0", ACTIVITY.bytes_le, RELATED.bytes_le)
    with open_etl(path) as trace:
        (event,) = [event for event in trace if event.kind == "event"]
        assert trace.header.session_name == "following"
    assert event.descriptor == descriptor
    assert event.provider_name == "Follow_Me"
    assert event.provider_id == provider.id
    assert (event.name, event.fields) == ("Count", {"n": 42})
    assert (event.activity_id, event.related_activity_id) == (ACTIVITY, RELATED)
    assert event.problems == ()

"""The double of ETW, session's side: starting, asking and stopping, and what sessions are told and tell."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from etw_clients import MASK, OTHER, PROVIDER, Properties, control, start
from etw_double import EtwDouble
from otel_etw.windows import libraries
from otel_etw.windows.session_functions import control_functions
from otel_etw.windows.structures import EnableTraceParameters, EventTraceProperties


def test_a_session_is_started_asked_and_stopped(etw_double: EtwDouble) -> None:
    """By handle and by name in any case; it tells its names, its handle and what it has lost."""
    given = Properties(BufferSize=128, MinimumBuffers=4, MaximumBuffers=32, FlushTimer=2)
    status, handle = start("Größe", given)
    assert (status, given.text(120), given.at.Wnode.HistoricalContext) == (0, "Größe", handle)
    assert etw_double.session_names() == ["Größe"]
    etw_double.set_lost("Größe", events=5, log_buffers=6, realtime_buffers=7)
    asked = Properties(file="", mode=0)
    assert control("gRößE", 0, asked) == 0
    assert (asked.text(120), asked.text(632), asked.at.BufferSize) == ("Größe", "", 128)
    assert (asked.at.EventsLost, asked.at.LogBuffersLost, asked.at.RealTimeBuffersLost) == (5, 6, 7)
    assert (asked.at.MinimumBuffers, asked.at.MaximumBuffers, asked.at.LogFileMode) == (4, 32, 0x100)
    stopped = Properties()
    assert (control(handle, 1, stopped), stopped.at.EventsLost) == (0, 5)
    assert (control(handle, 1), control("Größe", 0)) == (4201, 4201)
    assert etw_double.session_names() == []
    raw = EventTraceProperties.from_buffer_copy(etw_double.properties("Größe"))
    assert (raw.BufferSize, raw.Wnode.Flags, raw.EventsLost) == (128, 0x20000, 0)


@pytest.mark.parametrize(
    ("status", "properties"),
    [
        (24, {"size": 119}),
        (24, {"size": 123}),
        (24, {"name_offset": 112}),
        (24, {"name_offset": 1140}),
        (24, {"file_offset": 60}),
        (87, {"flags": 0}),
        (161, {"mode": 1}),
        (87, {"mode": 0x101 | 2, "file": "x.etl"}),
        (87, {"mode": 2, "file": "x.etl"}),
        (87, {"mode": 8, "file": "x%d.etl"}),
        (87, {"mode": 8, "file": "x.etl", "MaximumFileSize": 1}),
        (3, {"mode": 1, "file": "no/such/folder/x.etl"}),
    ],
    ids=str,
)
def test_a_session_that_windows_refuses_is_refused(
    etw_double: EtwDouble, status: int, properties: dict[str, Any]
) -> None:
    """Sizes and places of names that cannot be, modes that contradict each other, folders that are not."""
    assert start("sss", Properties(**properties))[0] == status
    assert etw_double.session_names() == []


def test_names_are_unique_whatever_their_case(etw_double: EtwDouble) -> None:
    assert start("Session", Properties())[0] == 0
    assert start("sEssion", Properties())[0] == 183


def test_an_answer_needs_room_for_names(etw_double: EtwDouble) -> None:
    """Where the caller gives a place for them."""
    etw_double.start_session("a rather long name")
    assert control("a rather long name", 0, Properties(size=130)) == 234
    assert control("a rather long name", 0, Properties(size=119)) == 24
    assert control("a rather long name", 0, Properties(size=120, name_offset=0)) == 0


def test_all_sessions_are_listed(etw_double: EtwDouble) -> None:
    """As many as there is room for, with the number there are."""
    for number in range(70):
        etw_double.start_session(f"s{number}")
    known = [Properties() for _ in range(80)]
    pointers = (ctypes.c_void_p * 80)(*(ctypes.addressof(one.buffer) for one in known))
    count = ctypes.c_uint32()
    query = control_functions().query_all_traces
    assert (query(pointers, 64, ctypes.byref(count)), count.value) == (234, 70)
    assert (query(pointers, 80, ctypes.byref(count)), count.value) == (0, 70)
    assert {one.text(120) for one in known[:70]} == {f"s{number}" for number in range(70)}
    assert query(pointers, 0, ctypes.byref(count)) == 87


def test_a_session_makes_its_file(etw_double: EtwDouble, tmp_path: Path) -> None:
    """An empty one; two sessions do not write the same; the first of rolling files has number 1."""
    path = tmp_path / "größe 日.etl"
    assert start("one", Properties(mode=1, file=str(path)))[0] == 0
    assert path.read_bytes() == b""
    assert start("two", Properties(mode=1, file=str(path)))[0] == 161
    asked = Properties(file="")
    assert (control("one", 1, asked), asked.text(632)) == (0, str(path))
    path.write_bytes(b"old")
    assert start("two", Properties(mode=1 | 4, file=str(path)))[0] == 0
    assert path.read_bytes() == b"old"
    rolling = Properties(mode=8, file=str(tmp_path / "r%d.etl"), MaximumFileSize=1)
    assert start("three", rolling)[0] == 0
    assert (tmp_path / "r1.etl").exists()


def test_a_session_is_changed_while_it_runs(etw_double: EtwDouble, tmp_path: Path) -> None:
    """Flush timer, maximum of buffers, and the file."""
    start("s", Properties(FlushTimer=1, BufferSize=64))
    wish = Properties(FlushTimer=9, MaximumBuffers=99, BufferSize=1, file=str(tmp_path / "new.etl"))
    assert control("s", 2, wish) == 0
    asked = Properties(file="")
    assert control("s", 3, asked) == 0
    assert (asked.at.FlushTimer, asked.at.MaximumBuffers, asked.at.BufferSize) == (9, 99, 64)
    assert asked.text(632) == str(tmp_path / "new.etl")


def test_requests_to_enable_are_kept(etw_double: EtwDouble) -> None:
    """All values of the call, also after the session has ended; bad ones are refused."""
    handle = etw_double.start_session("s")
    enable = control_functions().enable_trace
    wish = EnableTraceParameters(Version=2, EnableProperty=4)
    assert enable(handle, PROVIDER.bytes_le, 1, 3, MASK, 2, 1500, ctypes.byref(wish)) == 0
    assert enable(handle, OTHER.bytes_le, 0, 0, 0, 0, 0, None) == 0
    etw_double.stop_session("s")
    assert enable(handle, OTHER.bytes_le, 0, 0, 0, 0, 0, None) == 4201
    assert enable(0, OTHER.bytes_le, 0, 0, 0, 0, 0, None) == 87
    assert enable(handle, OTHER.bytes_le, 1, 3, 0, 0, 0, ctypes.byref(EnableTraceParameters())) == 87
    assert etw_double.enables("s") == [(PROVIDER, 1, 3, MASK, 2, 1500, 4), (OTHER, 0, 0, 0, 0, 0, 0)]


def test_registered_providers_are_listed(etw_double: EtwDouble) -> None:
    """``PROVIDER_ENUMERATION_INFO``, with names behind the entries; too little room is answered 122."""
    etw_double.add_registered_provider("Microsoft-Größe", PROVIDER)
    etw_double.add_registered_provider("B", OTHER)
    pointers = (ctypes.c_void_p, ctypes.c_void_p)
    function = libraries.bind("tdh", "TdhEnumerateProviders", ctypes.c_uint32, pointers)
    size = ctypes.c_uint32(10)
    assert function(None, ctypes.byref(size)) == 122
    assert size.value == 8 + 2 * 24 + 32 + 4
    buffer = ctypes.create_string_buffer(size.value)
    assert function(buffer, ctypes.byref(size)) == 0
    count, _ = struct.unpack_from("<II", buffer.raw)
    names = {}
    for index in range(count):
        guid, _, offset = struct.unpack_from("<16sII", buffer.raw, 8 + 24 * index)
        names[UUID(bytes_le=guid)] = buffer.raw[offset:].decode("utf-16-le").partition("\0")[0]
    assert names == {PROVIDER: "Microsoft-Größe", OTHER: "B"}

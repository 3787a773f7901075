"""Loading the double of ETW (``native/etw_double.c``), and driving it.

A library is loaded once per process; :meth:`EtwDouble.reset` makes it forget everything.  Nothing here needs
pytest, so that child processes of tests can use it too (:data:`BOOTSTRAP`); the fixture is in
:mod:`etw_double`.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from etw_building import library_path

_REAL_WINDLL: Any = getattr(ctypes, "WinDLL", None)
_ETW_LIBRARIES = ("advapi32", "sechost", "tdh", "api-ms-win-eventing-", "ext-ms-win-eventing-")

u8, u16, u32, u64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64
i32, i64, size_t, pointer = ctypes.c_int32, ctypes.c_int64, ctypes.c_size_t, ctypes.c_void_p
text = ctypes.c_char_p


class WrittenEvent(NamedTuple):
    """One call of EventWriteTransfer (or EventWrite) that was answered with 0."""

    handle: int
    provider_id: UUID
    descriptor: bytes
    flags: int
    thread_id: int
    activity_id: bytes | None
    related_id: bytes | None
    entries: list[tuple[int, bytes]]
    """Type (the whole last field of the data descriptor) and bytes."""
    enabled: bool
    """Whether any session took it."""


class Enabled(NamedTuple):
    """One call of EnableTraceEx2."""

    provider_id: UUID
    code: int
    level: int
    any_mask: int
    all_mask: int
    timeout_ms: int
    property: int


LOST_EVENTS_ID = UUID("6a399ae0-4bc6-4de9-870b-3657f8947e7e")
"""``RT_LostEvent``: its opcodes are 32 event, 33 buffer, 34 file."""

_CONTROLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "SetEnabled": (i32, (text, u32, u8, u64, u64, pointer, u32)),
    "StartPounding": (None, (text, u32)),
    "Pounded": (u64, ()),
    "StopPounding": (None, ()),
    "LingerAtExit": (None, (u32,)),
    "FailNext": (u32, (text, u32, i32)),
    "SetDelay": (u32, (text, u32)),
    "CallCount": (i64, (text,)),
    "LastError": (u32, ()),
    "SetLastError": (None, (u32,)),
    "RegistrationCount": (u32, (u32,)),
    "Traits": (size_t, (u64, pointer, size_t)),
    "Written": (size_t, (pointer, size_t)),
    "WrittenCount": (u32, ()),
    "ForgetWritten": (None, ()),
    "Misuse": (size_t, (pointer, size_t)),
    "SessionNames": (size_t, (pointer, size_t)),
    "SessionHandle": (u64, (text,)),
    "SessionEvents": (i64, (text,)),
    "SessionProperties": (size_t, (text, pointer, size_t)),
    "SessionEnables": (size_t, (text, pointer, size_t)),
    "SetLost": (u32, (text, u32, u32, u32)),
    "Deliver": (u32, (text, text, text, u32, text, u32)),
    "Emit": (None, (text, text, pointer, pointer, pointer, u32, i64)),
    "AddProvider": (None, (text, text)),
    "Reset": (None, ()),
}


class _Part(ctypes.Structure):
    _fields_ = (("data", text), ("size", u32))


def _wide(name: str) -> bytes:
    return name.encode("utf-16-le", "surrogatepass") + b"\0\0"


def _guid(value: UUID | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.bytes_le


class EtwDouble:
    """The loaded double, and everything a test can do to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library: Any = _open(str(path))
        self._hidden: set[str] = set()
        self._controls: dict[str, Any] = {}
        for name, (result, arguments) in _CONTROLS.items():
            function = self.library[f"EtwDouble_{name}"]
            function.restype = result
            function.argtypes = arguments
            self._controls[name] = function

    def _call(self, name: str, *arguments: Any) -> Any:
        return self._controls[name](*arguments)

    def _bytes(self, name: str, *arguments: Any) -> bytes:
        """What a function gives that is asked for the size first; it may have grown meanwhile."""
        room = self._call(name, *arguments, None, 0)
        while True:
            buffer = ctypes.create_string_buffer(max(room, 1))
            size = self._call(name, *arguments, buffer, room)
            if size <= room:
                return ctypes.string_at(buffer, size)
            room = size

    def reset(self) -> None:
        """Everything is forgotten, counters are 0, calls of ProcessTrace end."""
        self._hidden.clear()
        self._call("Reset")

    def opener(self, name: str, *arguments: Any, **options: Any) -> Any:
        """What stands in for ``ctypes.WinDLL``: a library object of its own for each call."""
        if str(name).lower().startswith(_ETW_LIBRARIES):
            return _open(str(self.path), self.library._handle, self._hidden)
        if _REAL_WINDLL is None:
            raise OSError(f"{name}: no such library on this system")
        return _REAL_WINDLL(name, *arguments, **options)

    def last_error(self) -> int:
        """For systems without ``ctypes.get_last_error``."""
        return int(self._call("LastError"))

    def set_last_error(self, code: int) -> int:
        """For systems without ``ctypes.set_last_error``."""
        before = self.last_error()
        self._call("SetLastError", code)
        return before

    # Calls

    def hide(self, function: str) -> None:
        """Libraries do not have ``function``, as on an older Windows."""
        self._hidden.add(function)

    def fail_next(self, function: str, status: int, times: int = 1) -> None:
        """The next calls (-1: all) of an exported function answer ``status`` and do nothing else."""
        assert self._call("FailNext", function.encode(), status, times) == 0, f"no function {function}"

    def set_delay_ms(self, function: str, ms: int) -> None:
        """Calls of ``function`` take that long before they do anything; 0 ends it."""
        assert self._call("SetDelay", function.encode(), ms) == 0, f"no function {function}"

    def calls(self, function: str) -> int:
        """How often ``function`` was called, failing calls included."""
        count = int(self._call("CallCount", function.encode()))
        assert count >= 0, f"no function {function}"
        return count

    @property
    def register_calls(self) -> int:
        return self.calls("EventRegister")

    @property
    def unregister_calls(self) -> int:
        return self.calls("EventUnregister")

    @property
    def misuse(self) -> list[str]:
        """What was called that Windows would answer with a deadlock. The fixture asserts that it is empty."""
        return self._bytes("Misuse").decode().splitlines()

    # Providers

    def enable(
        self, provider_id: UUID, *, level: int = 5, any_mask: int = 0, all_mask: int = 0, code: int = 1,
        other_thread: bool = False,
    ) -> int:  # fmt: skip
        """Callbacks with these values as they are, outside of any session; answers their number.

        ``code`` 1 counts as one session more that wants such events, 0 ends that.
        """
        return int(
            self._call("SetEnabled", _guid(provider_id), code, level, any_mask, all_mask, None, other_thread)
        )

    def enable_from_thread(self, provider_id: UUID, every_us: int) -> None:
        """A native thread delivers callbacks, levels 5 and 4 in turn, with pauses of ``every_us``."""
        self._call("StartPounding", _guid(provider_id), every_us)

    def delivered_by_thread(self) -> int:
        """How many callbacks that thread has made."""
        return int(self._call("Pounded"))

    def stop_enabling(self) -> None:
        self._call("StopPounding")

    def linger_at_exit(self, ms: int) -> None:
        """This process stays for so long after its interpreter has ended, with native threads running, and
        its exit code is 70 if the interpreter's end has caught one inside a callback.

        For child processes that show what late callbacks do.
        """
        self._call("LingerAtExit", ms)

    def provider_count(self) -> int:
        """Registrations there are now."""
        return int(self._call("RegistrationCount", 0))

    @property
    def callbacks_without(self) -> int:
        """Registrations there are now that have no callback."""
        return int(self._call("RegistrationCount", 1))

    def traits(self, handle: int) -> bytes:
        """Traits set for a registration; nothing where there are none."""
        return self._bytes("Traits", handle)

    def written(self) -> list[WrittenEvent]:
        """All events written so far, wanted or not, in order."""
        return list(_written_events(self._bytes("Written")))

    def written_count(self) -> int:
        return int(self._call("WrittenCount"))

    def forget_written(self) -> None:
        self._call("ForgetWritten")

    def add_registered_provider(self, name: str, provider_id: UUID) -> None:
        """One more for TdhEnumerateProviders."""
        self._call("AddProvider", _guid(provider_id), _wide(name))

    # Sessions

    def start_session(
        self, name: str, *, mode: int = 0x100, buffer_size_kb: int = 64, file: str | None = None
    ) -> int:
        """A session as another program would start it, in real time if not said otherwise; its handle."""
        names, handle = _wide(name), u64()
        path = _wide(file) if file else b""
        properties = bytearray(120) + names + path
        struct.pack_into("<I", properties, 0, len(properties))
        struct.pack_into("<I", properties, 44, 0x20000)
        struct.pack_into("<I", properties, 48, buffer_size_kb)
        struct.pack_into("<I", properties, 64, mode)
        struct.pack_into("<II", properties, 112, 120 + len(names) if file else 0, 120)
        given = (u8 * len(properties)).from_buffer(properties)
        status = self.library.StartTraceW(ctypes.byref(handle), names, given)
        assert status == 0, f"StartTraceW: {status}"
        return handle.value

    def stop_session(self, name: str) -> None:
        properties = (u32 * 30)(120)
        status = self.library.ControlTraceW(u64(0), _wide(name), properties, u32(1))
        assert status == 0, f"ControlTraceW: {status}"

    def enable_in(
        self, session: str | int, provider_id: UUID, *, level: int = 5, any_mask: int = 0, all_mask: int = 0,
        code: int = 1,
    ) -> None:  # fmt: skip
        """A session enables a provider (code 1), or asks it for its state (code 2)."""
        handle = session if isinstance(session, int) else int(self._call("SessionHandle", _wide(session)))
        status = self.library.EnableTraceEx2(
            u64(handle), _guid(provider_id), u32(code), u8(level), u64(any_mask), u64(all_mask), u32(0), None
        )
        assert status == 0, f"EnableTraceEx2: {status}"

    def disable_in(self, session: str | int, provider_id: UUID) -> None:
        self.enable_in(session, provider_id, level=0, code=0)

    def session_names(self) -> list[str]:
        """Of running sessions, the newest first."""
        names = self._bytes("SessionNames").decode("utf-16-le", "surrogatepass")
        return names.split("\0")[:-1]

    def session_events(self, name: str) -> int:
        """How many events the session took, running or ended."""
        count = int(self._call("SessionEvents", _wide(name)))
        assert count >= 0, f"there was no session {name}"
        return count

    def properties(self, name: str) -> bytes:
        """``EVENT_TRACE_PROPERTIES`` and names as StartTraceW got them, of a running or ended session."""
        return self._bytes("SessionProperties", _wide(name))

    def enables(self, name: str) -> list[Enabled]:
        """Calls of EnableTraceEx2 for a running or ended session."""
        data = self._bytes("SessionEnables", _wide(name))
        return [
            Enabled(UUID(bytes_le=provider_id), code, level, any_mask, all_mask, timeout_ms, asked)
            for provider_id, code, level, any_mask, all_mask, timeout_ms, asked in struct.iter_unpack(
                "<16sIIQQII", data
            )
        ]

    def set_lost(
        self, name: str, *, events: int = 0, log_buffers: int = 0, realtime_buffers: int = 0
    ) -> None:
        """What the session says to have lost: in answers of ControlTraceW, and to the buffer callback."""
        status = self._call("SetLost", _wide(name), events, log_buffers, realtime_buffers)
        assert status == 0, f"no session {name}"

    # Events of other programs

    def deliver_lost_notice(self, name: str, opcode: int) -> None:
        """An ``RT_LostEvent`` record: 32 events, 33 a buffer, 34 the file."""
        header = struct.pack(
            "<HHHHIIq16sHBBBBHQQ16s", 80, 0, 0x340, 0, 0, 0, 0, LOST_EVENTS_ID.bytes_le,
            0, 2, 0, 0, opcode, 0, 0, 0, bytes(16),
        )  # fmt: skip
        self.deliver_record(name, header)

    def deliver_record(
        self, name: str, header: bytes, items: Iterable[tuple[int, bytes]] = (), user_data: bytes = b""
    ) -> None:
        """An ``EVENT_RECORD`` as it is: ``EVENT_HEADER`` (80 bytes), extended items (type, bytes), data."""
        assert len(header) == 80
        known = list(items)
        packed = b"".join(struct.pack("<HH", kind, len(data)) + data for kind, data in known)
        status = self._call("Deliver", _wide(name), header, packed, len(known), user_data, len(user_data))
        assert status == 0, f"no session {name}"

    def emit(
        self, provider_id: UUID, descriptor: bytes, traits: bytes, metadata: bytes, payload: bytes,
        count: int = 1, *, counter_at: int | None = None,
    ) -> None:  # fmt: skip
        """TraceLogging events written by C itself to every session that takes them.

        With ``counter_at``, four bytes of the payload there are the event's number from 0 on.
        """
        parts = (_Part(part, len(part)) for part in (traits, metadata, payload))
        references = [ctypes.byref(part) for part in parts]
        at = -1 if counter_at is None else counter_at
        self._call("Emit", _guid(provider_id), descriptor, *references, count, at)


class _Library(_REAL_WINDLL or ctypes.CDLL):  # type: ignore[misc]
    """A library without the functions that a test hides."""

    _hidden: frozenset[str] | set[str] = frozenset()

    def __getitem__(self, name: Any) -> Any:
        if name in self._hidden:
            raise AttributeError(f"function '{name}' not found")
        return super().__getitem__(name)


def _open(path: str, handle: int | None = None, hidden: set[str] | None = None) -> Any:
    library = _Library(path, handle=handle, use_last_error=True)
    if hidden is not None:
        library._hidden = hidden
    return library


def _written_events(data: bytes) -> Iterator[WrittenEvent]:
    offset = 0
    while offset < len(data):
        size, count, handle, provider_id, descriptor, flags, thread_id, activity_id, related_id = (
            struct.unpack_from("<IIQ16s16sII16s16s", data, offset)
        )
        at, entries = offset + 88, []
        for _ in range(count):
            entry_size, kind = struct.unpack_from("<II", data, at)
            entries.append((kind, data[at + 8 : at + 8 + entry_size]))
            at += 8 + entry_size
        yield WrittenEvent(
            handle, UUID(bytes_le=provider_id), descriptor, flags, thread_id,
            activity_id if flags & 1 else None, related_id if flags & 2 else None,
            entries, bool(flags & 4),
        )  # fmt: skip
        offset += size


@cache
def load() -> EtwDouble:
    """The process's double. Raises :class:`DoubleUnavailable`."""
    return EtwDouble(library_path())


def install(set_attribute: Callable[..., None], double: EtwDouble) -> None:
    """``ctypes.WinDLL`` answers the double for Windows' ETW libraries, by any way to set an attribute."""
    set_attribute(ctypes, "WinDLL", double.opener)
    if _REAL_WINDLL is None:
        set_attribute(ctypes, "get_last_error", double.last_error)
        set_attribute(ctypes, "set_last_error", double.set_last_error)


BOOTSTRAP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parent)!r})
import etw_library
double = etw_library.load()
etw_library.install(setattr, double)
"""
"""Source for ``python -c``: the child process has the double in place, as ``double``."""

"""The providers registered by name on this machine: those with a manifest or a MOF class.

Providers that describe their events themselves, ours among them, are registered nowhere; their GUIDs are
hashes of their names.
"""

from __future__ import annotations

import ctypes
import struct
from typing import NamedTuple
from uuid import UUID

from otel_etw.windows.error_codes import ErrorCode, WindowsCallError
from otel_etw.windows.libraries import bind

LIBRARY = "tdh"

_HEADER = struct.Struct("<II")  # PROVIDER_ENUMERATION_INFO: NumberOfProviders, Reserved
_ENTRY = struct.Struct("<16sII")  # TRACE_PROVIDER_INFO: ProviderGuid, SchemaSource, ProviderNameOffset
_FIRST_ROOM_BYTES = 256 * 1024  # some 1,200 providers, of 90 bytes or so, are usual
_MAX_ROOM_BYTES = 64 * 1024 * 1024


class RegisteredProvider(NamedTuple):
    """A provider as it is registered."""

    name: str
    id: UUID


class RegisteredProviders:
    """Looks names up among the registered ones, which it asks Windows for when the first is wanted.

    Where Windows does not answer no name is known, and ``problem`` says why.
    """

    def __init__(self) -> None:
        self.problem: WindowsCallError | None = None
        self._by_name: dict[str, list[RegisteredProvider]] | None = None

    def find(self, name: str) -> list[RegisteredProvider]:
        """Those called ``name`` in whatever case; usually none or one."""
        if self._by_name is None:
            self._by_name = {}
            try:
                for provider in registered_providers():
                    self._by_name.setdefault(provider.name.lower(), []).append(provider)
            except WindowsCallError as problem:
                self.problem = problem
        return self._by_name.get(name.lower(), [])


def registered_providers() -> list[RegisteredProvider]:
    """All of them, as Windows lists them. Raises :class:`.WindowsCallError`."""
    u32, pointer = ctypes.c_uint32, ctypes.c_void_p
    enumerate_providers = bind(LIBRARY, "TdhEnumerateProviders", u32, (pointer, pointer))
    room_bytes = _FIRST_ROOM_BYTES
    while True:
        buffer = ctypes.create_string_buffer(room_bytes)
        size_bytes = u32(room_bytes)
        code = enumerate_providers(buffer, ctypes.byref(size_bytes))
        # The list may have grown since its size was told.
        if code != ErrorCode.INSUFFICIENT_BUFFER or room_bytes >= _MAX_ROOM_BYTES:
            break
        room_bytes = min(max(2 * room_bytes, size_bytes.value), _MAX_ROOM_BYTES)
    if code != ErrorCode.SUCCESS:
        raise WindowsCallError("listing registered providers", code)
    return parse_provider_list(buffer.raw)


def parse_provider_list(data: bytes) -> list[RegisteredProvider]:
    """A ``PROVIDER_ENUMERATION_INFO``: header, an entry for each provider, names in UTF-16 with NUL.

    Entries whose name lies outside are left out.
    """
    if len(data) < _HEADER.size:
        return []
    count, _ = _HEADER.unpack_from(data)
    count = min(count, (len(data) - _HEADER.size) // _ENTRY.size)
    entries = _ENTRY.iter_unpack(data[_HEADER.size : _HEADER.size + count * _ENTRY.size])
    return [
        RegisteredProvider(name, UUID(bytes_le=guid))
        for guid, _, name_offset in entries
        if (name := _name(data, name_offset))
    ]


def _name(data: bytes, offset: int) -> str:
    if not 0 < offset < len(data):
        return ""
    end = offset
    while (end := data.find(b"\0\0", end)) >= 0 and (end - offset) % 2:
        end += 1
    return data[offset:end].decode("utf-16-le", "replace") if end >= 0 else ""

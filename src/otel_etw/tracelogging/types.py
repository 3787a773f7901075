"""The vocabulary of self-describing (TraceLogging) events: wire values and the few types around them.

Everything here is data; encoding is in :mod:`.metadata` and :mod:`.encode`,
decoding in :mod:`.metadata` and :mod:`.decode`.  Numbers are those of Windows'
``TraceLoggingProvider.h`` and ``evntprov.h``; an unknown number is kept as a plain
``int`` by every decoder, never refused.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

CHANNEL_TRACELOGGING = 11
"""``WINEVENT_CHANNEL_TRACELOGGING``: the channel that marks a self-describing event."""


class Level(IntEnum):
    """Severity of an ETW event; lower is worse. 0 (always) passes every level filter."""

    ALWAYS = 0
    CRITICAL = 1
    ERROR = 2
    WARNING = 3
    INFORMATIONAL = 4
    VERBOSE = 5


LEVEL_NUMBERS = {
    "critical": 1,
    "fatal": 1,
    "error": 2,
    "warning": 3,
    "warn": 3,
    "informational": 4,
    "info": 4,
    "verbose": 5,
    "debug": 5,
    "trace": 5,
}
"""Levels as people call them."""


class Opcode(IntEnum):
    """The event's role. Windows reserves 0 to 9; the rest are the provider's own."""

    INFO = 0
    START = 1
    STOP = 2
    DC_START = 3
    DC_STOP = 4
    EXTENSION = 5
    REPLY = 6
    RESUME = 7
    SUSPEND = 8
    SEND = 9


class InType(IntEnum):
    """How a field's bytes are laid out (low five bits of the in-type byte).

    Sizes are in bytes. "Counted" types have a ``u16`` byte count first.
    """

    NULL = 0  # nothing; invalid in events, sizes as 0
    CSTR16 = 1  # TlgInUNICODESTRING: UTF-16LE up to and including a zero unit
    CSTR8 = 2  # TlgInANSISTRING: 8-bit text up to and including NUL
    INT8 = 3
    UINT8 = 4
    INT16 = 5
    UINT16 = 6
    INT32 = 7
    UINT32 = 8
    INT64 = 9
    UINT64 = 10
    FLOAT = 11
    DOUBLE = 12
    BOOL32 = 13  # 4, true if not 0
    BINARY = 14  # counted bytes; arrays of it cannot be decoded by TDH
    GUID = 15  # 16, Windows memory order
    POINTER = 16  # 4 or 8 by the event's pointer size; writers use HEX32/HEX64
    FILETIME = 17  # 8, 100 ns steps since 1601-01-01 UTC
    SYSTEMTIME = 18  # 16, eight u16
    SID = 19  # 8 + 4 * (second byte)
    HEX32 = 20
    HEX64 = 21
    STR16 = 22  # TlgInCOUNTEDSTRING: counted UTF-16LE (the count is in bytes)
    STR8 = 23  # TlgInCOUNTEDANSISTRING: counted 8-bit text
    STRUCT = 24  # no payload; the out-type byte holds the number of members
    BINARYC = 25  # TlgInCOUNTEDBINARY: counted bytes, arrays allowed


class OutType(IntEnum):
    """How a field should be shown, or what its bytes mean (low seven bits of the out-type byte)."""

    DEFAULT = 0
    NO_PRINT = 1
    STRING = 2
    BOOLEAN = 3
    HEX = 4
    PID = 5
    TID = 6
    PORT = 7  # big-endian
    IPV4 = 8  # UINT32 in network byte order
    IPV6 = 9
    SOCKET_ADDRESS = 10
    XML = 11
    JSON = 12
    WIN32_ERROR = 13
    NTSTATUS = 14
    HRESULT = 15
    DATETIME = 16
    SIGNED = 17
    UNSIGNED = 18
    DATETIME_CULTURE_INSENSITIVE = 33
    UTF8 = 35
    PKCS7_WITH_TYPE_INFO = 36
    CODE_POINTER = 37
    DATETIME_UTC = 38


_DESCRIPTOR = struct.Struct("<HBBBBHQ")


class EventDescriptor(NamedTuple):
    """``EVENT_DESCRIPTOR``: what an event is, 16 bytes on the wire.

    ``id`` and ``task`` are u16, ``version``, ``channel``, ``level`` and ``opcode`` u8,
    ``keyword`` u64 (its top 16 bits are Microsoft's).
    """

    id: int = 0
    version: int = 0
    channel: int = CHANNEL_TRACELOGGING
    level: int = Level.VERBOSE
    opcode: int = Opcode.INFO
    task: int = 0
    keyword: int = 0

    def to_bytes(self) -> bytes:
        """The 16 bytes of the Windows structure."""
        return _DESCRIPTOR.pack(*self)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, offset: int = 0) -> EventDescriptor:
        """Read 16 bytes at ``offset``; the caller has checked that they exist."""
        return cls._make(_DESCRIPTOR.unpack_from(data, offset))

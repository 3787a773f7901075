"""What identifies a provider: its name, the GUID hashed from it, and the traits blob sent along.

The hash is that of TraceLogging, .NET EventSource and WinRT LoggingChannel, so any tool
given the name finds the same GUID.  For names outside ASCII those implementations
differ among themselves; this is the rule of the Rust crates (full Unicode upper-casing).
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from uuid import UUID

from otel_etw.errors import DecodeError, EncodeError
from otel_etw.tracelogging.text import from_8bit, utf8, utf16

METRICS_PROVIDER_NAME = "NativeMetricsExtension_Provider"
"""The one provider of all OpenTelemetry metrics; its name cannot be chosen."""

METRICS_PROVIDER_ID = UUID("edc24920-e004-40f6-a8e1-0e6e48f39d84")
"""Assigned to :data:`METRICS_PROVIDER_NAME`, not hashed from it."""

MAX_NAME_BYTES = 233
"""Longest accepted provider name in UTF-8 bytes: Linux user_events, for which the same name should serve,
have no room for more."""

_NAMESPACE = bytes.fromhex("482c2db2c39047c887f81a15bfc130fb")
_U16 = struct.Struct("<H")
_TRAIT_HEADER = struct.Struct("<HB")
_GROUP_TRAIT = 1
_MAX_BLOB_BYTES = 0xFFFF


def provider_id(name: str) -> UUID:
    """The GUID of the provider called ``name``; the case of letters does not matter.

    First 16 bytes of the SHA-1 of a fixed namespace and the upper-cased name in big-endian
    UTF-16, with the version nibble set to 5, read as a GUID in memory order.
    """
    units = bytearray(utf16(name.upper()))
    units[0::2], units[1::2] = units[1::2], units[0::2]
    digest = bytearray(hashlib.sha1(_NAMESPACE + units, usedforsecurity=False).digest()[:16])
    digest[7] = digest[7] & 0x0F | 0x50
    return UUID(bytes_le=bytes(digest))


def check_provider_name(name: str, *, etw_only: bool = False) -> None:
    """Raise ``EncodeError`` unless ``name`` may be given to a provider of logs or traces.

    Not empty, at most 233 bytes of UTF-8, ASCII letters, digits and underscore; with ``etw_only``
    also hyphens, which Linux user_events would not take.  Checked in this order, which is that
    of the Rust exporters.
    """
    if not name:
        raise EncodeError("a provider name must not be empty")
    size_bytes = len(utf8(name))
    if size_bytes > MAX_NAME_BYTES:
        raise EncodeError(
            f"a provider name must be shorter than {MAX_NAME_BYTES + 1} bytes of UTF-8, "
            f"this one has {size_bytes}: {name[:40]!r}..."
        )
    bad = list(dict.fromkeys(re.findall(r"[^A-Za-z0-9_-]" if etw_only else r"[^A-Za-z0-9_]", name)))
    if bad:
        allowed = "ASCII letters, digits, '_' and '-'" if etw_only else "ASCII letters, digits and '_'"
        hint = "" if etw_only or bad != ["-"] else "; hyphens need the ETW-only mode"
        found = ", ".join(map(repr, bad[:8])) + (", ..." if len(bad) > 8 else "")
        raise EncodeError(f"a provider name may contain only {allowed}, {name!r} contains {found}{hint}")


@dataclass(frozen=True)
class ProviderTraits:
    """What the traits blob says: the provider's name, its group, and traits we do not know."""

    name: str
    group: UUID | None = None
    other: tuple[tuple[int, bytes], ...] = ()
    """(trait type, data) of every other trait, in order."""


def encode_traits(name: str, group: UUID | None = None) -> bytes:
    """The traits blob; ``EncodeError`` for a NUL in the name or one that does not fit 65535 bytes.

    ``u16`` size of it all, the name in UTF-8 and a NUL, then traits: ``u16`` size
    including these three bytes, ``u8`` type, data.
    """
    encoded = utf8(name)
    if 0 in encoded:
        raise EncodeError(f"a provider name must not contain NUL, found {name!r}")
    trait = b"" if group is None else _TRAIT_HEADER.pack(3 + 16, _GROUP_TRAIT) + group.bytes_le
    size_bytes = 2 + len(encoded) + 1 + len(trait)
    if size_bytes > _MAX_BLOB_BYTES:
        raise EncodeError(
            f"provider traits must not exceed {_MAX_BLOB_BYTES} bytes, this name needs {size_bytes}"
        )
    return _U16.pack(size_bytes) + encoded + b"\0" + trait


def decode_traits(data: bytes | bytearray | memoryview) -> ProviderTraits:
    """Read a traits blob; ``DecodeError`` if its size or its name does not fit.

    Traits of unknown type are kept; one whose size does not fit ends the list, since the name
    is what readers need.  Bytes after the blob's own size are not looked at, so this also reads
    a blob from the front of an event's user data.
    """
    if len(data) < 3:
        raise _fault(f"expected at least 3 bytes, found {len(data)}", 0)
    (size_bytes,) = _U16.unpack_from(data, 0)
    if not 3 <= size_bytes <= len(data):
        raise _fault(f"the blob claims {size_bytes} bytes, {len(data)} are there", 0)
    blob = bytes(data[:size_bytes])
    name_end = blob.find(b"\0", 2)
    if name_end < 0:
        raise _fault("the provider name has no terminating NUL", 2)
    group, other = _decode_trait_list(blob, name_end + 1)
    return ProviderTraits(from_8bit(blob[2:name_end]), group, other)


def _decode_trait_list(blob: bytes, offset: int) -> tuple[UUID | None, tuple[tuple[int, bytes], ...]]:
    group = None
    other = []
    while len(blob) - offset >= _TRAIT_HEADER.size:
        size_bytes, kind = _TRAIT_HEADER.unpack_from(blob, offset)
        if not _TRAIT_HEADER.size <= size_bytes <= len(blob) - offset:
            break
        data = blob[offset + _TRAIT_HEADER.size : offset + size_bytes]
        if kind == _GROUP_TRAIT and len(data) == 16 and group is None:
            group = UUID(bytes_le=data)
        else:
            other.append((kind, data))
        offset += size_bytes
    return group, tuple(other)


def _fault(problem: str, offset: int) -> DecodeError:
    return DecodeError(problem, offset=offset, where="provider traits")

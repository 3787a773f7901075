"""Log records and spans as MessagePack: events of id 100, version 1 that do not describe themselves.

The bytes are a message of Fluentd's forward protocol, of one shape for both producers (section 4.1, 4.2)::

    C++             [event name, [[time, {fields}], ...]]
    .NET Geneva     [table name, [[time, {fields}], ...], {"TimeFormat": "DateTime"}]

``time`` is an extension: the standard timestamp in Geneva's, in C++'s one of type 0 and 8 bytes (little
endian: low 34 bits seconds / 100, the rest the seconds left over in steps of 100 ns).  A release of Geneva
wrote the length of the message, u32, before it.

The bytes are untrusted.  Every length is bounded by the payload's own, containers nest no deeper than JSON
is followed elsewhere, and a string that is no UTF-8 is read as any other 8-bit text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_etw.errors import DecodeError, MissingExtraError
from otel_etw.layouts.foreign import cpp, geneva
from otel_etw.layouts.items import LogItem, SpanItem
from otel_etw.layouts.json_text import MAX_PARSED_DEPTH, is_deeper
from otel_etw.tracelogging.text import from_8bit
from otel_etw.tracelogging.values import TICKS_PER_SECOND, UNIX_EPOCH_FILETIME, FileTime

EVENT_ID = 100
EVENT_VERSION = 1

_CPP_ELEMENTS, _GENEVA_ELEMENTS = 2, 3
_ARRAY_OF = {0x90 | count: count for count in (_CPP_ELEMENTS, _GENEVA_ELEMENTS)}
_TEXT_HEADERS = (0xD9, 0xDA, 0xDB)
_LENGTH_BYTES = 4
_CPP_TIME_TYPE = 0
_CPP_SECONDS_BITS = 34
# An array's header makes room for its elements before they are read: so much for all headers together.
_MAX_ELEMENTS_AHEAD = 1 << 20


def starts_message(payload: bytes) -> bool:
    """Whether ``payload`` begins like a message of one of the two, an array of 2 or 3 with a text first."""
    start = _LENGTH_BYTES if _has_length(payload) else 0
    head = payload[start : start + 2]
    return len(head) == 2 and head[0] in _ARRAY_OF and (head[1] & 0xE0 == 0xA0 or head[1] in _TEXT_HEADERS)


def decode_messagepack(
    payload: bytes, fallback_time_unix_nano: int, opcode: int = 0
) -> list[LogItem | SpanItem]:
    """The log records and spans of a message; none if it is a marker of a span that is reported later.

    ``opcode`` is the event's.  Raises :class:`.DecodeError` if the bytes are no such message,
    :class:`.MissingExtraError` if the library that reads MessagePack is not installed.
    """
    message = unpack(payload[_LENGTH_BYTES:] if _has_length(payload) else payload)
    if not isinstance(message, list) or len(message) not in _ARRAY_OF.values():
        raise _fault(f"expected an array of 2 or 3 elements, found {_kind(message)}")
    name, entries = message[:2]
    if not isinstance(name, str) or not isinstance(entries, list) or not entries:
        raise _fault(f"expected a name and its entries, found {_kind(name)} and {_kind(entries)}")
    items = []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], dict):
            raise _fault(f"expected entries of a time and a map, found {_kind(entry)}")
        time, fields = entry
        time = time.unix_nano if isinstance(time, FileTime) else fallback_time_unix_nano
        if len(message) == _GENEVA_ELEMENTS:
            items.append(geneva.item_of_fields(fields, time))
        else:
            item = cpp.item_of_fields({cpp.EVENT_NAME: name, **fields}, time, opcode)
            if item is not None:
                items.append(item)
    return items


def unpack(data: bytes) -> Any:
    """The one value that ``data`` is; times become :class:`.FileTime` (both producers have ticks of 100 ns),
    other extensions their bytes, and keys text.

    Raises :class:`.DecodeError` and :class:`.MissingExtraError` as :func:`decode_messagepack` does.
    """
    unpackb, timestamp_type = _library()
    headers = data.count(b"\xdc") + data.count(b"\xdd")
    try:
        value = unpackb(
            data,
            strict_map_key=False,
            unicode_errors="surrogateescape",
            ext_hook=_extension,
            max_array_len=min(len(data), _MAX_ELEMENTS_AHEAD // (headers + 1)),
        )
    except (ValueError, TypeError, RecursionError, OverflowError) as error:  # TypeError: a list as a key
        raise _fault(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
    if is_deeper(value, MAX_PARSED_DEPTH):
        raise _fault(f"nested deeper than {MAX_PARSED_DEPTH} levels")
    return _plain(value, timestamp_type)


def _library() -> tuple[Callable[..., Any], type[Any]]:
    # Imported when the first such event is met: few files have one.
    try:
        import msgpack
    except ImportError as error:
        remedy = 'pip install "otel-etw[tools]" brings it'
        raise MissingExtraError(f"a MessagePack payload needs the module 'msgpack': {remedy}") from error
    return msgpack.unpackb, msgpack.Timestamp


def _has_length(payload: bytes) -> bool:
    length = int.from_bytes(payload[:_LENGTH_BYTES], "little")
    return length == len(payload) - _LENGTH_BYTES and length > 0


def _extension(code: int, data: bytes) -> object:
    if code != _CPP_TIME_TYPE or len(data) != 8:
        return data
    packed = int.from_bytes(data, "little")
    hundreds = packed & (1 << _CPP_SECONDS_BITS) - 1
    ticks = packed >> _CPP_SECONDS_BITS
    return FileTime(hundreds * 100 * TICKS_PER_SECOND + ticks + UNIX_EPOCH_FILETIME)


def _plain(value: Any, timestamp_type: type[Any]) -> Any:
    """``value`` with its texts and times as this package has them; it is not deep any more."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_plain(item, timestamp_type) for item in value]
    if isinstance(value, dict):
        return {_key(key): _plain(item, timestamp_type) for key, item in value.items()}
    return FileTime.from_unix_nano(value.to_unix_nano()) if isinstance(value, timestamp_type) else value


def _key(key: object) -> str:
    if isinstance(key, str):
        return _text(key)
    return from_8bit(key) if isinstance(key, bytes) else str(key)


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return from_8bit(text.encode("utf-8", "surrogateescape"))
    return text


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{name} of {len(value)}" if isinstance(value, (list, dict)) else name


def _fault(problem: str) -> DecodeError:
    return DecodeError(problem, where="MessagePack payload")

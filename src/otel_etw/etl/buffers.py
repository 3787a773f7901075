"""Finding the buffers of a file and getting their records' bytes.

Buffers stand back to back; each header states its own size.  What can be wrong, and what is done:

* an impossible size: in an uncompressed file, where all buffers have one size, go on after the size of the
  previous buffer; in a compressed one there is no point to resume at, so the walk ends;
* a possible but unusual size, while a buffer starts after the usual one: take the usual one;
* a file that ends inside a buffer: its complete records are used, a compressed buffer is dropped;
* a buffer that a circular file's writer overwrites while it is read: left out, as what was in it is gone;
* a reserved region at the end (zeros, 0xFF, or 72 zeros then 0xFF), or a last buffer without its size:
  the next buffer of a file that is still being written, or was when its writer died. No damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from otel_etw.errors import DecodeError
from otel_etw.etl import layout
from otel_etw.etl.damage import DamageKind, DamageReport
from otel_etw.etl.decompression import decompress
from otel_etw.etl.layout import BUFFER_HEADER, BUFFER_HEADER_BYTES, BufferFlag, BufferType, LogFileMode
from otel_etw.etl.source import Source
from otel_etw.etl.trace_header import TraceHeader
from otel_etw.etl.walking import Data, OnSkip, walk

_KNOWN_FLAGS = 0x7F
_BY_INDEX = int(BufferFlag.PROCESSOR_INDEX)
_COMPRESSED = int(BufferFlag.COMPRESSED)  # plain numbers: enum members make each use many times as dear
_EXPANSION_FREE_BYTES = 0x10000
_MAX_EXPANSION = 1024
"""A larger buffer that claims to grow by more than this holds no trace records (each has a time of its
own): a small file must not cost the reader gigabytes of work. For the same reason a compressed
buffer does not have more records than bytes."""
_MIN_RECORD_BYTES = 8
_TYPES_WITHOUT_EVENTS = frozenset(
    {BufferType.REFERENCE_TIME, BufferType.EMPTY_MARKER, BufferType.DEBUGGER_INFO}
)


@dataclass(frozen=True, slots=True)
class Buffer:
    """One buffer found, from its header. ``size_bytes`` is what it takes in the file."""

    index: int
    file_offset: int
    size_bytes: int
    available_bytes: int
    """Less than ``size_bytes`` where the file ends inside the buffer."""
    filled_bytes: int
    """Valid bytes after decompression, header included, as the header states them."""
    saved_offset: int
    timestamp: int
    """Time of flush; raw clock, or a FILETIME in rewritten files."""
    sequence_number: int
    processor: int
    logger_id: int
    flags: int
    """:class:`.layout.BufferFlag` bits."""
    buffer_type: int

    @property
    def is_compressed(self) -> bool:
        """Whether the records are one XPRESS stream."""
        return bool(self.flags & _COMPRESSED)


def parse_buffer_header(data: bytes, index: int = 0, file_offset: int = 0) -> Buffer:
    """The buffer whose first 72 bytes are ``data``; nothing is checked, ``available_bytes`` is its size."""
    size, saved, _, _, timestamp, sequence, _, context, logger, _, filled, flags, kind, _ = (
        BUFFER_HEADER.unpack_from(data)
    )
    return Buffer(
        index,
        file_offset,
        size,
        size,
        filled,
        saved,
        timestamp,
        sequence,
        processor_of(context, flags),
        logger,
        flags,
        kind,
    )


def processor_of(context: int, flags: int) -> int:
    """The processor out of the u16 at :data:`.layout.PROCESSOR_INDEX_OFFSET`."""
    return context & (layout.PROCESSOR_INDEX_MASK if flags & _BY_INDEX else 0xFF)


def has_possible_size(buffer: Buffer) -> bool:
    """Whether the stated size lets the walk go on."""
    return BUFFER_HEADER_BYTES <= buffer.size_bytes <= layout.MAX_BUFFER_BYTES_IN_FILE


class BufferWalk:
    """The buffers of ``source`` from ``start`` (offset, index) up to ``end``, what is wrong into ``report``.

    Iterated, or advanced buffer by buffer; who knows a shortcut may move :attr:`offset` and :attr:`index` on
    to where a buffer starts.
    """

    offset: int
    """Where the next buffer starts."""
    index: int
    """Its number in the file."""
    has_ended: bool
    usual_bytes: int
    """The size to step by where a header cannot be right; 0 in files whose buffers differ in size."""

    def __init__(
        self,
        source: Source,
        header: TraceHeader,
        end: int,
        report: DamageReport,
        start: tuple[int, int] = (0, 0),
    ) -> None:
        self._source = source
        self._header = header
        self.end = end
        self._report = report
        self._tails: tuple[int, int] | None = None
        self.offset, self.index = start
        self.has_ended = False
        same_sizes = not header.log_file_mode & LogFileMode.COMPRESSED
        self.usual_bytes = header.buffer_size_bytes if same_sizes else 0
        if not BUFFER_HEADER_BYTES <= self.usual_bytes <= layout.MAX_BUFFER_BYTES_IN_FILE:
            self.usual_bytes = 0

    def __iter__(self) -> Iterator[Buffer]:
        while not self.has_ended:
            buffer = self.advance()
            if buffer is not None:
                yield buffer

    def advance(self) -> Buffer | None:
        """The next buffer; ``None`` if there is none here: at the end, or where a header is passed over."""
        offset, index = self.offset, self.index
        data = self._header_bytes(offset)
        self.has_ended = offset >= self.end or self._ends_here(data, offset, index)
        if self.has_ended:
            return None
        buffer = parse_buffer_header(data, index, offset)
        step = self._step(buffer)
        self.has_ended = step == 0
        self.offset += step
        self.index += 1
        if self.has_ended or not has_possible_size(buffer):
            return None
        found = self._fitted(replace(buffer, size_bytes=step))
        # The header buffer may be smaller than all others.
        if index and not buffer.is_compressed and self.usual_bytes:
            self.usual_bytes = step
        return found

    def _ends_here(self, data: bytes, offset: int, index: int) -> bool:
        """Whether what is at ``offset`` is no buffer but the end of the recording."""
        whole = len(data) == BUFFER_HEADER_BYTES
        if whole and has_possible_size(parse_buffer_header(data)):
            return False
        if (whole or not self._header.end_time_filetime) and self._is_reserved(data, offset):
            self._report.unfinished = f"space for the next buffer is reserved at {offset:#x}, not yet used"
            return True
        if whole:
            return False
        if not self._has_grown():
            why = f"expected a buffer header of {BUFFER_HEADER_BYTES} bytes, found {len(data)}"
            self._report.add(DamageKind.TRUNCATED, offset, index, why)
        return True

    def _step(self, buffer: Buffer) -> int:
        """Bytes to the next buffer; 0 if that cannot be known."""
        size, usual = buffer.size_bytes, self.usual_bytes
        at = buffer.file_offset + layout.BUFFER_SIZE_OFFSET
        if not has_possible_size(buffer):
            expected = f"expected a buffer size of {BUFFER_HEADER_BYTES} to {layout.MAX_BUFFER_BYTES_IN_FILE}"
            then = f"going on {usual} bytes later" if usual else "the rest of the file is lost"
            self._report.add(DamageKind.BUFFER_HEADER, at, buffer.index, f"{expected}, found {size}; {then}")
            return usual
        if size == usual or not usual or buffer.is_compressed or not self._is_wrong_size(buffer):
            return size
        why = f"found a buffer size of {size}, but the next buffer starts after {usual}; taken as that"
        self._report.add(DamageKind.BUFFER_HEADER, at, buffer.index, why)
        return usual

    def _is_wrong_size(self, buffer: Buffer) -> bool:
        """Whether what follows speaks for the usual size and against the one stated."""
        stated = buffer.file_offset + buffer.size_bytes
        usual = buffer.file_offset + self.usual_bytes
        if self._starts_usual_buffer(usual):
            return True
        if stated == self.end or self._plausible_header(stated) is not None:
            return False
        if usual == self.end:
            return True
        return self._starts_buffer(usual) and not self._starts_buffer(stated)

    def _fitted(self, buffer: Buffer) -> Buffer:
        available = self.end - buffer.file_offset
        if buffer.size_bytes <= available:
            return replace(buffer, available_bytes=buffer.size_bytes)
        complete = not buffer.is_compressed and buffer.filled_bytes <= available
        if self._has_grown() or (complete and not self._header.end_time_filetime):
            self._report.unfinished = f"buffer {buffer.index} is still being written"
        else:
            why = f"expected a buffer of {buffer.size_bytes} bytes, found {available} to the end of the file"
            self._report.add(DamageKind.TRUNCATED, buffer.file_offset, buffer.index, why)
        return replace(buffer, available_bytes=available)

    def _has_grown(self) -> bool:
        return self._source.size() > self.end

    def _starts_usual_buffer(self, offset: int) -> bool:
        """Whether a buffer of the usual size, with nothing odd about it, is at ``offset``."""
        buffer = self._plausible_header(offset)
        return buffer is not None and (
            BUFFER_HEADER_BYTES <= buffer.filled_bytes <= buffer.size_bytes == self.usual_bytes
        )

    def _starts_buffer(self, offset: int) -> bool:
        """Whether a buffer, reserved space or the end of the file is at ``offset``."""
        if offset >= self.end:
            return offset == self.end
        if self._plausible_header(offset) is not None:
            return True
        return self._is_reserved(self._header_bytes(offset), offset)

    def _plausible_header(self, offset: int) -> Buffer | None:
        data = self._header_bytes(offset)
        if len(data) < BUFFER_HEADER_BYTES:
            return None
        buffer = parse_buffer_header(data)
        known = buffer.buffer_type <= BufferType.DEBUGGER_INFO and buffer.flags <= _KNOWN_FLAGS
        return buffer if known and has_possible_size(buffer) else None

    def _header_bytes(self, offset: int) -> bytes:
        return self._source.read(offset, max(0, min(BUFFER_HEADER_BYTES, self.end - offset)))

    def _is_reserved(self, data: bytes, offset: int) -> bool:
        if self._tails is None:
            zeros = self._source.start_of_tail(self.end, b"\0")
            self._tails = zeros, self._source.start_of_tail(self.end, layout.FILLER_BYTE)
        zeros, fillers = self._tails
        blank_header = not any(data)
        return (
            zeros <= offset
            or fillers <= offset
            or (blank_header and fillers <= offset + BUFFER_HEADER_BYTES)
            or self._is_being_started(data, offset)
        )

    def _is_being_started(self, data: bytes, offset: int) -> bool:
        """Whether a writer was about to complete the last buffer: its BufferSize is stored last."""
        return (
            not any(data[: layout.SAVED_OFFSET_OFFSET])
            and not self._header.end_time_filetime
            and offset + self.usual_bytes == self.end
        )


def read_records(source: Source, buffer: Buffer, report: DamageReport, *, may_change: bool = True) -> Data:
    """The filled part of ``buffer`` after its header, decompressed; empty if that is impossible.

    ``may_change`` says that somebody may be overwriting it meanwhile (:func:`may_be_overwritten`).
    """
    if _is_changing(buffer):
        return _left_out(buffer, report)
    stored = source.read(buffer.file_offset + BUFFER_HEADER_BYTES, stored_bytes(buffer, report))
    if may_change and _was_overwritten(source, buffer):
        return _left_out(buffer, report)
    return plain_records(stored, buffer, report)


def may_be_overwritten(header: TraceHeader) -> bool:
    """Whether buffers may change for others while they are read: in a circular file, even in one with an end
    time, as a recorder that goes on brings that up to date, too."""
    return bool(header.log_file_mode & LogFileMode.CIRCULAR)


def stored_bytes(buffer: Buffer, report: DamageReport) -> int:
    """Bytes after the header of ``buffer`` that are its records as they are stored, plain or compressed."""
    if buffer.is_compressed:
        is_whole = buffer.available_bytes == buffer.size_bytes
        return buffer.size_bytes - BUFFER_HEADER_BYTES if is_whole else 0
    filled = _filled_bytes(buffer, report)
    return max(0, min(filled, buffer.available_bytes) - BUFFER_HEADER_BYTES)


def plain_records(stored: Data, buffer: Buffer, report: DamageReport) -> Data:
    """The records of ``buffer`` out of its ``stored`` bytes as read; empty if that is impossible.

    A function of its arguments that can be pickled, so that other processes may decompress.
    """
    if not buffer.is_compressed:
        return stored
    if buffer.available_bytes < buffer.size_bytes:
        return b""
    plain_bytes = buffer.filled_bytes - BUFFER_HEADER_BYTES
    most = most_plain_bytes(len(stored))
    if not 0 <= plain_bytes <= most:
        why = f"expected at most {most} bytes out of {len(stored)}, the header says {plain_bytes}"
        report.add(DamageKind.COMPRESSED_BUFFER, buffer.file_offset, buffer.index, why)
        return b""
    try:
        data = decompress(bytes(stored), plain_bytes)
    except DecodeError as error:
        report.add(DamageKind.COMPRESSED_BUFFER, buffer.file_offset, buffer.index, str(error))
        return b""
    if plain_bytes > len(stored) * _MIN_RECORD_BYTES and _has_more_records(data, len(stored)):
        why = f"expected at most one record for each of {len(stored)} compressed bytes, found more"
        report.add(DamageKind.COMPRESSED_BUFFER, buffer.file_offset, buffer.index, why)
        return b""
    return data


def most_plain_bytes(compressed_bytes: int) -> int:
    """What so many compressed bytes may claim to hold: 64 KiB, and more up to 1,024 times as many."""
    return min(max(_EXPANSION_FREE_BYTES, compressed_bytes * _MAX_EXPANSION), layout.MAX_BUFFER_BYTES)


def skip_reporter(buffer: Buffer, report: DamageReport) -> OnSkip:
    """What a walk over the records of ``buffer`` calls for what it skips: into ``report``, with its place.

    Of events that were not skipped, but could not be decoded, too.
    """

    def on_skip(kind: DamageKind, pos: int, why: str) -> None:
        if kind is DamageKind.RECORD:
            if buffer.buffer_type in _TYPES_WITHOUT_EVENTS:
                return
            if buffer.available_bytes < min(buffer.size_bytes, buffer.filled_bytes):
                return  # the cut record at the end of a truncated file, which is reported as that
        pos += BUFFER_HEADER_BYTES
        if buffer.is_compressed:
            report.add(kind, buffer.file_offset, buffer.index, f"{why}, at {pos:#x} when decompressed")
        else:
            report.add(kind, buffer.file_offset + pos, buffer.index, why)

    return on_skip


def _left_out(buffer: Buffer, report: DamageReport) -> bytes:
    why = "its writer was using the buffer again while it was read"
    report.add(DamageKind.OVERWRITTEN, buffer.file_offset, buffer.index, why)
    return b""


def is_settled(buffer: Buffer) -> bool:
    """Whether ``buffer`` is all there and its writer was not using it again when its header was read."""
    return buffer.available_bytes == buffer.size_bytes and not _is_changing(buffer)


def _is_changing(buffer: Buffer) -> bool:
    number = buffer.sequence_number & layout.CHANGING_SEQUENCE_NUMBER
    return not buffer.is_compressed and number == layout.CHANGING_SEQUENCE_NUMBER


def _was_overwritten(source: Source, buffer: Buffer) -> bool:
    """Whether a circular file's writer was at work on ``buffer`` between its header and now."""
    if buffer.is_compressed:
        return False
    number = buffer.sequence_number & layout.CHANGING_SEQUENCE_NUMBER
    now = source.read(buffer.file_offset + layout.SEQUENCE_NUMBER_OFFSET, 8)
    return len(now) == 8 and int.from_bytes(now, "little") != number


class _TooManyError(Exception):
    """There are more records than expected."""


def _has_more_records(data: Data, most: int) -> bool:
    """Whether there are more than ``most`` records of any kind; looks at no more than that."""
    count = 0

    def one_more(*_: object) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise _TooManyError

    try:
        for _ in walk(data, 0, one_more):
            one_more()
    except _TooManyError:
        return True
    return False


def _filled_bytes(buffer: Buffer, report: DamageReport) -> int:
    """FilledBytes, or SavedOffset where that is impossible."""
    filled = buffer.filled_bytes
    if BUFFER_HEADER_BYTES <= filled <= buffer.size_bytes:
        return filled
    instead = min(buffer.saved_offset, buffer.size_bytes)
    why = (
        f"expected {BUFFER_HEADER_BYTES} to {buffer.size_bytes} filled bytes, found {filled}; took {instead}"
    )
    at = buffer.file_offset + layout.FILLED_BYTES_OFFSET
    report.add(DamageKind.BUFFER_HEADER, at, buffer.index, why)
    return instead

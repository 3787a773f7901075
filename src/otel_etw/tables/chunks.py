"""The records of many buffers in one array, so that they can be looked at all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from otel_etw.etl.buffers import Buffer, stored_bytes
from otel_etw.etl.damage import DamageReport
from otel_etw.etl.layout import BUFFER_HEADER_BYTES
from otel_etw.etl.reader import Trace
from otel_etw.etl.walking import Data

SPARE_BYTES = 256 * 1024
_ALIGNMENT = 8


@dataclass(frozen=True)
class Lanes:
    """The buffers of a chunk: where the records of each begin and end in its data, file, header, reports.

    What is wrong between the records goes into ``walk_reports``, what is wrong with one into ``reports``.
    """

    start: np.ndarray
    end: np.ndarray
    file: np.ndarray
    buffers: Sequence[Buffer]
    reports: Sequence[DamageReport]
    walk_reports: Sequence[DamageReport]


class Chunk:
    """``data`` begins at an address that is a multiple of 8, and so does every buffer in it.

    Behind ``used_bytes`` there is room for what columns are put together from besides the records.
    """

    def __init__(self, room_bytes: int, memory: np.ndarray | None = None) -> None:
        """``memory`` is used if it is large enough; what was in it is lost."""
        wanted = (room_bytes + SPARE_BYTES + _ALIGNMENT) & -_ALIGNMENT
        self.data = np.empty(wanted, np.uint8) if memory is None or len(memory) < wanted else memory
        self.used_bytes = 0
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._files: list[int] = []
        self._buffers: list[Buffer] = []
        self._reports: list[DamageReport] = []
        self._walk_reports: list[DamageReport] = []

    def add(
        self,
        file: int,
        buffer: Buffer,
        records: Data,
        report: DamageReport,
        walk_report: DamageReport | None = None,
    ) -> None:
        """Take the ``records`` of ``buffer`` in; what is wrong with them is to be told to ``report``.

        A buffer that comes again has a ``walk_report`` of its own: what is between its records was told.
        """
        start = self._room(len(records))
        self.data[start : start + len(records)] = np.frombuffer(records, np.uint8)
        self._note(start, len(records), file, buffer, report)
        if walk_report is not None:
            self._walk_reports[-1] = walk_report

    def add_run(self, file: int, trace: Trace, buffers: Sequence[Buffer], report: DamageReport) -> None:
        """Read plain ``buffers`` that stand side by side in the file; their headers come along unused."""
        first, last = buffers[0].file_offset, buffers[-1]
        run_bytes = last.file_offset + last.available_bytes - first
        start = self._room(run_bytes)
        read_bytes = trace.source.read_into(first, self.data[start : start + run_bytes].data)
        for buffer in buffers:
            at = buffer.file_offset - first + BUFFER_HEADER_BYTES
            there = max(0, min(stored_bytes(buffer, report), read_bytes - at))
            self._note(start + at, there, file, buffer, report)

    def _room(self, size_bytes: int) -> int:
        """Where the next bytes go; more room is made if that much is not left."""
        start = self.used_bytes
        self.used_bytes = (start + size_bytes + _ALIGNMENT - 1) & -_ALIGNMENT
        if self.used_bytes > len(self.data):
            self.data = np.concatenate(
                [self.data, np.empty(self.used_bytes + SPARE_BYTES & -_ALIGNMENT, np.uint8)]
            )
        return start

    def _note(self, start: int, size_bytes: int, file: int, buffer: Buffer, report: DamageReport) -> None:
        self._starts.append(start)
        self._ends.append(start + size_bytes)
        self._files.append(file)
        self._buffers.append(buffer)
        self._reports.append(report)
        self._walk_reports.append(report)

    def lanes(self) -> Lanes:
        """All buffers taken in so far."""
        return Lanes(
            np.array(self._starts, np.int64),
            np.array(self._ends, np.int64),
            np.array(self._files, np.int32),
            self._buffers,
            self._reports,
            self._walk_reports,
        )

"""A session whose kernel does nothing: every event goes through ctypes into a C function that returns 0.

It is what the kernel costs at least, and the same call that reaches it on Windows.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

from otel_etw.providers.base import PreparedWrite
from otel_etw.providers.transfer import prepare_transfer
from otel_etw.tracelogging.provider_id import encode_traits
from otel_etw.tracelogging.types import EventDescriptor

_SOURCE = """
#include <stdint.h>
uint32_t EventWriteTransfer(uint64_t handle, const void *descriptor, const void *activity,
                            const void *related, uint32_t count, const void *data) { return 0; }
"""


def build(folder: Path) -> Any:
    """The function, compiled by the system's C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("the benchmarks need a C compiler (cc, gcc or clang)")
    source, library = folder / "do_nothing.c", folder / "do_nothing.so"
    source.write_text(_SOURCE, encoding="ascii")
    subprocess.run([compiler, "-O2", "-w", "-shared", "-fPIC", "-o", library, source], check=True)  # noqa: S603
    function = ctypes.CDLL(str(library)).EventWriteTransfer
    function.restype = ctypes.c_uint32
    return function


class DoNothingSession:
    """A session as a kernel would be; ``listening=False`` is one that nobody has enabled."""

    closed = False

    def __init__(self, function: Any, *, listening: bool = True) -> None:
        self._function = function
        self._listening = listening

    def hold(self) -> None:
        """Nothing to keep."""

    def release(self) -> None:
        """Nothing to give up."""

    def register(self, name: str, provider_id: UUID, *, group: UUID | None = None) -> DoNothingProvider:
        """A provider whose events go nowhere."""
        return DoNothingProvider(self._function, name, provider_id, group, listening=self._listening)


class DoNothingProvider:
    """See :class:`otel_etw.providers.base.Provider`."""

    problem = None
    max_event_bytes = 65_000

    def __init__(
        self, function: Any, name: str, provider_id: UUID, group: UUID | None, *, listening: bool
    ) -> None:
        self._function = function
        self._traits = encode_traits(name, group)
        self.name = name
        self.id = provider_id
        self.idle = not listening

    def is_enabled(self, level: int, keyword: int) -> bool:
        """As a provider with one session at the most verbose level."""
        return not self.idle

    def is_enabled_any(self) -> bool:
        """Whether somebody listens."""
        return not self.idle

    def write(
        self,
        descriptor: EventDescriptor,
        metadata: bytes | None,
        payload: bytes,
        activity_id: bytes | None = None,
        related_activity_id: bytes | None = None,
    ) -> int:
        """One event that is not worth preparing."""
        return self.prepare(descriptor, metadata or b"")(payload, activity_id)

    def prepare(self, descriptor: EventDescriptor, metadata: bytes) -> PreparedWrite:
        """The real prepared call."""
        return prepare_transfer(self._function, 1, self._traits, descriptor, metadata)

    def flush(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing to give up."""


class NowhereSession(DoNothingSession):
    """The same without the call through ctypes, for comparing encoders alone."""

    def __init__(self) -> None:
        super().__init__(None)

    def register(self, name: str, provider_id: UUID, *, group: UUID | None = None) -> DoNothingProvider:
        """A provider whose prepared writes return at once."""
        return _NowhereProvider(None, name, provider_id, group, listening=True)


class _NowhereProvider(DoNothingProvider):
    def prepare(self, descriptor: EventDescriptor, metadata: bytes) -> PreparedWrite:
        """Nothing to prepare."""
        return _written


def _written(payload: bytes, activity_id: bytes | None) -> int:
    return 0

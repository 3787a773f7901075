"""A session whose kernel does nothing: every event goes through ctypes into a C function that returns 0.

It is what the kernel costs at least, and the same call that reaches it on Windows.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

from otel_etw.providers.base import PreparedWrite
from otel_etw.providers.transfer import prepare_transfer
from otel_etw.tracelogging.provider_id import encode_traits
from otel_etw.tracelogging.types import EventDescriptor

_SOURCE = """
#include <stdint.h>
uint32_t EventWriteTransfer(uint64_t handle, const void *descriptor, const void *activity,
                            const void *related, uint32_t count, const void *data) { return 0; }
uint32_t EventRegister(const void *provider, void *callback, void *context, uint64_t *handle) {
    *handle = 1;
    return 0;
}
uint32_t EventUnregister(uint64_t handle) { return 0; }
uint32_t EventSetInformation(uint64_t handle, uint32_t kind, const void *data, uint32_t size) { return 0; }
uint8_t EventProviderEnabled(uint64_t handle, uint8_t level, uint64_t keyword) { return 0; }
"""
_LIBRARY = "do_nothing.so"


def build(folder: Path) -> Any:
    """The function, compiled by the system's C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("the benchmarks need a C compiler (cc, gcc or clang)")
    source, library = folder / "do_nothing.c", folder / _LIBRARY
    source.write_text(_SOURCE, encoding="ascii")
    subprocess.run([compiler, "-O2", "-w", "-shared", "-fPIC", "-o", library, source], check=True)  # noqa: S603
    function = ctypes.CDLL(str(library)).EventWriteTransfer
    function.restype = ctypes.c_uint32
    return function


@contextmanager
def as_windows(folder: Path) -> Iterator[None]:
    """For as long, the compiled functions stand in for Windows', which tell of no session."""

    def opened(name: str, **options: object) -> ctypes.CDLL:
        return ctypes.CDLL(str(folder / _LIBRARY))

    with patch.object(ctypes, "WinDLL", opened, create=True):
        yield


class DoNothingSession:
    """A session as a kernel would be whose every session listens."""

    closed = False

    def __init__(self, function: Any) -> None:
        self._function = function

    def hold(self) -> None:
        """Nothing to keep."""

    def release(self) -> None:
        """Nothing to give up."""

    def register(self, name: str, provider_id: UUID, *, group: UUID | None = None) -> DoNothingProvider:
        """A provider whose events go nowhere."""
        return DoNothingProvider(self._function, name, provider_id, group)


class DoNothingProvider:
    """See :class:`otel_etw.providers.base.Provider`."""

    idle = False
    problem = None
    max_event_bytes = 65_000

    def __init__(self, function: Any, name: str, provider_id: UUID, group: UUID | None) -> None:
        self._function = function
        self._traits = encode_traits(name, group)
        self.name = name
        self.id = provider_id

    def is_enabled(self, level: int, keyword: int) -> bool:
        """As a provider with one session at the most verbose level."""
        return True

    def is_enabled_any(self) -> bool:
        """Whether somebody listens."""
        return True

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
        return prepare_transfer(self._function, ctypes.c_uint64(1), self._traits, descriptor, metadata)

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
        return _NowhereProvider(None, name, provider_id, group)


class _NowhereProvider(DoNothingProvider):
    def prepare(self, descriptor: EventDescriptor, metadata: bytes) -> PreparedWrite:
        """Nothing to prepare."""
        return _written


def _written(payload: bytes, activity_id: bytes | None) -> int:
    return 0

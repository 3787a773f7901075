"""The double of ETW for tests: the fixture ``etw_double`` puts it in the place of Windows' libraries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

import etw_library
from etw_building import DoubleUnavailable
from etw_library import BOOTSTRAP, LOST_EVENTS_ID, Enabled, EtwDouble, WrittenEvent, load
from otel_etw.providers import registrations

__all__ = [
    "BOOTSTRAP",
    "LOST_EVENTS_ID",
    "DoubleUnavailable",
    "Enabled",
    "EtwDouble",
    "WrittenEvent",
    "etw_double",
    "install",
    "load",
]


def install(monkeypatch: pytest.MonkeyPatch, double: EtwDouble) -> None:
    """For the time of a test, ``ctypes.WinDLL`` answers the double for Windows' ETW libraries."""
    etw_library.install(partial(monkeypatch.setattr, raising=False), double)


@pytest.fixture
def etw_double(monkeypatch: pytest.MonkeyPatch) -> Iterator[EtwDouble]:
    """The double, installed, with nothing in it; the test fails if it was used in a way that deadlocks."""
    try:
        double = load()
    except DoubleUnavailable as reason:
        pytest.skip(str(reason))
    double.reset()
    install(monkeypatch, double)
    # What another test has left registered is none of this one's.
    monkeypatch.setattr(registrations, "_table", {})
    monkeypatch.setattr(registrations._callback, "_called_back", {})
    yield double
    misuse = double.misuse
    double.reset()
    assert misuse == []

"""Providers registered by name on the machine: Windows' list, read and looked up."""

from __future__ import annotations

import struct
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etw_double import EtwDouble
from otel_etw.windows.error_codes import WindowsCallError
from otel_etw.windows.provider_list import (
    RegisteredProvider,
    RegisteredProviders,
    parse_provider_list,
    registered_providers,
)

DNS = RegisteredProvider("Microsoft-Windows-DNS-Client", UUID("1c95126e-7eea-49a9-a3fe-a378b03ddb4d"))
TAIL = RegisteredProvider("Ünïcode 日本", UUID("b3864c38-4273-58c5-545b-8b3608343471"))


def test_the_list_is_read(etw_double: EtwDouble) -> None:
    """Names of any characters, in Windows' order."""
    for provider in (DNS, TAIL):
        etw_double.add_registered_provider(*provider)
    assert registered_providers() == [DNS, TAIL]


def test_a_long_list_is_read_in_a_second_call(etw_double: EtwDouble) -> None:
    """Windows says how much room it needs."""
    providers = [RegisteredProvider(f"Vendor-{n}-{'x' * 150}", uuid5(DNS.id, str(n))) for n in range(900)]
    for provider in providers:
        etw_double.add_registered_provider(*provider)
    assert registered_providers() == providers
    assert etw_double.calls("TdhEnumerateProviders") == 2


def test_names_are_found_in_any_case_with_one_call(etw_double: EtwDouble) -> None:
    """None, one, or several of a name."""
    twin = RegisteredProvider(DNS.name.upper(), TAIL.id)
    for provider in (DNS, TAIL, twin):
        etw_double.add_registered_provider(*provider)
    known = RegisteredProviders()
    assert known.find("microsoft-windows-dns-client") == [DNS, twin]
    assert known.find("ÜNÏCODE 日本") == [TAIL]
    assert known.find("My_App") == []
    assert known.problem is None
    assert etw_double.calls("TdhEnumerateProviders") == 1


def test_where_windows_does_not_answer_no_name_is_known(etw_double: EtwDouble) -> None:
    """And the reason is kept."""
    etw_double.fail_next("TdhEnumerateProviders", 5, -1)
    with pytest.raises(WindowsCallError, match="listing registered providers"):
        registered_providers()
    known = RegisteredProviders()
    assert known.find(DNS.name) == []
    assert known.problem is not None


def test_entries_that_point_outside_are_left_out() -> None:
    """The others stay; a count that is too large is cut to what is there."""
    name = "A".encode("utf-16-le") + b"\0\0"
    entries = [(TAIL.id, 10_000), (DNS.id, 8 + 3 * 24), (TAIL.id, 0)]
    data = struct.pack("<II", 3, 0)
    data += b"".join(struct.pack("<16sII", guid.bytes_le, 0, offset) for guid, offset in entries)
    assert parse_provider_list(data + name) == [RegisteredProvider("A", DNS.id)]
    assert parse_provider_list(struct.pack("<II", 0xFFFFFFFF, 0)) == []


@given(st.binary(max_size=200))
def test_any_bytes_are_some_list(data: bytes) -> None:
    """Nothing is raised, and no name is empty."""
    assert all(provider.name for provider in parse_provider_list(data))

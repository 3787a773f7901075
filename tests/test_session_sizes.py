"""Sizes as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.sizes import size_in_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        (" 4096 B ", 4096),
        ("64KB", 65536),
        ("64 kb", 65536),
        ("64 KiB", 65536),
        ("64k", 65536),
        ("256 MiB", 2**28),
        ("1 GB", 2**30),
        ("2TiB", 2**41),
        ("0", 0),
        (-5, -5),
    ],
)
def test_units_are_powers_of_1024(text: int | str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "MB", "1.5 MB", "-1 KB", "64 KX", "64 iB", "6 4", "1 KB KB", "\u0661KB"]
)
def test_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a size must be bytes, or text such as"):
        size_in_bytes(text)


@pytest.mark.parametrize("value", [None, 1.5, True, b"64KB"])
def test_what_is_neither_number_nor_text_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="a size must be an int or text"):
        size_in_bytes(value)  # type: ignore[arg-type]


def test_a_session_takes_sizes_as_text_and_names_the_argument_that_is_none(tmp_path: Path) -> None:
    session = EtlSession(tmp_path / "a.etl", buffer_size="64 KiB", mode="rolling", max_file_size="1 MiB")
    assert session.buffer_size_bytes == 65536
    session.close()
    with pytest.raises(ValueError, match="max_file_size: a size must be"):
        EtlSession(tmp_path / "b.etl", max_file_size="large")
    with pytest.raises(TypeError, match="buffer_size: a size must be"):
        EtlSession(tmp_path / "b.etl", buffer_size=1.5)  # type: ignore[arg-type]

"""Filters: for all providers of a session, and for single ones."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from otel_etw.sessions.embedded import EtlSession
from otel_etw.sessions.filters import ProviderFilter
from otel_etw.tracelogging.provider_id import provider_id
from otel_etw.tracelogging.types import EventDescriptor
from session_events import METADATA, numbers_in, payload_of

OTHER = UUID("12345678-1234-5678-1234-567812345678")


def test_each_provider_follows_its_own_filter_or_that_of_the_others(tmp_path: Path) -> None:
    """By name in any case, by GUID, by GUID as text; ``is_enabled``, ``write`` and prepared writes agree."""
    expected = []
    with EtlSession(
        tmp_path / "a.etl",
        level=2,
        providers={
            "LOUD_provider": (5, 0),
            OTHER: ProviderFilter(level=3, keyword=6),
            "{AAAAAAAA-1234-5678-1234-567812345678}": (0, 1),
        },
    ) as session:
        cases = [
            (session.register("Anything"), 2, 0),
            (session.register("Loud_Provider"), 5, 0),
            (session.register("Anything", provider_id("loud_provider")), 5, 0),
            (session.register("Loud_Provider", OTHER), 3, 6),
            (session.register("Third", UUID("aaaaaaaa-1234-5678-1234-567812345678")), 255, 1),
        ]
        number = 0
        for provider, highest, mask in cases:
            assert provider.is_enabled_any()
            assert not provider.idle
            for level in (0, 1, 2, 3, 4, 5, 255):
                for keyword in (0, 1, 2, 7, 1 << 63):
                    wanted = level <= highest and (not keyword or not mask or bool(keyword & mask))
                    assert provider.is_enabled(level, keyword) is wanted
                    descriptor = EventDescriptor(level=level, keyword=keyword)
                    write = provider.prepare(descriptor, METADATA)
                    assert provider.write(descriptor, METADATA, payload_of(number)) == 0
                    assert write(payload_of(number + 1), None) == 0
                    expected += [number, number + 1] if wanted else []
                    number += 2
        assert session.events_lost == 0
    assert numbers_in(tmp_path / "a.etl") == expected


@pytest.mark.parametrize(
    ("providers", "error", "text"),
    [
        ([("A", (1, 0))], TypeError, "not list"),
        ({5: (1, 0)}, TypeError, "not int"),
        ({"": (1, 0)}, ValueError, "not ''"),
        ({"A": 5}, TypeError, r"providers\['A'\] must be a pair"),
        ({"A": (5,)}, ValueError, r"pair \(level, keyword\), not \(5,\)"),
        ({"A": (1, 2, 3)}, ValueError, "pair"),
        ({"A": (256, 0)}, ValueError, r"providers\['A'\]: level must be 0 to 255, not 256"),
        ({"A": ("5", 0)}, TypeError, "level must be an int, not str"),
        ({"A": (True, 0)}, TypeError, "bool"),
        ({"A": (1, -1)}, ValueError, "keyword must be 0 to"),
        ({"A": (1, 0), "a": (2, 0)}, ValueError, "twice"),
        ({"A": (1, 0), provider_id("A"): (2, 0)}, ValueError, "twice"),
    ],
)
def test_an_invalid_filter_says_where_it_is_wrong(
    tmp_path: Path, providers: object, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        EtlSession(tmp_path / "a.etl", providers=providers)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())

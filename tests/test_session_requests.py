"""What ``NAME_OR_GUID[:LEVEL[:KEYWORDS]]`` asks for, and which provider a name means."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw.sessions.requests import ALL_KEYWORDS, ProviderRequest, described, parse_request
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID, provider_id
from otel_etw.tracelogging.provider_names import NamedProvider, named_provider

DNS = UUID("1c95126e-7eea-49a9-a3fe-a378b03ddb4d")
OTHER = UUID("b3864c38-4273-58c5-545b-8b3608343471")


class Registry:
    """Registered providers: one of a usual name, two that share one."""

    def find(self, name: str) -> list[tuple[str, UUID]]:
        entries = [("Microsoft-Windows-DNS-Client", DNS), ("Twin", DNS), ("twin", OTHER), ("metrics", OTHER)]
        return [entry for entry in entries if entry[0].lower() == name.lower()]


@pytest.mark.parametrize(
    ("text", "level", "any_keyword"),
    [
        ("My_App", 5, ALL_KEYWORDS),
        ("My_App:warning", 3, ALL_KEYWORDS),
        ("My_App:WARN:0x10", 3, 0x10),
        ("My_App::0xFFFFFFFFFFFFFFFF", 5, ALL_KEYWORDS),
        ("My_App:0:0", 0, 0),
        ("My_App:255:18446744073709551615", 255, ALL_KEYWORDS),
        (" My_App:4 ", 4, ALL_KEYWORDS),
        ("My_App:4:", 4, ALL_KEYWORDS),
    ],
)
def test_levels_and_keywords_are_optional(text: str, level: int, any_keyword: int) -> None:
    """Levels by name or number, masks in decimal or hexadecimal; verbose and every bit if nothing is said."""
    expected = ProviderRequest("My_App", provider_id("My_App"), "hashed", level, any_keyword)
    assert parse_request(text) == expected


def test_other_defaults_stand_in_for_what_is_left_out() -> None:
    """Each for itself."""
    assert parse_request("a", level=2, any_keyword=7)[3:] == (2, 7)
    assert parse_request("a:4", level=2, any_keyword=7)[3:] == (4, 7)
    assert parse_request("a::9", level=2, any_keyword=7)[3:] == (2, 9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must not be empty"),
        ("*", "must not be empty"),
        (":5", "must not be empty"),
        ("a:loud", "'a:loud': expected a level"),
        ("a:256", "expected a level"),
        ("a:-1", "expected a level"),
        ("a:5:0x1ffffffffffffffff", "expected keywords"),
        ("a:5:18446744073709551616", "expected keywords"),
        ("a:5:many", "expected keywords"),
        ("a:0x10:5", "the level comes before the keywords"),
        ("a:5:1:1", "a name with ':' goes by its GUID"),
    ],
)
def test_what_makes_no_sense_is_said(text: str, problem: str) -> None:
    """With the text, what was expected, and what was found."""
    with pytest.raises(ValueError, match=problem):
        parse_request(text)


@given(st.text(max_size=40))
def test_any_text_is_a_request_or_a_value_error(text: str) -> None:
    """Nothing else comes out, and what comes out fits Windows' arguments."""
    try:
        request = parse_request(text, Registry())
    except ValueError:
        return
    assert 0 <= request.level <= 255
    assert 0 <= request.any_keyword <= ALL_KEYWORDS
    assert described(request).startswith(str(request.id))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("microsoft-windows-dns-client", NamedProvider("Microsoft-Windows-DNS-Client", DNS, "registered")),
        (
            "*Microsoft-Windows-DNS-Client",
            NamedProvider(
                "Microsoft-Windows-DNS-Client", provider_id("Microsoft-Windows-DNS-Client"), "hashed"
            ),
        ),
        ("My_App", NamedProvider("My_App", provider_id("My_App"), "hashed")),
        ("metrics", NamedProvider("NativeMetricsExtension_Provider", METRICS_PROVIDER_ID, "fixed")),
        (f"{{{DNS}}}", NamedProvider(f"{{{DNS}}}", DNS, "given")),
    ],
)
def test_registered_names_come_before_hashed_ones(text: str, expected: NamedProvider) -> None:
    """A star hashes in any case; ``metrics`` and GUIDs are not looked up."""
    assert named_provider(text, Registry()) == expected


def test_a_name_of_several_providers_is_refused() -> None:
    """With their GUIDs, of which one is to be given."""
    with pytest.raises(ValueError, match=f"{DNS}, {OTHER}|{OTHER}, {DNS}"):
        named_provider("Twin", Registry())


def test_the_choice_is_told_in_words() -> None:
    """GUID, name, why it is this GUID, and what is wanted."""
    assert described(parse_request("metrics")) == (
        f"{METRICS_PROVIDER_ID}  NativeMetricsExtension_Provider  (the provider of all metrics, fixed GUID; "
        "up to level 5 (verbose), all keywords)"
    )
    assert described(parse_request(f"{DNS}:0:0x10")) == f"{DNS}  (GUID as given; all levels, keywords 0x10)"
    assert "(GUID hashed from the name; up to level 77, all keywords)" in described(
        parse_request("My_App:77:0")
    )
    known = described(parse_request("microsoft-windows-dns-client", Registry()))
    assert known.startswith(f"{DNS}  Microsoft-Windows-DNS-Client  (registered on this machine; ")

"""``otel-etw guid``: GUIDs, and lines and profiles that record the providers on Windows."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.dom import minidom

import pytest

from etw_building import LIBRARY_VARIABLE
from etw_double import EtwDouble
from otel_etw.outputs.recording import recording_tools, wpr_profile
from otel_etw.tracelogging.provider_id import METRICS_PROVIDER_ID, provider_id
from otel_etw.tracelogging.provider_names import named_provider
from shared_files import vectors
from shown_traces import invoke

MY = "fa79a38c-349e-555b-d67a-ca6ce440d416"
DNS = UUID("1c95126e-7eea-49a9-a3fe-a378b03ddb4d")


@pytest.fixture(autouse=True)
def _known_registry(request: pytest.FixtureRequest) -> None:
    """Under Wine the function that lists registered providers ends the process: there, the double's."""
    if sys.platform == "win32" and LIBRARY_VARIABLE in os.environ:
        request.getfixturevalue("etw_double")


def document(*arguments: object) -> dict[str, Any]:
    result = invoke("guid", *arguments, "--json")
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def test_names_are_hashed() -> None:
    """The golden GUIDs of the vectors, letter case ignored."""
    for case in vectors("providers")["cases"]:
        (provider,) = document(f"*{case['provider_name']}")["providers"]
        assert provider["guid"] == case["expected"]["guid"]
    assert document("MyCompany_MyApp", "MYCOMPANY_myapp")["providers"] == [
        {"name": "MyCompany_MyApp", "guid": MY, "origin": "hashed"},
        {"name": "MYCOMPANY_myapp", "guid": MY, "origin": "hashed"},
    ]


@pytest.mark.parametrize(
    ("text", "guid", "origin"),
    [
        ("metrics", METRICS_PROVIDER_ID, "fixed"),
        ("NativeMetricsExtension_Provider", METRICS_PROVIDER_ID, "fixed"),
        ("*metrics", provider_id("metrics"), "hashed"),
        ("*MyProvider", provider_id("MyProvider"), "hashed"),
        ("{B3864C38-4273-58C5-545B-8B3608343471}", UUID("b3864c38-4273-58c5-545b-8b3608343471"), "given"),
        ("b3864c38-4273-58c5-545b-8b3608343471", UUID("b3864c38-4273-58c5-545b-8b3608343471"), "given"),
        (f"*{MY}", provider_id(MY), "hashed"),
    ],
)
def test_what_a_name_means(text: str, guid: UUID, origin: str) -> None:
    """GUIDs stand for themselves, the metrics provider has its fixed one, a star hashes anything."""
    provider = named_provider(text)
    assert (provider.id, provider.origin) == (guid, origin)


def test_on_windows_registered_names_come_first(etw_double: EtwDouble) -> None:
    """With the case of letters that they are registered with; a star hashes them all the same."""
    etw_double.add_registered_provider("Microsoft-Windows-DNS-Client", DNS)
    name = "microsoft-windows-dns-client"
    assert document(name, f"*{name}", "MyCompany_MyApp")["providers"] == [
        {"name": "Microsoft-Windows-DNS-Client", "guid": str(DNS), "origin": "registered"},
        {"name": name, "guid": str(provider_id(name)), "origin": "hashed"},
        {"name": "MyCompany_MyApp", "guid": MY, "origin": "hashed"},
    ]
    first = invoke("guid", name).stdout.splitlines()[0]
    assert first.endswith("(registered on this machine, not hashed from the name)")
    assert f"otel-etw record -p Microsoft-Windows-DNS-Client -p {provider_id(name)} -o" in str(
        document(name, f"*{name}")["record"]
    )


def test_names_that_cannot_be_looked_up_are_hashed_and_that_is_said(etw_double: EtwDouble) -> None:
    """Windows does not list its providers: the answer may be another one than it seems."""
    etw_double.fail_next("TdhEnumerateProviders", 5)
    result = invoke("guid", "MyCompany_MyApp")
    assert result.stdout.startswith(MY)
    assert "names were hashed" in result.stderr


def test_people_are_told_what_is_special() -> None:
    """A GUID that was given or is fixed, and names that exporters would refuse."""
    text = invoke("guid", "MyCompany_MyApp", "metrics", MY, "my-app", "no good").stdout
    lines = text.splitlines()
    assert lines[0] == f"{MY}  MyCompany_MyApp"
    assert lines[1].endswith("(fixed, not hashed from the name)")
    assert lines[2].endswith("(already a GUID)")
    assert "etw_only_name=True" in lines[3]
    assert "exporters refuse this name" in lines[4]


def test_lines_record_all_providers_in_one_session() -> None:
    """Tool by tool: start with the first provider, add the others, stop; always all keywords, level 5."""
    record = document("MyCompany_MyApp", "metrics")["record"]
    assert record["otel-etw"] == [
        "otel-etw record -p MyCompany_MyApp -p NativeMetricsExtension_Provider -o otel-etw.etl"
    ]
    metrics = str(METRICS_PROVIDER_ID)
    assert record["logman"] == [
        f'logman create trace otel-etw -p "{{{MY}}}" 0xFFFFFFFFFFFFFFFF 0x5 -o otel-etw.etl -ets',
        f'logman update trace otel-etw -p "{{{metrics}}}" 0xFFFFFFFFFFFFFFFF 0x5 -ets',
        "logman stop otel-etw -ets",
    ]
    assert record["tracelog"] == [
        f'tracelog -start otel-etw -f otel-etw.etl -guid "#{MY}" -flag 0xFFFFFFFF -level 5',
        f'tracelog -enable otel-etw -guid "#{metrics}" -flag 0xFFFFFFFF -level 5',
        "tracelog -stop otel-etw",
    ]
    add = "Add-EtwTraceProvider -SessionName otel-etw"
    assert record["powershell"] == [
        'New-EtwTraceSession -Name otel-etw -LocalFilePath "$PWD\\otel-etw.etl"',
        f'{add} -Guid "{{{MY}}}" -MatchAnyKeyword ([UInt64]::MaxValue) -Level 5',
        f'{add} -Guid "{{{metrics}}}" -MatchAnyKeyword ([UInt64]::MaxValue) -Level 5',
        "Remove-EtwTraceSession -Name otel-etw",
    ]
    assert record["perfview"] == [
        f'PerfView "/OnlyProviders=*MyCompany_MyApp,{metrics}" "/DataFile=otel-etw.etl" /Zip=False collect'
    ]


def test_names_with_perfviews_own_characters_go_by_guid() -> None:
    """A comma or colon would be taken for syntax; letters beyond ASCII hash differently there."""
    for name in ("a,b", "a:b", "grün", 'a"b', "-p"):
        (perfview,) = [tool for tool in recording_tools([named_provider(name)]) if tool.name == "PerfView"]
        assert str(provider_id(name)) in perfview.lines[0]
        assert name not in perfview.lines[0]
        (own,) = [tool for tool in recording_tools([named_provider(name)]) if tool.name == "otel-etw"]
        assert own.lines == (f"otel-etw record -p {provider_id(name)} -o otel-etw.etl",)
    assert f"-p {provider_id('metrics')} " in document("*metrics")["record"]["otel-etw"][0]


def test_the_profile_is_what_wpr_reads(tmp_path: Path) -> None:
    """Every reference has its target; both logging modes are there; its lines are printed."""
    path = tmp_path / "otel.wprp"
    result = invoke("guid", "MyCompany_MyApp", "metrics", "a--b-", "<&\x1b>", "--wprp", path)
    assert result.exit_code == 0
    assert f'  wpr -start "{path}!OpenTelemetry.Verbose" -filemode' in result.stdout.splitlines()
    assert "  wpr -stop otel-etw.etl" in result.stdout.splitlines()
    document = minidom.parseString(path.read_bytes())
    assert document.documentElement.tagName == "WindowsPerformanceRecorder"

    def attributes(tag: str, name: str, inside: Any = document) -> list[str]:
        return [element.getAttribute(name) for element in inside.getElementsByTagName(tag)]

    assert [UUID(name) for name in attributes("EventProvider", "Name")] == [
        UUID(MY),
        METRICS_PROVIDER_ID,
        provider_id("a--b-"),
        provider_id("<&\x1b>"),
    ]
    assert attributes("EventProvider", "Level") == ["5"] * 4
    assert [int(value, 16) for value in attributes("Keyword", "Value")] == [2**64 - 1] * 4
    assert attributes("EventProviderId", "Value") == attributes("EventProvider", "Id")
    assert attributes("EventCollectorId", "Value") == attributes("EventCollector", "Id")
    profiles = document.getElementsByTagName("Profile")
    assert [profile.getAttribute("LoggingMode") for profile in profiles] == ["File", "Memory"]
    for profile in profiles:
        parts = [profile.getAttribute(name) for name in ("Name", "DetailLevel", "LoggingMode")]
        assert profile.getAttribute("Id") == ".".join(parts)
        assert "MyCompany_MyApp" in profile.getAttribute("Description")


def test_a_profile_is_not_overwritten_unasked(tmp_path: Path) -> None:
    """``--force`` does it."""
    path = tmp_path / "otel.wprp"
    path.write_text("mine", encoding="utf-8")
    refused = invoke("guid", "a", "--wprp", path)
    assert refused.exit_code == 1
    assert "file exists; --force overwrites it" in refused.stderr
    assert path.read_text("utf-8") == "mine"
    assert invoke("guid", "a", "--wprp", path, "--force").exit_code == 0
    assert path.read_text("utf-8") == wpr_profile([named_provider("a")])


def test_an_empty_name_is_wrong_usage() -> None:
    """There is no provider without a name."""
    for name in ("", "*"):
        assert invoke("guid", name).exit_code == 2


def test_names_cannot_send_escapes() -> None:
    """A name may come from somewhere else than the keyboard."""
    text = invoke("guid", "a\x1b[31m\nb").stdout
    assert all(line.isprintable() for line in text.splitlines())
    assert "a\\x1b[31m\\nb" in text

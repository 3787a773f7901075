"""What to type on Windows to record given providers, tool by tool, and a profile for the tool ``wpr``.

Every line asks for all levels up to verbose and for all keywords, spelled out: a mask of 0 means "all" to
the kernel, but the Rust exporters check the mask themselves and would stay silent. Recording needs an
elevated prompt, or membership in "Performance Log Users". Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from otel_etw.tracelogging.provider_names import NamedProvider, Registered, named_provider
from otel_etw.tracelogging.types import Level

SESSION_NAME = "otel-etw"
PROFILE_NAME = "OpenTelemetry"
_ALL_KEYWORDS = "0xFFFFFFFFFFFFFFFF"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


class Tool(NamedTuple):
    """One tool and the lines to type, in order; the trace runs between the last but one and the last."""

    name: str
    lines: tuple[str, ...]


def recording_tools(providers: Sequence[NamedProvider], registered: Registered | None = None) -> list[Tool]:
    """The lines for this package and for Windows' own tools that record ``providers`` into one file.

    ``registered``: those by which names are looked up where the lines are typed.
    """
    return [
        _otel_etw(providers, registered),
        _logman(providers),
        _tracelog(providers),
        _powershell(providers),
        _perfview(providers),
    ]


def wpr_lines(profile_path: str) -> tuple[str, ...]:
    """The lines that record with a profile written by :func:`wpr_profile`."""
    return (
        f'wpr -start "{profile_path}!{PROFILE_NAME}.Verbose" -filemode',
        f"wpr -stop {SESSION_NAME}.etl",
    )


def wpr_profile(providers: Sequence[NamedProvider]) -> str:
    """A Windows Performance Recorder profile (XML) that records ``providers``, to a file or in memory."""
    provider_elements = "".join(
        f"    <!-- {_comment(provider.name)} -->\n"
        f'    <EventProvider Id="Provider_{number}" Name="{provider.id}" Level="{int(Level.VERBOSE)}">\n'
        f'      <Keywords>\n        <Keyword Value="{_ALL_KEYWORDS}"/>\n      </Keywords>\n'
        "    </EventProvider>\n"
        for number, provider in enumerate(providers, 1)
    )
    references = "".join(
        f'            <EventProviderId Value="Provider_{number}"/>\n'
        for number in range(1, len(providers) + 1)
    )
    return _PROFILE.format(
        name=PROFILE_NAME,
        description=quoteattr("Events of " + ", ".join(_plain(provider.name) for provider in providers)),
        providers=provider_elements,
        references=references,
    )


def _otel_etw(providers: Sequence[NamedProvider], registered: Registered | None) -> Tool:
    """Until Ctrl-C. Names that a shell or ``record`` itself would read in another way go by GUID."""
    specs = " ".join(
        f"-p {provider.name if _goes_by_name(provider, registered) else provider.id}"
        for provider in providers
    )
    return Tool("otel-etw", (f"otel-etw record {specs} -o {SESSION_NAME}.etl",))


def _goes_by_name(provider: NamedProvider, registered: Registered | None) -> bool:
    if not _PLAIN_NAME.fullmatch(provider.name):
        return False
    try:
        return named_provider(provider.name, registered).id == provider.id
    except ValueError:  # several have it
        return False


def _logman(providers: Sequence[NamedProvider]) -> Tool:
    first, *others = [
        f'-p "{{{provider.id}}}" {_ALL_KEYWORDS} {int(Level.VERBOSE):#x}' for provider in providers
    ]
    return Tool(
        "logman",
        (
            f"logman create trace {SESSION_NAME} {first} -o {SESSION_NAME}.etl -ets",
            *(f"logman update trace {SESSION_NAME} {other} -ets" for other in others),
            f"logman stop {SESSION_NAME} -ets",
        ),
    )


def _tracelog(providers: Sequence[NamedProvider]) -> Tool:
    # "#" marks a GUID; unquoted it would begin a comment in PowerShell.
    first, *others = [f'-guid "#{provider.id}" -flag 0xFFFFFFFF -level 5' for provider in providers]
    return Tool(
        "tracelog",
        (
            f"tracelog -start {SESSION_NAME} -f {SESSION_NAME}.etl {first}",
            *(f"tracelog -enable {SESSION_NAME} {other}" for other in others),
            f"tracelog -stop {SESSION_NAME}",
        ),
    )


def _powershell(providers: Sequence[NamedProvider]) -> Tool:
    # PowerShell reads 0xFFFFFFFFFFFFFFFF as the signed number -1, which the parameter refuses.
    keywords = "([UInt64]::MaxValue)"
    return Tool(
        "PowerShell",
        (
            f'New-EtwTraceSession -Name {SESSION_NAME} -LocalFilePath "$PWD\\{SESSION_NAME}.etl"',
            *(
                f'Add-EtwTraceProvider -SessionName {SESSION_NAME} -Guid "{{{provider.id}}}" '
                f"-MatchAnyKeyword {keywords} -Level 5"
                for provider in providers
            ),
            f"Remove-EtwTraceSession -Name {SESSION_NAME}",
        ),
    )


def _perfview(providers: Sequence[NamedProvider]) -> Tool:
    """PerfView hashes a name after ``*`` itself; names with characters of its own syntax go by GUID."""
    specs = ",".join(
        f"*{provider.name}"
        if provider.origin == "hashed" and _PLAIN_NAME.fullmatch(provider.name)
        else str(provider.id)
        for provider in providers
    )
    return Tool(
        "PerfView", (f'PerfView "/OnlyProviders={specs}" "/DataFile={SESSION_NAME}.etl" /Zip=False collect',)
    )


def _comment(name: str) -> str:
    """``name`` as the text of an XML comment, where ``--`` and control characters cannot stand."""
    return re.sub("-(?=-|$)", "- ", _plain(name))


def _plain(name: str) -> str:
    """``name`` with ``?`` for what XML cannot hold."""
    return "".join(character if character.isprintable() else "?" for character in name)


_PROFILE = """\
<?xml version="1.0" encoding="utf-8"?>
<WindowsPerformanceRecorder Version="1.0">
  <Profiles>
    <EventCollector Id="Collector_{name}" Name="{name}">
      <BufferSize Value="256"/>
      <Buffers Value="64"/>
    </EventCollector>
{providers}\
    <Profile Id="{name}.Verbose.File" Name="{name}" DetailLevel="Verbose" \
LoggingMode="File" Description={description}>
      <Collectors>
        <EventCollectorId Value="Collector_{name}">
          <EventProviders>
{references}\
          </EventProviders>
        </EventCollectorId>
      </Collectors>
    </Profile>
    <Profile Id="{name}.Verbose.Memory" Name="{name}" Base="{name}.Verbose.File" DetailLevel="Verbose" \
LoggingMode="Memory" Description={description}/>
  </Profiles>
</WindowsPerformanceRecorder>
"""

"""``otel-etw guid``: provider GUIDs, and how to record these providers with Windows' own tools."""

from __future__ import annotations

from pathlib import Path

import click

from otel_etw.cli.running import warn
from otel_etw.errors import EncodeError
from otel_etw.outputs.recording import (
    SESSION_NAME,
    recording_tools,
    wpr_lines,
    wpr_profile,
)
from otel_etw.outputs.text import json_line, printable
from otel_etw.tracelogging.provider_id import check_provider_name
from otel_etw.tracelogging.provider_names import NamedProvider, Registered, named_provider
from otel_etw.windows.libraries import is_windows
from otel_etw.windows.provider_list import RegisteredProviders

_ORIGINS = {
    "hashed": "",
    "given": "already a GUID",
    "fixed": "fixed, not hashed from the name",
    "registered": "registered on this machine, not hashed from the name",
}


@click.command("guid")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--wprp",
    "profile",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a Windows Performance Recorder profile of these providers to FILE.",
)
@click.option("--force", is_flag=True, help="Let --wprp overwrite an existing file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def command(names: tuple[str, ...], profile: Path | None, force: bool, as_json: bool) -> None:
    """Print the GUID of each provider NAME, and lines that record all of them on Windows.

    A name is hashed as TraceLogging does it, whatever its case; on Windows names registered on the machine
    come first. "metrics" is the provider of all OpenTelemetry metrics, whose GUID is fixed. A GUID stands for
    itself. "*NAME" hashes NAME even if it is one of those.

    \b
    Examples:
      otel-etw guid MyCompany_MyApp
      otel-etw guid MyCompany_MyApp metrics
      otel-etw guid MyCompany_MyApp metrics --wprp otel.wprp
      otel-etw guid MyCompany_MyApp --json
    """
    registered = RegisteredProviders() if is_windows() else None
    try:
        providers = list(dict.fromkeys(named_provider(name, registered) for name in names))
    except ValueError as problem:
        raise click.UsageError(str(problem)) from None
    if profile is not None:
        _write_profile(profile, providers, force)
    if registered is not None and registered.problem is not None:
        warn(f"{registered.problem}; names were hashed")
    if as_json:
        click.echo(json_line(_document(providers, profile, registered), ascii_only=True))
        return
    for line in _lines(providers, profile, registered):
        click.echo(line)


def _write_profile(path: Path, providers: list[NamedProvider], force: bool) -> None:
    if path.exists() and not force:
        raise click.ClickException(f"{printable(str(path))}: file exists; --force overwrites it")
    path.write_text(wpr_profile(providers), encoding="utf-8", errors="replace", newline=None)


def _document(
    providers: list[NamedProvider], profile: Path | None, registered: Registered | None
) -> dict[str, object]:
    tools = recording_tools(providers, registered)
    record: dict[str, object] = {tool.name.lower(): list(tool.lines) for tool in tools}
    if profile is not None:
        record["wpr"] = list(wpr_lines(str(profile)))
    return {
        "providers": [
            {"name": provider.name, "guid": str(provider.id), "origin": provider.origin}
            for provider in providers
        ],
        "record": record,
    }


def _lines(providers: list[NamedProvider], profile: Path | None, registered: Registered | None) -> list[str]:
    names = [printable(provider.name) for provider in providers]
    width = max(map(len, names))
    lines = []
    for name, provider in zip(names, providers, strict=True):
        note = _ORIGINS[provider.origin] or _name_note(provider.name)
        lines.append(f"{provider.id}  {name:<{width}}  {f'({note})' if note else ''}".rstrip())
    lines += [
        "",
        "Record on Windows, in an elevated prompt; run what is to be traced before the last line of a block:",
    ]
    for tool in recording_tools(providers, registered):
        lines += ["", f"{tool.name}:", *(f"  {printable(line)}" for line in tool.lines)]
    if profile is not None:
        lines += ["", f"Windows Performance Recorder, with the profile {printable(str(profile))}:"]
        lines += [f"  {printable(line)}" for line in wpr_lines(str(profile))]
    return [*lines, "", f"Then: otel-etw view {SESSION_NAME}.etl"]


def _name_note(name: str) -> str:
    """What an exporter of this package would say to the name, if anything."""
    try:
        check_provider_name(name)
    except EncodeError:
        pass
    else:
        return ""
    try:
        check_provider_name(name, etw_only=True)
    except EncodeError as refusal:
        return f"exporters refuse this name: {refusal}"
    return "exporters take this name only with etw_only_name=True"

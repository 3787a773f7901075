"""The options of ``otel-etw record`` as a :class:`.Recording`; what makes no sense is wrong usage."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from otel_etw.cli.running import warn
from otel_etw.outputs.text import printable
from otel_etw.sessions.recording import DEFAULT_NAME, Recording, RecordingSettings
from otel_etw.sessions.requests import (
    ALL_KEYWORDS,
    ProviderRequest,
    parse_request,
    request_keywords,
    request_level,
)
from otel_etw.sessions.sizes import size_in_bytes
from otel_etw.tracelogging.types import Level
from otel_etw.windows.libraries import is_windows
from otel_etw.windows.provider_list import RegisteredProviders

_MAX_BUFFER_KB = 16 * 1024
_MAX_FILE_MB = 0xFFFFFFFF
_MAX_BUFFERS = 65536
_BUFFERS = re.compile(r"(\d{1,5})(?::(\d{1,5}))?", re.ASCII)
_T = TypeVar("_T")


def recording_of(
    providers: tuple[str, ...],
    *,
    path: str,
    level: str | None,
    keywords: str | None,
    name: str | None,
    max_file_size: str | None,
    max_files: int | None,
    buffer_size: str,
    buffers: str,
    **settings: Any,
) -> Recording:
    """The recording that the command line asks for; ``click.UsageError`` for what is wrong with an option."""
    mode = settings["mode"]
    if max_files is not None and mode != "rolling":
        raise click.UsageError("--max-files is for --mode rolling")
    min_buffers, max_buffers = _parsed("--buffers", _buffer_counts, buffers)
    chosen = RecordingSettings(
        max_file_size_mb=0
        if max_file_size is None
        else _parsed("--max-file-size", _megabytes, max_file_size),
        max_files=max_files or 0,
        buffer_size_kb=_parsed("--buffer-size", _buffer_kilobytes, buffer_size),
        min_buffers=min_buffers,
        max_buffers=max_buffers,
        **settings,
    )
    requests = requests_of(providers, level, keywords)
    try:
        return Recording(path, requests, chosen, name=DEFAULT_NAME if name is None else name)
    except ValueError as problem:
        raise click.UsageError(str(problem)) from None


def requests_of(providers: tuple[str, ...], level: str | None, keywords: str | None) -> list[ProviderRequest]:
    """What is wanted of each provider, one request for each; ``click.UsageError`` for what cannot be meant.

    Where there is Windows, names are looked up among those registered.
    """
    if not providers:
        raise click.UsageError(
            "say which providers with -p NAME, such as -p OpenTelemetry_Python -p metrics "
            '("metrics" is the provider of all OpenTelemetry metrics)'
        )
    default_level = Level.VERBOSE if level is None else _parsed("--level", request_level, level)
    default_keywords = ALL_KEYWORDS if keywords is None else _parsed("--keyword", request_keywords, keywords)
    registered = RegisteredProviders() if is_windows() else None

    def parse(text: str) -> ProviderRequest:
        return parse_request(text, registered, level=default_level, any_keyword=default_keywords)

    requests: dict[object, ProviderRequest] = {}
    for text in providers:
        request = _parsed("-p", parse, text)
        if requests.setdefault(request.id, request)[3:] != request[3:]:
            raise click.UsageError(
                f"-p names {printable(request.name)} twice, with different levels or keywords"
            )
    if registered is not None and registered.problem is not None:
        warn(f"{registered.problem}; names were hashed")
    return list(requests.values())


def _parsed(option: str, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ValueError as problem:
        raise click.BadParameter(printable(str(problem)), param_hint=option) from None


def _megabytes(text: str) -> int:
    """Whole ones, as Windows counts them; what is over makes one more."""
    size_mb = -(-size_in_bytes(text) // (1 << 20))
    if not 1 <= size_mb <= _MAX_FILE_MB or text.strip().isdigit():
        raise ValueError(f'expected a size such as "100MB", found {text!r}')
    return size_mb


def _buffer_kilobytes(text: str) -> int:
    size_kb, rest = divmod(size_in_bytes(text), 1024)
    if rest or not 4 <= size_kb <= _MAX_BUFFER_KB:
        raise ValueError(f'expected whole KB from 4KB to 16MB, such as "256KB", found {text!r}')
    return size_kb


def _buffer_counts(text: str) -> tuple[int, int]:
    match = _BUFFERS.fullmatch(text.strip())
    least, most = (int(match[1]), int(match[2] or 0)) if match else (-1, 0)
    if not 0 <= least <= _MAX_BUFFERS or most > _MAX_BUFFERS or 0 < most < least:
        raise ValueError(f"expected numbers of buffers such as 64 or 64:128, found {text!r}")
    return least, most

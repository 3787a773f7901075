"""The environment variables: what each text stands for, and that no text does harm."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_etw import environment, variables
from otel_etw.environment import VARIABLES
from otel_etw.sessions.default import default_session
from otel_etw.sessions.settings import SessionSettings

GROUP = UUID("01234567-89ab-cdef-0123-456789abcdef")
BY_SUFFIX = {variable.suffix: variable for variable in VARIABLES}

VALID: list[tuple[str, str, Any]] = [
    ("PROVIDER_NAME", "My_Service", "My_Service"),
    ("RESOURCE_ATTRIBUTES", "host.name", frozenset({"host.name"})),
    ("RESOURCE_ATTRIBUTES", " host.name , ,k8s.pod.name,", frozenset({"host.name", "k8s.pod.name"})),
    ("KEYWORD", "0", 0),
    ("KEYWORD", " 18446744073709551615 ", 2**64 - 1),
    ("KEYWORD", "0x8000000000000001", 2**63 + 1),
    ("KEYWORD", "0XfF", 255),
    ("KEYWORD", "010", 10),
    ("ACTIVITY_ID", "trace", "trace"),
    ("ACTIVITY_ID", " Span ", "span"),
    ("ACTIVITY_ID", "none", None),
    ("PROVIDER_GROUP", str(GROUP), GROUP),
    ("PROVIDER_GROUP", f" {{{str(GROUP).upper()}}} ", GROUP),
    ("PROVIDER_GROUP", "None", None),
    ("OVERSIZE", "truncate", False),
    ("OVERSIZE", "Drop", True),
    ("LOG_EVENT_NAME", "Äpfel", "Äpfel"),
    ("SPAN_EVENT_NAME", "Request", "Request"),
    ("SPAN_LEVEL", "1", 1),
    ("SPAN_LEVEL", " 4", 4),
    ("FILE", "logs/{pid}.etl", "logs/{pid}.etl"),
    ("FILE_MODE", "sequential", "sequential"),
    ("FILE_MODE", "CIRCULAR", "circular"),
    ("FILE_MODE", "rolling", "rolling"),
    ("MAX_FILE_SIZE", "1000000", 1_000_000),
    ("MAX_FILE_SIZE", "256 MiB", 256 << 20),
    ("MAX_FILE_SIZE", "2g", 2 << 30),
    ("MAX_FILES", "12", 12),
    ("BUFFER_SIZE", "64KB", 65536),
    ("BUFFER_SIZE", "16 MiB", 16 << 20),
    ("FILE_LEVEL", "0", 0),
    ("FILE_LEVEL", "255", 255),
    ("FILE_KEYWORD", "0x10", 16),
    *(
        (suffix, text, found)
        for suffix in ("ETW_ONLY_NAME", "MARK_UTF8", "SPAN_EVENTS", "EXTENDED", "RECORD_ONLY")
        for text, found in (("true", True), (" TRUE ", True), ("false", False), ("False", False))
    ),
    *((suffix, "true", True) for suffix in ("CODE_ATTRIBUTES", "STRUCTURED_BODY")),
]

INVALID = [
    ("PROVIDER_NAME", "not valid!"),
    ("PROVIDER_NAME", "with-hyphen"),
    ("PROVIDER_NAME", "x" * 234),
    *(
        ("KEYWORD", text)
        for text in ("-1", "18446744073709551616", "0x10000000000000000", "0x", "ten", "1_0", "²")
    ),
    *(("ACTIVITY_ID", text) for text in ("both", "trace,span", " ")),
    *(("PROVIDER_GROUP", text) for text in ("mine", "01234567", str(GROUP) + "0")),
    ("OVERSIZE", "cut"),
    *(("SPAN_LEVEL", text) for text in ("0", "6", "error", "-1", "1.0", "9" * 5000)),
    *(("FILE_LEVEL", text) for text in ("256", "-1", "info")),
    ("FILE_MODE", "ring"),
    *(("MAX_FILE_SIZE", text) for text in ("8191", "big", "-1", "1.5 MB", "99999999999999 TB", "9" * 30)),
    *(("MAX_FILES", text) for text in ("0", "1000001", "few")),
    *(("BUFFER_SIZE", text) for text in ("4095", "5000", "17 MiB", "small", "64 kg")),
    *(("FILE_KEYWORD", text) for text in ("all", "-1")),
    *(
        (suffix, text)
        for suffix in ("ETW_ONLY_NAME", "MARK_UTF8", "SPAN_EVENTS", "EXTENDED", "RECORD_ONLY")
        for text in ("yes", "1", "0", " ")
    ),
    *((suffix, "on") for suffix in ("CODE_ATTRIBUTES", "STRUCTURED_BODY")),
]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable is set, and nothing has been complained about yet."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setattr(variables, "_complained", {})


@pytest.mark.parametrize(("suffix", "text", "found"), VALID)
def test_values(suffix: str, text: str, found: object, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a text stands for; nothing is logged."""
    monkeypatch.setenv(f"OTEL_EXPORTER_ETW_{suffix}", text)
    assert BY_SUFFIX[suffix].read() == found
    assert not caplog.records


@pytest.mark.parametrize(("suffix", "text"), INVALID)
def test_an_invalid_value_is_one_warning(
    suffix: str, text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the variable, the value, and what is used instead, however many exporters read it."""
    variable = BY_SUFFIX[suffix]
    monkeypatch.setenv(variable.name, text)
    assert variable.read() == variable.default
    assert variable.read() == variable.default
    (line,) = caplog.records
    assert (line.name, line.levelname) == ("otel_etw", "WARNING")
    message = line.getMessage()
    assert message.startswith(f"{variable.name} is ")
    assert repr(text)[:60] in message
    assert message.endswith(f"; using {variable.unset.strip('`')} instead")
    assert len(message) < 400
    monkeypatch.setenv(variable.name, text + "?")
    variable.read()
    assert len(caplog.records) == 2, "another value is another complaint"


@pytest.mark.parametrize("suffix", BY_SUFFIX)
def test_an_empty_variable_counts_as_unset(
    suffix: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the specification of OpenTelemetry has it."""
    variable = BY_SUFFIX[suffix]
    assert variable.read() == variable.default
    monkeypatch.setenv(variable.name, "")
    assert variable.read() == variable.default
    assert not caplog.records


def test_every_variable_is_tried_with_valid_and_invalid_values() -> None:
    """The tables above lack no variable; any text is a file name, a list of keys or the name of an event."""
    anything_goes = {"RESOURCE_ATTRIBUTES", "LOG_EVENT_NAME", "SPAN_EVENT_NAME", "FILE"}
    assert {suffix for suffix, *_ in VALID} == set(BY_SUFFIX)
    assert {suffix for suffix, _ in INVALID} == set(BY_SUFFIX) - anything_goes
    assert len(BY_SUFFIX) == len(VARIABLES)


@given(st.sampled_from(VARIABLES), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_no_text_raises(variable: Any, text: str) -> None:
    """Whatever it is set to, a variable has a value of its kind."""
    with patch.dict(os.environ, {variable.name: text}):
        value = variable.read()
        settings = environment.session_settings()
    assert variable.default is None or type(value) is type(variable.default)
    assert isinstance(settings, SessionSettings)


def test_a_broken_log_handler_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The complaint is lost, the application is not."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no")

    handler = Broken()
    monkeypatch.setenv("OTEL_EXPORTER_ETW_SPAN_LEVEL", "loud")
    logging.getLogger("otel_etw").addHandler(handler)
    try:
        assert environment.span_level() == 5
    finally:
        logging.getLogger("otel_etw").removeHandler(handler)


def test_the_provider_name_may_have_hyphens_where_only_etw_sees_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stricter rule is that of Linux user_events."""
    monkeypatch.setenv("OTEL_EXPORTER_ETW_PROVIDER_NAME", "My-Service")
    assert environment.provider_name(etw_only=True) == "My-Service"
    assert not caplog.records
    assert environment.provider_name() == "OpenTelemetry_Python"
    assert len(caplog.records) == 1


# --------------------------------------------------------------------------- the shared session


def test_what_is_unset_is_left_to_the_shared_session() -> None:
    """Its defaults are its own."""
    assert environment.session_settings() == SessionSettings()


def test_all_settings_of_the_shared_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is one setting."""
    for suffix, text in {
        "FILE": "app.etl",
        "FILE_MODE": "circular",
        "MAX_FILE_SIZE": "1 MiB",
        "MAX_FILES": "3",
        "BUFFER_SIZE": "64 KiB",
        "FILE_LEVEL": "4",
        "FILE_KEYWORD": "0x3",
    }.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_ETW_{suffix}", text)
    assert environment.session_settings() == SessionSettings(
        path="app.etl",
        mode="circular",
        max_file_size=1 << 20,
        max_files=3,
        buffer_size=65536,
        level=4,
        keyword=3,
    )


@pytest.mark.parametrize(
    ("buffer_size", "max_file_size", "used"),
    [
        (None, "256 KiB", 256 << 10),
        (None, "255 KiB", None),
        ("16 MiB", "32 MiB", 32 << 20),
        ("16 MiB", "31 MiB", None),
        ("16 MiB", None, None),
        ("4096", "8192", 8192),
    ],
)
@pytest.mark.parametrize("mode", ["sequential", "rolling", "circular"])
def test_sizes_that_do_not_go_together(
    mode: str,
    buffer_size: str | None,
    max_file_size: str | None,
    used: int | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file smaller than two buffers is no file: the default is used, and the session always gets made."""
    monkeypatch.setenv("OTEL_EXPORTER_ETW_FILE", str(tmp_path / "app.etl"))
    monkeypatch.setenv("OTEL_EXPORTER_ETW_FILE_MODE", mode)
    if buffer_size is not None:
        monkeypatch.setenv("OTEL_EXPORTER_ETW_BUFFER_SIZE", buffer_size)
    if max_file_size is not None:
        monkeypatch.setenv("OTEL_EXPORTER_ETW_MAX_FILE_SIZE", max_file_size)
    settings = environment.session_settings()
    assert settings.max_file_size == used
    warnings = [line.getMessage() for line in caplog.records]
    assert len(warnings) == (max_file_size is not None and used is None)
    assert all("OTEL_EXPORTER_ETW_MAX_FILE_SIZE" in line and "two buffers" in line for line in warnings)
    session = default_session(settings)
    try:
        assert session.error is None
    finally:
        session.release()


# --------------------------------------------------------------------------- the SDK's own switch


@pytest.mark.parametrize(
    ("text", "enabled", "warnings"),
    [
        (None, False, 0),
        ("", False, 0),
        ("true", True, 0),
        (" True ", True, 0),
        ("false", False, 0),
        ("FALSE", False, 0),
        ("1", False, 1),
        ("yes", False, 1),
    ],
)
def test_the_switch_of_internal_metrics(
    text: str | None,
    enabled: bool,
    warnings: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read as the SDK reads it, also where the SDK is too old to know it."""
    monkeypatch.delenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", raising=False)
    if text is not None:
        monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", text)
    assert environment.internal_metrics_enabled() is enabled
    assert environment.internal_metrics_enabled() is enabled
    assert len(caplog.records) == warnings

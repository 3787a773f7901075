"""Arguments in code: checked, put over the environment, and refused with their name and value."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from otel_etw import environment, variables
from otel_etw.errors import EncodeError
from otel_etw.options import (
    WriterOptions,
    drop_oversize_option,
    event_name_option,
    flag_option,
    level_option,
    provider_group_option,
    writer_options,
)
from otel_etw.tracelogging.provider_id import provider_id

GROUP = UUID("01234567-89ab-cdef-0123-456789abcdef")
OTHER_GROUP = UUID("fedcba98-7654-3210-fedc-ba9876543210")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in environment.VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setattr(variables, "_complained", {})


def test_defaults() -> None:
    """What applies when nothing is said anywhere."""
    assert writer_options() == WriterOptions(
        provider_name="OpenTelemetry_Python",
        provider_id=provider_id("OpenTelemetry_Python"),
        resource_attributes=frozenset(),
        keyword=1,
        activity_id=None,
        provider_group=None,
        mark_utf8=False,
        drop_oversize=False,
    )


ENVIRONMENT = {
    "PROVIDER_NAME": "From-Environment",
    "ETW_ONLY_NAME": "true",
    "RESOURCE_ATTRIBUTES": "host.name,os.type",
    "KEYWORD": "0x20",
    "ACTIVITY_ID": "span",
    "PROVIDER_GROUP": str(GROUP),
    "MARK_UTF8": "true",
    "OVERSIZE": "drop",
}


def test_the_environment_stands_for_what_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option has its variable."""
    for suffix, text in ENVIRONMENT.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_ETW_{suffix}", text)
    assert writer_options() == WriterOptions(
        provider_name="From-Environment",
        provider_id=provider_id("From-Environment"),
        resource_attributes=frozenset({"host.name", "os.type"}),
        keyword=32,
        activity_id="span",
        provider_group=GROUP,
        mark_utf8=True,
        drop_oversize=True,
    )


def test_arguments_go_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that say no, none, or nothing."""
    for suffix, text in ENVIRONMENT.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_ETW_{suffix}", text)
    assert writer_options(
        provider_name="In_code",
        etw_only_name=False,
        resource_attributes=[],
        keyword=0,
        activity_id="none",
        provider_group="none",
        mark_utf8=False,
        oversize="truncate",
    ) == WriterOptions(
        provider_name="In_code",
        provider_id=provider_id("In_code"),
        resource_attributes=frozenset(),
        keyword=0,
        activity_id=None,
        provider_group=None,
        mark_utf8=False,
        drop_oversize=False,
    )
    given = writer_options(
        etw_only_name=True,
        resource_attributes={"a", "b"},
        keyword=2**64 - 1,
        activity_id="trace",
        provider_group=OTHER_GROUP,
    )
    assert (given.resource_attributes, given.keyword) == ({"a", "b"}, 2**64 - 1)
    assert (given.activity_id, given.provider_group) == ("trace", OTHER_GROUP)
    assert writer_options(provider_group="{" + str(OTHER_GROUP).upper() + "}").provider_group == OTHER_GROUP


def test_invalid_variables_do_not_matter_where_the_argument_is_given(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not read is not complained about."""
    for suffix in ENVIRONMENT:
        monkeypatch.setenv(f"OTEL_EXPORTER_ETW_{suffix}", "!")
    writer_options(
        provider_name="In_code",
        etw_only_name=False,
        resource_attributes=(),
        keyword=1,
        activity_id="span",
        provider_group=GROUP,
        mark_utf8=True,
        oversize="drop",
    )
    assert not caplog.records


def test_several_invalid_variables_are_one_warning_each(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three exporters of one process read them, the log has them once."""
    for suffix in ENVIRONMENT:
        monkeypatch.setenv(f"OTEL_EXPORTER_ETW_{suffix}", "!")
    for _ in range(3):
        assert writer_options(resource_attributes=()) == writer_options(**EVERY_DEFAULT)
    complained = [line.getMessage().partition(" ")[0] for line in caplog.records]
    expected = {f"OTEL_EXPORTER_ETW_{suffix}" for suffix in ENVIRONMENT if suffix != "RESOURCE_ATTRIBUTES"}
    assert sorted(complained) == sorted(expected)


EVERY_DEFAULT: dict[str, Any] = {
    "provider_name": "OpenTelemetry_Python",
    "etw_only_name": False,
    "resource_attributes": (),
    "keyword": 1,
    "activity_id": "none",
    "provider_group": "none",
    "mark_utf8": False,
    "oversize": "truncate",
}


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("provider_name", 5, TypeError),
        ("provider_name", b"My_Service", TypeError),
        ("provider_name", "", EncodeError),
        ("provider_name", "My-Service", EncodeError),
        ("provider_name", "a b", EncodeError),
        ("provider_name", "x" * 234, EncodeError),
        ("etw_only_name", "true", TypeError),
        ("etw_only_name", 1, TypeError),
        ("resource_attributes", "service.name", TypeError),
        ("resource_attributes", 5, TypeError),
        ("resource_attributes", ["host.name", 5], TypeError),
        ("resource_attributes", b"ab", TypeError),
        ("keyword", True, TypeError),
        ("keyword", "1", TypeError),
        ("keyword", 1.0, TypeError),
        ("keyword", -1, EncodeError),
        ("keyword", 2**64, EncodeError),
        ("activity_id", "both", EncodeError),
        ("activity_id", "Trace", EncodeError),
        ("activity_id", True, TypeError),
        ("activity_id", GROUP, TypeError),
        ("provider_group", "mine", EncodeError),
        ("provider_group", "", EncodeError),
        ("provider_group", 5, TypeError),
        ("provider_group", GROUP.bytes, TypeError),
        ("mark_utf8", "yes", TypeError),
        ("mark_utf8", 0, TypeError),
        ("oversize", "cut", EncodeError),
        ("oversize", True, TypeError),
        ("keyword", Unprintable(), TypeError),
    ],
)
def test_invalid_arguments_raise(argument: str, value: Any, error: type[Exception]) -> None:
    """The message names the argument and shows what was given."""
    with pytest.raises(error) as raised:
        writer_options(**{argument: value})
    message = str(raised.value)
    assert message.startswith(argument)
    shown = "an object that cannot be shown" if isinstance(value, Unprintable) else repr(value)[:40]
    if value == ["host.name", 5]:
        shown = "5 (int)"
    assert shown in message or (value == "" and "empty" in message)
    assert len(message) < 300


@pytest.mark.parametrize(
    ("option", "value", "error", "words"),
    [
        (flag_option, 1, TypeError, "argument must be True or False, not 1 (int)"),
        (flag_option, "x" * 200, TypeError, "argument must be True or False, not 'xxx"),
        (event_name_option, "", EncodeError, "event_name must not be empty or contain NUL, not ''"),
        (
            event_name_option,
            "a\0b",
            EncodeError,
            "event_name must not be empty or contain NUL, not 'a\\x00b'",
        ),
        (event_name_option, 5, TypeError, "event_name must be text or a function, not 5 (int)"),
        (level_option, 0, EncodeError, "level must be 1 (critical) to 5 (verbose), not 0"),
        (level_option, 6, EncodeError, "level must be 1 (critical) to 5 (verbose), not 6"),
        (level_option, True, TypeError, "level must be an integer or a function, not True (bool)"),
        (level_option, "5", TypeError, "level must be an integer or a function, not '5' (str)"),
    ],
)
def test_invalid_arguments_of_one_signal_raise(
    option: Any, value: Any, error: type[Exception], words: str
) -> None:
    """The same for what only some exporters take."""
    arguments = ("argument", value, bool) if option is flag_option else (value, str)
    with pytest.raises(error) as raised:
        option(*arguments)
    assert str(raised.value).startswith(words)


def test_arguments_of_one_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given ones are kept, functions too; the environment stands for the others."""
    monkeypatch.setenv("OTEL_EXPORTER_ETW_LOG_EVENT_NAME", "Entry")
    monkeypatch.setenv("OTEL_EXPORTER_ETW_SPAN_LEVEL", "4")
    monkeypatch.setenv("OTEL_EXPORTER_ETW_EXTENDED", "true")
    monkeypatch.setenv("OTEL_EXPORTER_ETW_PROVIDER_GROUP", str(GROUP))
    monkeypatch.setenv("OTEL_EXPORTER_ETW_OVERSIZE", "drop")

    def function(item: object) -> Any:
        raise NotImplementedError

    assert event_name_option(None, environment.log_event_name) == "Entry"
    assert event_name_option("Mine", environment.log_event_name) == "Mine"
    assert event_name_option(function, environment.log_event_name) is function
    assert level_option(None, environment.span_level) == 4
    assert level_option(1, environment.span_level) == 1
    assert level_option(function, environment.span_level) is function
    assert flag_option("extended", None, environment.extended) is True
    assert flag_option("extended", False, environment.extended) is False
    assert provider_group_option(None) == GROUP
    assert drop_oversize_option(None) is True
    assert drop_oversize_option("truncate") is False

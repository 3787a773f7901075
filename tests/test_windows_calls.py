"""How calls into Windows are reached: late, through ``ctypes.WinDLL`` as it stands, with errors in words."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any

import pytest

from etw_double import EtwDouble
from otel_etw.errors import OtelEtwError
from otel_etw.windows import libraries
from otel_etw.windows.error_codes import ErrorCode, WindowsCallError, meaning
from otel_etw.windows.libraries import bind, function_type, is_windows, library
from otel_etw.windows.provider_functions import provider_functions
from otel_etw.windows.session_functions import consumer_functions, control_functions, wide

IMPORT_EVERYTHING = """
import sys
import importlib, pkgutil, ctypes, uuid
import opentelemetry.sdk._logs, opentelemetry.sdk.metrics, opentelemetry.sdk.trace

opened = []
sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if event == "ctypes.dlopen" else None)
real = ctypes.CDLL
ctypes.WinDLL = lambda name, *arguments, **options: opened.append(name) or real(None)

import otel_etw
names = ["otel_etw.logs", "otel_etw.spans", "otel_etw.metrics"]
for room in ("windows", "providers", "sessions", "tracelogging", "layouts", "etl"):
    package = importlib.import_module("otel_etw." + room)
    names += [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(len(names), opened)

from otel_etw.windows.provider_functions import provider_functions
try:
    provider_functions()
except Exception:
    pass
print(opened[:1])
"""


def test_importing_opens_no_library() -> None:
    """Neither the write half nor sessions nor the readers: the first call into Windows does."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    imported, asked = done.stdout.splitlines()
    count, _, opened = imported.partition(" ")
    assert int(count) > 40
    assert opened == "[]"
    assert asked == "['advapi32']"


def test_a_library_is_opened_from_the_systems_folder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from beside the program; with the thread's last error kept."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def opener(name: str, **options: Any) -> object:
        asked.append((name, options))
        return object()

    monkeypatch.setattr(ctypes, "WinDLL", opener, raising=False)
    assert library("advapi32") is library("advapi32")
    assert asked == [("advapi32", {"use_last_error": True, "winmode": 0x800})]


def test_where_there_is_no_windows_a_call_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ctypes, "WinDLL", raising=False)
    assert not is_windows()
    with pytest.raises(WindowsCallError, match=r"^opening advapi32: this system is not Windows$") as caught:
        provider_functions()
    assert caught.value.code == 0


def test_a_library_that_cannot_be_opened_is_an_error_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def opener(name: str, **options: Any) -> object:
        problem = OSError("it is broken")
        problem.winerror = 126  # type: ignore[attr-defined, unused-ignore]
        raise problem

    monkeypatch.setattr(ctypes, "WinDLL", opener, raising=False)
    with pytest.raises(WindowsCallError, match=r"^opening tdh: it is broken$") as caught:
        library("tdh")
    assert caught.value.code == 126


def test_a_missing_function_is_an_error_that_names_it(etw_double: EtwDouble) -> None:
    with pytest.raises(WindowsCallError, match=r"^looking up EventDance: advapi32 has no such function$"):
        bind("advapi32", "EventDance", ctypes.c_uint32, ())


def test_an_older_windows_has_no_traits(etw_double: EtwDouble) -> None:
    """Without EventSetInformation the rest is there."""
    etw_double.hide("EventSetInformation")
    functions = provider_functions()
    assert functions.event_set_information is None
    assert functions.event_provider_enabled(12345, 1, 1) == 0


def test_each_binding_has_a_prototype_of_its_own(etw_double: EtwDouble) -> None:
    """Somebody else's prototype for the same function changes nothing here."""
    ours = bind("advapi32", "EventUnregister", ctypes.c_uint32, (ctypes.c_uint64,))
    other = bind("advapi32", "EventUnregister", ctypes.c_uint8, ())
    assert (ours.restype, ours.argtypes) == (ctypes.c_uint32, (ctypes.c_uint64,))
    assert (other.restype, other.argtypes) == (ctypes.c_uint8, ())
    assert ours(2**64 - 1) == ErrorCode.INVALID_HANDLE


def test_functions_are_bound_to_what_stands_there_at_that_time(
    etw_double: EtwDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every function there is, of the double; of something else as soon as that stands there."""
    bound = (*provider_functions(), *control_functions(), *consumer_functions())
    assert all(callable(function) for function in bound)
    monkeypatch.delattr(ctypes, "WinDLL")
    with pytest.raises(WindowsCallError):
        control_functions()


def test_callbacks_have_windows_calling_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    """``WINFUNCTYPE`` where there is one: with 32-bit pointers that is another one than C's."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ctypes, "WINFUNCTYPE", lambda *types: asked.append(types), raising=False)
    function_type(None, ctypes.c_void_p)
    assert asked == [(None, ctypes.c_void_p)]


def test_names_become_utf_16_with_a_nul() -> None:
    assert wide("Größe 日") == "Größe 日\0".encode("utf-16-le")
    assert wide("\ud83d") == b"\x3d\xd8\0\0"
    with pytest.raises(ValueError, match="NUL"):
        wide("a\0b")


def test_the_last_error_is_the_threads_own(etw_double: EtwDouble) -> None:
    """What ``OpenTraceW`` leaves when it fails."""
    etw_double.fail_next("OpenTraceW", 5)
    consumer_functions().open_trace(None)
    assert libraries.last_error() == ErrorCode.ACCESS_DENIED


@pytest.mark.parametrize("code", list(ErrorCode), ids=lambda code: code.name)
def test_a_meaning_has_name_and_number(code: ErrorCode) -> None:
    assert f"{code.name}, Windows error {int(code)}" in meaning(code)


def test_missing_rights_are_explained() -> None:
    """What one has to be, word for word, and that a new membership needs a new logon."""
    words = meaning(5)
    assert "administrator" in words
    assert '"Performance Log Users"' in words
    assert "log on again" in words


def test_an_unknown_code_is_given_as_it_is() -> None:
    assert meaning(31337) == "Windows error 31337"


def test_a_call_error_says_what_was_done_and_why_not() -> None:
    """It is an error of ours and of the system's, and keeps Windows' number."""
    error = WindowsCallError("starting the session", 183)
    assert isinstance(error, OtelEtwError)
    assert isinstance(error, OSError)
    assert (error.what, error.code) == ("starting the session", 183)
    assert str(error).startswith("starting the session: a session of that name is running")
    assert str(WindowsCallError("x", 5, "no")) == "x: no"

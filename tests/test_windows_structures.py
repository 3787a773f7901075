"""ETW's structures, ours in ctypes and the double's in C, against what a compiler printed from the Windows
headers (spec/win64-struct-layouts.json) and against the headers themselves."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from etw_building import NATIVE, DoubleUnavailable, compiler
from otel_etw.windows import provider_functions, session_functions
from otel_etw.windows.error_codes import ErrorCode
from otel_etw.windows.structures import STRUCTURES
from shared_files import SHARED

LAYOUTS = SHARED / "spec" / "win64-struct-layouts.json"
MINGW = shutil.which("x86_64-w64-mingw32-gcc")

needs_64_bits = pytest.mark.skipif(
    ctypes.sizeof(ctypes.c_void_p) != 8, reason="the layouts known are those of 64-bit Windows"
)
needs_mingw = pytest.mark.skipif(MINGW is None, reason="x86_64-w64-mingw32-gcc is not installed")

Fields = dict[str, tuple[int, int]]
"""Offset and size of each field, in bytes."""


@cache
def layouts() -> dict[str, Any]:
    if not LAYOUTS.exists():
        pytest.skip(f"structure layouts not found: {LAYOUTS}")
    document: dict[str, Any] = json.loads(LAYOUTS.read_text(encoding="utf-8"))
    return document


def expected_fields(name: str) -> Fields:
    """Of a structure in the file. Of its bit fields only those that begin a unit: Linkage, VersionNumber."""
    structure = layouts()["structs"][name]
    units = {field: spec for field, spec in structure.get("bitfields", {}).items() if spec["bit"] == 0}
    return {field: (spec["offset"], spec["size"]) for field, spec in {**structure["fields"], **units}.items()}


def fields_of(structure: type[ctypes.Structure | ctypes.Union], base: int = 0) -> Fields:
    """What ctypes made of it, members of unnamed unions and structures included."""
    found: Fields = {}
    for name, kind, *_ in structure._fields_:
        place = getattr(structure, name)
        if name in getattr(structure, "_anonymous_", ()):
            assert issubclass(kind, ctypes.Structure | ctypes.Union)
            found |= fields_of(kind, base + place.offset)
        else:
            found[name] = (base + place.offset, place.size)
    return found


@needs_64_bits
@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_structures_are_those_of_the_headers(name: str) -> None:
    """Size, alignment, and each field's name, offset and size."""
    structure, expected = STRUCTURES[name], layouts()["structs"][name]
    assert ctypes.sizeof(structure) == expected["size"]
    assert ctypes.alignment(structure) == expected["align"]
    assert fields_of(structure) == expected_fields(name)


def test_the_type_of_a_data_descriptor_is_the_low_byte_of_its_last_field() -> None:
    """The newer headers give that byte a name; the rest of the field stays 0."""
    aliases = layouts()["structs"]["EVENT_DATA_DESCRIPTOR"]["sdk_only_aliases"]
    descriptor = STRUCTURES["EVENT_DATA_DESCRIPTOR"](Reserved=2)
    data = bytes(descriptor)
    values = {
        name: int.from_bytes(data[place["offset"] : place["offset"] + place["size"]], "little")
        for name, place in aliases.items()
    }
    assert values == {"Type": 2, "Reserved1": 0, "Reserved2": 0}


def test_constants_are_those_of_the_headers() -> None:
    """Codes and invalid handles that calls are made with."""
    constants = layouts()["constants"] | layouts()["constants_not_in_mingw_10"]
    ours = {
        "EventProviderSetTraits": provider_functions.SET_TRAITS,
        "EVENT_CONTROL_CODE_DISABLE_PROVIDER": provider_functions.DISABLE,
        "EVENT_CONTROL_CODE_ENABLE_PROVIDER": provider_functions.ENABLE,
        "EVENT_CONTROL_CODE_CAPTURE_STATE": provider_functions.CAPTURE_STATE,
        "EVENT_TRACE_CONTROL_QUERY": session_functions.QUERY,
        "EVENT_TRACE_CONTROL_STOP": session_functions.STOP,
        "EVENT_TRACE_CONTROL_UPDATE": session_functions.UPDATE,
        "EVENT_TRACE_CONTROL_FLUSH": session_functions.FLUSH,
        "INVALID_PROCESSTRACE_HANDLE": session_functions.INVALID_PROCESSTRACE_HANDLE,
    }
    assert ours == {name: constants[name] for name in ours}


def own_structures() -> list[str]:
    """Windows' names of the structures that the double declares."""
    return re.findall(r"^\} etw_(\w+);", (NATIVE / "etw_structures.h").read_text(), re.MULTILINE)


def assertions(name: str) -> list[str]:
    """C that does not compile unless the double's structure is as in the file."""
    expected = layouts()["structs"][name]
    aliases = expected.get("sdk_only_aliases", {})
    fields = expected_fields(name) | {
        alias: (place["offset"], place["size"]) for alias, place in aliases.items()
    }
    kind = f"etw_{name}"
    conditions = [f"sizeof({kind}) == {expected['size']}", f"_Alignof({kind}) == {expected['align']}"]
    for field, (offset, size) in fields.items():
        conditions.append(f"offsetof({kind}, {field}) == {offset}")
        conditions.append(f"sizeof((({kind} *)0)->{field}) == {size}")
    return [f'_Static_assert({condition}, "{condition}");' for condition in conditions]


def compile_only(compile_with: str, source: Path) -> subprocess.CompletedProcess[str]:
    options = ("-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}")
    return subprocess.run(
        [compile_with, *options, str(source)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def native_compiler() -> str:
    try:
        return compiler()
    except DoubleUnavailable as reason:
        pytest.skip(str(reason))


@needs_64_bits
def test_the_doubles_structures_are_those_of_the_file(tmp_path: Path) -> None:
    """A compiler says so, for each field; and it would say otherwise."""
    names = [name for name in own_structures() if name in layouts()["structs"]]
    assert set(STRUCTURES) <= set(names)
    source = tmp_path / "layouts.c"
    lines = ['#include "etw_structures.h"', *(line for name in names for line in assertions(name))]
    source.write_text("\n".join(lines) + "\n")
    done = compile_only(native_compiler(), source)
    assert (done.returncode, done.stderr) == (0, "")
    source.write_text(source.read_text().replace("RealTimeBuffersLost) == 100", "RealTimeBuffersLost) == 96"))
    assert compile_only(native_compiler(), source).returncode != 0


@needs_mingw
def test_the_doubles_structures_are_those_of_the_windows_headers() -> None:
    """``etw_layouts.c`` names each structure of the double, and compiles against evntprov.h and its kin."""
    source = NATIVE / "etw_layouts.c"
    assert re.findall(r"^SIZE\((\w+)\)", source.read_text(), re.MULTILINE) == own_structures()
    done = compile_only(str(MINGW), source)
    assert (done.returncode, done.stderr) == (0, "")


@needs_mingw
def test_error_codes_are_those_of_winerror_h(tmp_path: Path) -> None:
    source = tmp_path / "codes.c"
    lines = [f'_Static_assert(ERROR_{code.name} == {int(code)}, "{code.name}");' for code in ErrorCode]
    source.write_text("\n".join(["#include <windows.h>", *lines]) + "\n")
    done = compile_only(str(MINGW), source)
    assert (done.returncode, done.stderr) == (0, "")

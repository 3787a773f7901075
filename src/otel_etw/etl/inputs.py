"""What a person may name where traces are read: files, directories, globs, ``-``, archives and their members.

:func:`expand` says which traces there are, :func:`open_input` opens one. What a file is its first bytes say,
not its name. Compressed ones are unpacked into an unnamed file first, since a trace is not read from one end
to the other; what is wrong with an archive becomes damage of the trace.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO

from otel_etw.errors import OtelEtwError, TraceFileError
from otel_etw.etl import finding, zip_members
from otel_etw.etl.damage import NO_BUFFER, DamageEntry, DamageKind
from otel_etw.etl.reader import Trace
from otel_etw.etl.source import Source
from otel_etw.etl.spool import spooled
from otel_etw.etl.trace_header import HEADER_READ_BYTES, looks_like_trace, parse_trace_header
from otel_etw.etl.unpacking import PIECE_BYTES, ZIP_MAGICS, Notes, Pieces, other_archive, peeked, unpacked
from otel_etw.etl.zip_members import Member

STANDARD_INPUT = "-"
_MEMBER_MARK = "!"
_HEAD_BYTES = 512
_MOST_NAMES = 3
"""Members that a message names."""


@dataclass(frozen=True)
class Input:
    """One trace to be read; can be pickled."""

    label: str
    """What to call it: the path, ``archive.zip!member.etl``, or ``-``."""
    path: str
    """Of the file that holds it, or ``-``."""
    member: str | None = None
    """Its name in that file, if that is a ``.zip``."""
    is_named: bool = True
    """Whether the argument was the trace itself, and not a directory, glob or archive that it was in."""


def expand(arguments: Sequence[str | os.PathLike[str]], notes: list[str] | None = None) -> list[Input]:
    """The traces that ``arguments`` stand for, in their order, each once.

    An argument is a file, a directory (its ``.etl``, ``.etl.gz``, ``.etl.zst`` and ``.zip`` files at any
    depth), a glob of ``*``, ``?`` and ``**``, ``-`` for standard input, or ``archive.zip!member.etl``; a path
    that exists is taken for that, whatever is in its name. What was found, but is no trace or cannot be read,
    is left out with a line in ``notes``, unless an argument has nothing else.

    Raises ``OSError`` for a path that does not exist and for a glob or directory without traces,
    :class:`.TraceFileError` for an archive without.
    """
    found: dict[tuple[str, str | None], Input] = {}
    said: list[str] = [] if notes is None else notes
    for argument in arguments:
        for one in _of_argument(os.fspath(argument), said):
            found.setdefault((_real(one.path), one.member), one)
    return list(found.values())


def open_input(one: Input, *, limit_bytes: int | None = None) -> Trace:
    """Open a trace. ``limit_bytes`` bounds what is unpacked: by default 64 GiB or what the disk has free.

    Raises what :func:`.open_etl` raises, :class:`.TraceFileError` also for what is larger when unpacked.
    """
    if one.path == STANDARD_INPUT:
        return _open_standard_input(one.label, limit_bytes)
    with _where(one.label):
        if one.member is None:
            source = Source(one.path)
            if looks_like_trace(source.read(0, _HEAD_BYTES)):
                return _opened(one.label, source, one.path, [])
            source.close()
        with open(one.path, "rb") as file:
            return _open_packed(one.label, file, one.member, limit_bytes)


def open_single(path: str) -> Trace:
    """Open the one trace that ``path`` stands for.

    Raises what :func:`expand` and :func:`open_input` do, and :class:`.TraceFileError` if there are several.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "expected a trace file, found a directory", path)
    found = expand([path])
    if len(found) > 1:
        names = [one.label for one in found[:_MOST_NAMES]]
        more = ", ..." if len(found) > len(names) else ""
        raise TraceFileError(f"expected one trace, found {len(found)}: {', '.join(names)}{more}", where=path)
    return open_input(found[0])


# --- finding --------------------------------------------------------------------------------------


def _of_argument(text: str, notes: list[str]) -> list[Input]:
    if text == STANDARD_INPUT:
        return [Input(text, text)]
    if os.path.isdir(text):
        return _of_found(finding.files_below(text), notes) or _nothing(
            text, "no trace file in this directory"
        )
    if os.path.lexists(text):
        return _of_file(text, notes, is_named=True)
    archive, member = _split_member(text)
    if member is not None:
        return [Input(text, archive, member)]
    if finding.has_wildcards(text):
        return _of_found(_of_glob(text), notes) or _nothing(text, "no file fits")
    return _nothing(text, os.strerror(errno.ENOENT))


def _nothing(path: str, why: str) -> list[Input]:
    raise FileNotFoundError(errno.ENOENT, why, path)


def _of_glob(pattern: str) -> Iterator[str]:
    for path in finding.matching(pattern):
        if os.path.isdir(path):
            yield from finding.files_below(path)
        else:
            yield path


def _of_found(paths: Iterator[str], notes: list[str]) -> list[Input]:
    """The traces in ``paths``; raises what is wrong with the first one if there are none."""
    found: list[Input] = []
    first: Exception | None = None
    for path in paths:
        try:
            found += _of_file(path, notes, is_named=False)
        except (OtelEtwError, OSError) as error:
            first = first or error
            notes.append(str(error))
    if not found and first is not None:
        raise first
    return found


def _of_file(path: str, notes: list[str], *, is_named: bool) -> list[Input]:
    """The trace or traces in one file. One that is named is not looked at closely: opening it says more."""
    with _where(path):
        source = Source(path)
        head = source.read(0, _HEAD_BYTES)
        source.close()
        if not looks_like_trace(head):
            if head.startswith(ZIP_MAGICS):
                with open(path, "rb") as file:
                    return [
                        Input(f"{path}{_MEMBER_MARK}{m.name}", path, m.name, False)
                        for m in _traces(file, path, notes)
                    ]
            if not is_named:
                with open(path, "rb") as file:
                    _checked_header(path, _pieces(file.read), [])
    return [Input(path, path, is_named=is_named)]


def _traces(file: IO[bytes], path: str, notes: list[str]) -> list[Member]:
    """The members of an archive that are traces. Raises :class:`.TraceFileError` if there is none."""
    members, problem = zip_members.members(file)
    found, left_out = [], []
    for member in members:
        why = member.unreadable()
        if why is None:
            try:
                _checked_header(member.name, zip_members.contents(file, member, []), [])
            except TraceFileError:
                why = "is no trace"
            except OtelEtwError as error:
                why = str(error)
        if why is None:
            found.append(member)
        else:
            left_out.append(f"{member.name} {why}")
    if not found:
        what = _listed(left_out) if left_out else problem or "no files"
        raise TraceFileError(f"expected a trace in the archive, found none: {what}", where=path)
    if left_out:
        notes.append(f"{path}: left out: {_listed(left_out)}")
    return found


def _listed(parts: Sequence[str]) -> str:
    more = len(parts) - _MOST_NAMES
    return "; ".join(parts[:_MOST_NAMES]) + (f"; and {more} more" if more > 0 else "")


def _split_member(text: str) -> tuple[str, str | None]:
    """``archive.zip!member.etl`` in its parts, if there is such an archive."""
    at = text.find(_MEMBER_MARK)
    while at >= 0:
        if os.path.isfile(text[:at]) and text[at + 1 :]:
            return text[:at], text[at + 1 :]
        at = text.find(_MEMBER_MARK, at + 1)
    return text, None


def _real(path: str) -> str:
    return path if path == STANDARD_INPUT else os.path.normcase(os.path.realpath(path))


# --- opening --------------------------------------------------------------------------------------


def _opened(label: str, source: Source, path: str | None, notes: Notes) -> Trace:
    size_bytes = source.size()
    header = parse_trace_header(source.read(0, min(size_bytes, HEADER_READ_BYTES)))
    found = [DamageEntry(DamageKind.ARCHIVE, at, NO_BUFFER, why) for at, why in notes]
    return Trace(label, source, size_bytes, header, file_path=path, found_before=found)


def _open_packed(label: str, file: IO[bytes], name: str | None, limit_bytes: int | None) -> Trace:
    """The trace in a compressed file, or in the member ``name`` of an archive (if ``None``, the only one)."""
    notes: Notes = []
    if not file.read(_HEAD_BYTES).startswith(ZIP_MAGICS):
        if name is not None:
            raise TraceFileError("expected a .zip archive before the !, found a file of another kind")
        file.seek(0)
        return _unpacked_trace(label, _pieces(file.read), notes, limit_bytes)
    members, problem = zip_members.members(file)
    member = _chosen(file, members, name)
    if problem is not None:
        notes.append((0, problem))
    return _unpacked_trace(label, zip_members.contents(file, member, notes), notes, limit_bytes)


def _chosen(file: IO[bytes], members: Sequence[Member], name: str | None) -> Member:
    if name is None:
        traces = _traces(file, "", [])
        if len(traces) > 1:
            names = ", ".join(member.name for member in traces[:_MOST_NAMES])
            raise TraceFileError(f"expected one trace in the archive, found {len(traces)}: {names}")
        return traces[0]
    wanted = name.replace("\\", "/")
    member = next((member for member in members if member.name.replace("\\", "/") == wanted), None)
    if member is None:
        names = _listed([member.name for member in members]) or "none"
        raise TraceFileError(f"expected a member {name} in the archive, found {names}")
    why = member.unreadable()
    if why is not None:
        raise TraceFileError(f"expected a readable member, but {name} {why}")
    return member


def _unpacked_trace(label: str, pieces: Pieces, notes: Notes, limit_bytes: int | None) -> Trace:
    pieces = _checked_header(label, pieces, notes)
    source = Source.of_descriptor(spooled(pieces, label, limit_bytes))
    return _opened(label, source, source.shared_path(), notes)


def _checked_header(label: str, pieces: Pieces, notes: Notes) -> Iterator[bytes]:
    """``pieces`` unpacked, after a look at their start: :class:`.TraceFileError` if that is no trace's."""
    head, whole = peeked(unpacked(pieces, notes), HEADER_READ_BYTES)
    try:
        parse_trace_header(head[:HEADER_READ_BYTES])
    except TraceFileError as error:
        kind = "a zip archive" if head.startswith(ZIP_MAGICS) else other_archive(head)
        if kind is not None:
            raise TraceFileError(f"expected a trace, found {kind}; unpack it first", where=label) from None
        problem = "; ".join([error.problem, *(why for _, why in notes)])
        raise TraceFileError(problem, offset=error.offset, where=label) from None
    return whole


def _open_standard_input(label: str, limit_bytes: int | None) -> Trace:
    stream: IO[bytes] | None = getattr(sys.stdin, "buffer", None)
    if stream is None or stream.isatty():
        found = "none" if stream is None else "a terminal"
        raise TraceFileError(f"expected a trace on standard input, found {found}", where=label)
    with _where(label):
        head, pieces = peeked(_pieces(stream.read), _HEAD_BYTES)
        if not head.startswith(ZIP_MAGICS):
            return _unpacked_trace(label, pieces, [], limit_bytes)
        with os.fdopen(spooled(pieces, label, limit_bytes), "rb") as file:
            file.seek(0)
            return _open_packed(label, file, None, limit_bytes)


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    return iter(partial(read, PIECE_BYTES), b"")


@contextmanager
def _where(label: str) -> Iterator[None]:
    """Errors that do not say of which file they speak get ``label``."""
    try:
        yield
    except TraceFileError as error:
        if error.where:
            raise
        raise TraceFileError(error.problem, offset=error.offset, where=label) from None
    except OSError as error:
        if error.filename is None:
            error.filename = label
        raise

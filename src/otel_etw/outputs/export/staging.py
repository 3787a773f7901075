"""Files and directories that are whole before anybody sees them under their names.

Everything is written beside its place under a hidden name (``.logs.parquet.<random>.tmp``).
:meth:`Staging.commit` makes sure of the bytes (fsync), then renames; whatever ends ``with`` before that
removes what there is.  A process that is killed leaves hidden names and nothing else.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import final

from otel_etw.errors import ExportError


@dataclass
class _Staged:
    hidden: Path
    final: Path


@final
class Staging:
    """What one export will have written; ``overwrite`` allows it to replace what stands at its places."""

    def __init__(self, *, overwrite: bool = False) -> None:
        self._overwrite = overwrite
        self._staged: list[_Staged] = []
        self._stale: list[Path] = []
        self._new_directories: list[Path] = []

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for staged in self._staged:
            _remove(staged.hidden)
        self._staged.clear()
        for directory in reversed(self._new_directories):
            try:
                directory.rmdir()
            except OSError:
                break  # not empty: it is in use
        self._new_directories.clear()

    def check_free(self, final: Path, *, ours: str = "") -> None:
        """Raise :class:`ExportError` if ``final`` is there and may not be replaced.

        A directory may be only if it holds nothing but files whose names end in ``ours``.
        """
        if not os.path.lexists(final):
            return
        if not self._overwrite:
            raise ExportError(f"{final} exists; --overwrite replaces it")
        if final.is_dir() and not final.is_symlink():
            for _, _, names in os.walk(final):
                if not ours or not all(name.endswith(ours) for name in names):
                    raise ExportError(f"{final} is a directory with other files in it, and is not replaced")

    def file(self, final: Path) -> Path:
        """The hidden name, in the same directory, of a new and empty file that becomes ``final``."""
        hidden = self._hidden(final)
        hidden.open("xb").close()
        return hidden

    def directory(self, final: Path) -> Path:
        """As :meth:`file`, for a directory of any number of files."""
        hidden = self._hidden(final)
        hidden.mkdir()
        return hidden

    def stale(self, final: Path) -> None:
        """Have ``final``, of an earlier export, removed at the commit; only if it may be replaced."""
        if self._overwrite and os.path.lexists(final):
            self._stale.append(final)

    def size_bytes(self) -> int:
        """The length of all files so far."""
        return sum(path.stat().st_size for staged in self._staged for path in _files_below(staged.hidden))

    def commit(self) -> None:
        """Give everything its name. What stands at a place by now is replaced only if that is allowed.

        If a name cannot be given, those given before it are taken back, unless they replaced something.
        """
        for staged in self._staged:
            for path in _files_below(staged.hidden):
                _fsync(path)
        placed = []
        try:
            while self._staged:
                self._place(self._staged[0])
                placed.append(self._staged.pop(0).final)
        except BaseException:
            for path in () if self._overwrite else placed:
                _remove(path)
            raise
        for directory in {path.parent for path in placed}:
            _fsync_directory(directory)
        for path in self._stale:
            self.check_free(path, ours=_PARQUET_ENDING)
            _remove(_set_aside(path))
        self._new_directories.clear()

    def _hidden(self, final: Path) -> Path:
        self._make_directories(final.parent)
        hidden = _hidden_name(final)
        self._staged.append(_Staged(hidden, final))
        return hidden

    def _make_directories(self, directory: Path) -> None:
        missing = []
        while not directory.is_dir():
            missing.append(directory)
            if directory.parent == directory:
                break
            directory = directory.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._new_directories.append(path)

    def _place(self, staged: _Staged) -> None:
        if staged.hidden.is_dir():
            self._place_directory(staged)
        else:
            self._place_file(staged)

    def _place_file(self, staged: _Staged) -> None:
        if self._overwrite:
            os.replace(staged.hidden, staged.final)
            return
        try:
            # Unlike a rename, a link never replaces what somebody else has put there meanwhile.
            os.link(staged.hidden, staged.final)
        except FileExistsError:
            raise ExportError(f"{staged.final} exists; --overwrite replaces it") from None
        except OSError:
            self.check_free(staged.final)
            os.rename(staged.hidden, staged.final)
        else:
            os.unlink(staged.hidden)

    def _place_directory(self, staged: _Staged) -> None:
        if not os.path.lexists(staged.final):
            os.rename(staged.hidden, staged.final)
            return
        self.check_free(staged.final, ours=_PARQUET_ENDING)
        aside = _set_aside(staged.final)
        os.rename(staged.hidden, staged.final)
        _remove(aside)


_PARQUET_ENDING = ".parquet"
_KEPT_CHARACTERS = 50  # of four bytes at most, so that the hidden name is one a file system takes


def _hidden_name(final: Path) -> Path:
    return final.with_name(f".{final.name[:_KEPT_CHARACTERS]}.{secrets.token_hex(4)}.tmp")


def _set_aside(path: Path) -> Path:
    """Give ``path`` a hidden name, at once and as a whole, to be removed under that."""
    hidden = _hidden_name(path)
    os.rename(path, hidden)
    return hidden


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # still open somewhere, or gone with its directory: the hidden name stays


def _files_below(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [Path(directory, name) for directory, _, names in os.walk(path) for name in names]


def _fsync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _fsync_directory(path: Path) -> None:
    """Make sure of the new name, where directories can be opened for that (not on Windows)."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems refuse it for directories
    finally:
        os.close(descriptor)

"""Every exception this package raises, one short tree.

``OtelEtwError``
    ``EncodeError``         the caller asked for something that has no encoding
    ``DecodeError``         bytes that are not what they claim to be
        ``TraceFileError``  a file that is no trace file at all
    ``ExportError``         a target that is taken, or that does not hold what was asked for
    ``QueryError``          SQL that cannot be answered
    ``SessionError``        a session that cannot be started, changed or stopped
    ``MissingExtraError``   an optional dependency is not installed

Damaged input raises :class:`DecodeError` (or is reported, where a format has a
point to resume at) and nothing else; any other exception is a bug.  The write
half raises only :class:`EncodeError` and ``ValueError``/``TypeError`` for invalid
arguments given in code; whatever the operating system refuses is logged and
counted, since the application being traced must not fail because of it.
"""

from __future__ import annotations


class OtelEtwError(Exception):
    """Base of all exceptions of this package."""


class EncodeError(OtelEtwError, ValueError):
    """The caller asked for an event that cannot be encoded (a NUL in a name, a count out of range)."""


class DecodeError(OtelEtwError, ValueError):
    """Bytes that are not what they claim to be.

    ``problem`` says what was expected and what was found.  ``offset`` is the byte
    offset of the fault inside the piece being decoded (metadata, payload, buffer or
    file, as ``where`` says); ``field`` is the dotted path of the field, if any.
    """

    def __init__(
        self,
        problem: str,
        *,
        offset: int | None = None,
        field: str | None = None,
        where: str | None = None,
    ) -> None:
        self.problem = problem
        self.offset = offset
        self.field = field
        self.where = where
        place = []
        if where is not None:
            place.append(f"in {where}")
        if field is not None:
            place.append(f"field {field!r}")
        if offset is not None:
            place.append(f"at offset {offset:#x}")
        super().__init__(f"{problem} - {', '.join(place)}" if place else problem)


class TraceFileError(DecodeError):
    """The file is no trace file, or its first buffer is too damaged to say how to read the rest."""


class ExportError(OtelEtwError):
    """What was to be written does not fit where it was to go; nothing was written."""


class QueryError(OtelEtwError, ValueError):
    """A query that cannot be answered: what the database says about it, in one line."""


class SessionError(OtelEtwError):
    """A session of ETW cannot be started, asked, changed or stopped; or there is no ETW here.

    ``code`` is Windows' own number for the reason, 0 where it gave none.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class MissingExtraError(OtelEtwError, ImportError):
    """A part was asked for whose dependencies are not installed; the message says what to install."""

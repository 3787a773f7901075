"""What the codes of Windows' calls mean to somebody who records or writes events.

Names and numbers are those of ``winerror.h``; what they mean in practice is from the documentation of the
functions concerned, where it says so.
"""

from __future__ import annotations

from enum import IntEnum

from otel_etw.errors import OtelEtwError


class ErrorCode(IntEnum):
    """Codes that the tracing functions answer."""

    SUCCESS = 0
    FILE_NOT_FOUND = 2
    PATH_NOT_FOUND = 3
    ACCESS_DENIED = 5
    INVALID_HANDLE = 6
    NOT_ENOUGH_MEMORY = 8
    BAD_LENGTH = 24
    SHARING_VIOLATION = 32
    NOT_SUPPORTED = 50
    INVALID_PARAMETER = 87
    DISK_FULL = 112
    CALL_NOT_IMPLEMENTED = 120
    INSUFFICIENT_BUFFER = 122
    INVALID_NAME = 123
    BAD_PATHNAME = 161
    BUSY = 170
    ALREADY_EXISTS = 183
    MORE_DATA = 234
    ARITHMETIC_OVERFLOW = 534
    NOT_FOUND = 1168
    CANCELLED = 1223
    NO_SYSTEM_RESOURCES = 1450
    CTX_CLOSE_PENDING = 7007
    WMI_INSTANCE_NOT_FOUND = 4201


_MEANINGS = {
    ErrorCode.FILE_NOT_FOUND: "there is no such file",
    ErrorCode.PATH_NOT_FOUND: "the folder of the file does not exist",
    ErrorCode.ACCESS_DENIED: "this needs an elevated prompt (administrator) or membership in the group "
    '"Performance Log Users", after which one has to log on again',
    ErrorCode.INVALID_HANDLE: "the provider is not registered, or the session has ended",
    ErrorCode.NOT_ENOUGH_MEMORY: "no buffer has room: events come faster than they are written, or memory is "
    "short",
    ErrorCode.BAD_LENGTH: "the description of the session has a wrong size",
    ErrorCode.SHARING_VIOLATION: "another session or program has the file open",
    ErrorCode.NOT_SUPPORTED: "this Windows cannot do that",
    ErrorCode.INVALID_PARAMETER: "Windows refused an argument",
    ErrorCode.DISK_FULL: "the disk is full, or has less room than Windows asks for: the largest size of the "
    "file, and on the system's own disk another 200 MB",
    ErrorCode.INVALID_NAME: "the file's name cannot be used",
    ErrorCode.BAD_PATHNAME: "the file's path cannot be used, or another session writes that file",
    ErrorCode.ALREADY_EXISTS: "a session of that name is running, or another one writes the same file",
    ErrorCode.MORE_DATA: "the event is larger than a buffer of the session",
    ErrorCode.ARITHMETIC_OVERFLOW: "the event is larger than 64 KiB",
    ErrorCode.CANCELLED: "it was ended from our side",
    ErrorCode.NO_SYSTEM_RESOURCES: "Windows has no more room for sessions (64 in all by default), or a "
    "provider is recorded by eight of them already",
    ErrorCode.WMI_INSTANCE_NOT_FOUND: "no session of that name is running",
}


def meaning(code: int) -> str:
    """What Windows' ``code`` means in words, with the number."""
    try:
        known = ErrorCode(code)
    except ValueError:
        return f"Windows error {code}"
    name = f"{known.name}, Windows error {code}"
    words = _MEANINGS.get(known)
    return f"{words} ({name})" if words else name


class WindowsCallError(OtelEtwError, OSError):
    """A call into Windows did not do what was asked; ``code`` is Windows' own number, 0 if it gave none."""

    def __init__(self, what: str, code: int, why: str | None = None) -> None:
        self.what = what
        self.code = code
        super().__init__(f"{what}: {why if why is not None else meaning(code)}")

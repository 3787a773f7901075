"""Text as events carry it: UTF-8, UTF-16LE and the "8-bit text of some code page" of older producers.

Nothing here fails: what has no encoding becomes U+FFFD, bytes that are no UTF-8 are read as the
code page that Windows tools would assume.
"""

from __future__ import annotations


def utf8(text: str) -> bytes:
    """``text`` as UTF-8; surrogate pairs are joined, a lone surrogate becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return utf16(text).decode("utf-16-le").encode()


def utf16(text: str) -> bytes:
    """``text`` as UTF-16LE without terminator; a lone surrogate becomes U+FFFD."""
    try:
        return text.encode("utf-16-le")
    except UnicodeEncodeError:
        units = text.encode("utf-16-le", "surrogatepass")
        return units.decode("utf-16-le", "replace").encode("utf-16-le")


def from_utf16(data: bytes) -> str:
    """UTF-16LE as text; lone surrogates and an odd last byte become U+FFFD."""
    return data.decode("utf-16-le", "replace")


def from_8bit(data: bytes) -> str:
    """8-bit text of unsaid encoding: UTF-8 if it is valid UTF-8, else code page 1252, else Latin-1.

    Every OpenTelemetry producer writes UTF-8 whatever the out-type says; Windows tools assume
    code page 1252, which leaves five byte values undefined (hence Latin-1, which has all 256).
    """
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")

"""Standard output as the binary stream that writers of a file take."""

from __future__ import annotations

import re
from typing import TextIO, final

from otel_etw.outputs.text import printable

_BETWEEN_LINE_ENDS = re.compile(r"[^\r\n]+")


@final
class StandardOutput:
    """Bytes go to ``stream`` as they are; to a terminal as text, made safe to show. Closing only flushes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        if not self._shown:
            stream.flush()

    def write(self, data: bytes | memoryview) -> int:
        """Write whole lines."""
        if self._shown:
            text = bytes(data).decode("utf-8", "replace")
            self._stream.write(_BETWEEN_LINE_ENDS.sub(lambda line: printable(line[0]), text))
        else:
            self._stream.buffer.write(data)
        return len(data)

    def close(self) -> None:
        """Flush."""
        self._stream.flush()

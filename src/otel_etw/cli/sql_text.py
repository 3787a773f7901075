"""Where a query that is being typed ends."""

from __future__ import annotations

import re

_PIECES = re.compile(
    r"""'(?:[^']|'')*(?:'|\Z)        # a text; one that is still open reaches the end
      | "(?:[^"]|"")*(?:"|\Z)        # a name
      | \$(\w*)\$.*?(?:\$\1\$|\Z)    # a text between dollars
      | --[^\n]*                     # a comment up to the line's end
      | /\*.*?(?:\*/|\Z)             # a comment
      | \s+
      | .""",
    re.DOTALL | re.VERBOSE,
)


def is_complete(text: str) -> bool:
    """Whether ``text`` is nothing, a command (``.help``), or SQL whose last statement has its ``;``."""
    if not text.strip() or text.lstrip().startswith("."):
        return True
    last = ""
    for piece in _PIECES.finditer(text):
        if not piece[0].isspace() and not piece[0].startswith(("--", "/*")):
            last = piece[0]
    return last == ";"

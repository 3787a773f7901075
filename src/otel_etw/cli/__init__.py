"""The command ``otel-etw``: one module per subcommand, each loaded when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run ``otel-etw`` with ``args`` (the process' own by default) and exit.

    Exit codes: 0, 1 for an error of any kind (one line on stderr), 2 for wrong usage, 3 for damage that was
    asked about with ``--strict``, 130 for Ctrl-C.
    """
    try:
        from otel_etw.cli.group import cli
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "click":
            raise
        sys.exit('otel-etw: the command line needs click; install it with: pip install "otel-etw[tools]"')
    from otel_etw.cli.running import run

    # Arrow's default pool keeps what batches took; over a long stream the system's needs some 50 MB less.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    sys.exit(run(cli, args))

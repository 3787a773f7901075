"""How a command ends: errors as one line on stderr with an exit code, closed pipes and Ctrl-C quietly."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence

import click

from otel_etw.errors import OtelEtwError
from otel_etw.outputs.text import printable

EXIT_FAILURE = 1
EXIT_DAMAGED = 3
"""With ``--strict``: everything was done, but a file is damaged."""
EXIT_INTERRUPTED = 130


def run(command: click.Command, args: Sequence[str] | None = None) -> int:
    """Run ``command`` and answer the process' exit code. A closed pipe is a failure, but a silent one."""
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    # What a console's character set lacks is shown as its escape, not as a traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = command.main(
            args=None if args is None else list(args), prog_name="otel-etw", standalone_mode=False
        )
        sys.stdout.flush()
    except click.exceptions.Exit as wanted:
        return wanted.exit_code
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        fail(error.format_message())
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ModuleNotFoundError as missing:
        if (missing.name or "otel_etw").partition(".")[0] == "otel_etw":
            raise
        return fail(f'this needs the module {missing.name!r}; install it with: pip install "otel-etw[tools]"')
    except OSError as error:
        _drop_unwritable_output()
        return EXIT_FAILURE if _is_closed_pipe(error) else fail(os_error_text(error))
    except OtelEtwError as error:
        return fail(str(error))
    return code if isinstance(code, int) else 0


def _usage(error: click.UsageError) -> int:
    """Wrong usage in one line too, with where to read on; a bare ``otel-etw`` asks for its help."""
    message = error.format_message()
    path = error.ctx.command_path if error.ctx else "otel-etw"
    if "\n" in message:
        click.echo(message, err=True)
    else:
        warn(f"{message} (try: {path} --help)")
    return error.exit_code


def fail(message: str) -> int:
    """Say ``message`` on stderr, in one line of safe text; the exit code to end with."""
    warn(message)
    return EXIT_FAILURE


def warn(message: str) -> None:
    """One line on stderr that begins with the command's name."""
    try:
        sys.stderr.write(f"otel-etw: {printable(message)}\n")
    except (UnicodeEncodeError, ValueError, OSError):
        pass  # a stderr that cannot take the line leaves the exit code


def os_error_text(error: OSError) -> str:
    """``FILE: what the system said``, without error numbers."""
    reason = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, (str, bytes)) else reason


def _is_closed_pipe(error: OSError) -> bool:
    # Windows reports a pipe whose reader has gone as EINVAL, without a file name.
    return error.errno == errno.EPIPE or (
        sys.platform == "win32" and error.errno == errno.EINVAL and error.filename is None
    )


def _drop_unwritable_output() -> None:
    """Output that nobody takes would fail again, with a traceback, in the interpreter's own last flush."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        except (OSError, ValueError):
            pass  # no real file behind stdout, hence no last flush to fail
        finally:
            os.close(nowhere)

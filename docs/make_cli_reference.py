"""Write docs/cli.md, the reference of the command line, from the commands' own ``--help``.

python docs/make_cli_reference.py
"""

from __future__ import annotations

from pathlib import Path

import click

from otel_etw.cli.group import cli

HEAD = """# Command line

Made from `--help` by `python docs/make_cli_reference.py`; a test finds what is missing here.

Errors are one line on stderr. Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong,
3 done, but with `--strict` a file is damaged, 130 interrupted.
"""


def reference() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="otel-etw", terminal_width=100, **cli.context_settings)
    parts = [HEAD, f"```text\n{cli.get_help(context).strip()}\n```\n"]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context, terminal_width=100)
        parts.append(f"## {name}\n\n```text\n{command.get_help(inner).strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(reference(), encoding="utf-8")

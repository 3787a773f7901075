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


def sections(command: click.Command, name: str, parent: click.Context) -> list[str]:
    """The section of ``command``, and those of its own subcommands."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100)
    title = context.command_path.partition(" ")[2]
    parts = [f"## {title}\n\n```text\n{command.get_help(context).strip()}\n```\n"]
    if isinstance(command, click.Group):
        for inner_name in command.list_commands(context):
            inner = command.get_command(context, inner_name)
            assert inner is not None
            parts += sections(inner, inner_name, context)
    return parts


def reference() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="otel-etw", terminal_width=100, **cli.context_settings)
    parts = [HEAD, f"```text\n{cli.get_help(context).strip()}\n```\n"]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        parts += sections(command, name, context)
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(reference(), encoding="utf-8")

"""What the documents say of the command line and of the environment is what the code has."""

from __future__ import annotations

from pathlib import Path

import click

from otel_etw import environment
from otel_etw.cli.group import cli

ROOT = Path(__file__).parents[1]


def test_the_command_line_reference_has_every_command_option_and_help_text() -> None:
    """docs/cli.md lacks no command, no option and no sentence of an option's help."""
    page = " ".join(ROOT.joinpath("docs", "cli.md").read_text(encoding="utf-8").split())
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert f"## {name} " in page
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert all(option in page for option in parameter.opts), (name, parameter.opts)
                assert " ".join((parameter.help or "").split()) in page, (name, parameter.opts)


def test_the_readme_lists_every_environment_variable() -> None:
    """Each OTEL_EXPORTER_ETW_* variable that is read is in the README's table."""
    readme = ROOT.joinpath("README.md").read_text(encoding="utf-8")
    names = {value for name, value in vars(environment).items() if name.endswith("_VARIABLE")}
    assert len(names) == 2
    for name in names:
        assert f"| `{name}` |" in readme


def test_the_pages_know_the_public_names() -> None:
    """Every public name is mentioned in the changelog, the README or the architecture page."""
    import otel_etw

    text = "".join(
        ROOT.joinpath(*page).read_text(encoding="utf-8")
        for page in (("CHANGELOG.md",), ("README.md",), ("docs", "architecture.md"))
    )
    for name in otel_etw.__all__:
        assert name == "__version__" or name in text, name

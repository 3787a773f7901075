"""What the documents say of the command line and of the environment is what the code has."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
import pytest

from otel_etw.cli.group import cli
from otel_etw.environment import FILE, PROVIDER_NAME, VARIABLES

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.joinpath("docs").glob("*.md"))


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


def test_the_page_of_the_variables_is_made_from_their_table() -> None:
    """docs/configuration.md is what docs/make_configuration.py writes today."""
    made = runpy.run_path(str(ROOT / "docs" / "make_configuration.py"))["reference"]()
    page = ROOT.joinpath("docs", "configuration.md").read_text(encoding="utf-8")
    assert page == made, "run: python docs/make_configuration.py"
    for variable in VARIABLES:
        assert page.count(f"| `{variable.name}` |") == 1


def test_the_page_of_the_tables_is_made_from_their_schema() -> None:
    """docs/tables.md is what docs/make_tables.py writes today."""
    made = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))["reference"]()
    page = ROOT.joinpath("docs", "tables.md").read_text(encoding="utf-8")
    assert page == made, "run: python docs/make_tables.py"


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", *(f"docs/{page.name}" for page in PAGES)])
def test_pages_name_only_variables_that_are_read(page: str) -> None:
    """No page promises a variable that does not exist; the README leads to all that do."""
    text = ROOT.joinpath(page).read_text(encoding="utf-8")
    named = set(re.findall(r"OTEL_EXPORTER_ETW_\w*[A-Z0-9]", text))
    assert named <= {variable.name for variable in VARIABLES}
    if page == "README.md":
        assert "(docs/configuration.md)" in text
        assert {FILE.name, PROVIDER_NAME.name} <= named


def test_the_pages_know_the_public_names() -> None:
    """Every public name is mentioned in the changelog, the README or the architecture page."""
    import otel_etw

    text = "".join(
        ROOT.joinpath(*page).read_text(encoding="utf-8")
        for page in (("CHANGELOG.md",), ("README.md",), ("docs", "architecture.md"))
    )
    for name in otel_etw.__all__:
        assert name == "__version__" or name in text, name

"""The lines that docs/architecture.md draws between rooms, held by reading the imports of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import otel_etw

SOURCE = Path(otel_etw.__file__).parent

TOOLS = {"click", "rich", "msgpack", "numpy", "pyarrow", "duckdb", "nicegui", "pyspark", "pandas"}
TOOLS |= {"polars", "prompt_toolkit", "zstandard"}

_WRITERS = {
    *(
        "emitter",
        "environment",
        "layouts",
        "log_writer",
        "observation",
        "options",
        "resource_facts",
        "tracelogging",
    ),
}

# Room -> rooms of this package that it may import. A room is a package, or a module directly under otel_etw.
ALLOWED: dict[str, set[str]] = {
    "_version": set(),
    "errors": set(),
    "tracelogging": {"errors"},
    "layouts": {"errors", "tracelogging"},
    "etl": {"errors", "layouts", "tracelogging", "windows"},
    "windows": {"errors"},
    "providers": {"errors", "tracelogging", "etl", "windows"},
    "sessions": {"errors", "tracelogging", "etl", "providers", "windows"},
    "variables": {"sessions"},
    "environment": {"errors", "etl", "layouts", "sessions", "tracelogging", "variables"},
    "options": {"environment", "errors", "layouts", "tracelogging"},
    "emitter": {"environment", "layouts", "providers", "sessions", "tracelogging"},
    "observation": {"_version", "emitter", "environment"},
    "resource_facts": {"layouts"},
    "shape_cache": {"layouts"},
    "log_writer": {"emitter", "layouts", "options", "providers", "shape_cache"},
    "span_fields": {"layouts"},
    "handler_attributes": {"layouts"},
    "handler_resource": {"layouts", "resource_facts"},
    "logs": _WRITERS,
    "span_writer": _WRITERS | {"shape_cache", "span_fields"},
    "spans": _WRITERS | {"span_writer"},
    "handler": _WRITERS | {"handler_attributes", "handler_resource"},
    "metrics": _WRITERS,
    "tables": {"errors", "etl", "layouts", "tracelogging"},
    "outputs": {"errors", "etl", "layouts", "tables", "tracelogging"},
    "loading": {"errors", "outputs", "tables"},
}

# Module (or room) -> the only third-party packages it may import. Anything not listed: none at all.
THIRD_PARTY: dict[str, set[str]] = {
    "layouts.foreign": {"msgpack"},
    "layouts.otlp_metrics": {"opentelemetry", "google"},
    "logs": {"opentelemetry"},
    "spans": {"opentelemetry"},
    "span_fields": {"opentelemetry"},
    "span_writer": {"opentelemetry"},
    "metrics": {"opentelemetry"},
    "handler": {"opentelemetry"},
    "etl.decompression": {"pyfwnt"},
    "etl.unpacking": {"zstandard"},
    "handler_attributes": {"opentelemetry"},
    "handler_resource": {"opentelemetry"},
    "observation": {"opentelemetry"},
    "tables": {"numpy", "pyarrow"},
    "outputs": {"rich"},
    "outputs.export": {"google", "numpy", "pyarrow"},
    "outputs.otlp": {"google", "opentelemetry", "pyarrow"},
    "outputs.results": {"pyarrow"},
    "outputs.sql": {"duckdb", "pyarrow"},
    "outputs.sql_file": {"duckdb", "pyarrow"},
    "outputs.sql_types": {"pyarrow"},
    "loading": {"pyarrow"},
    "cli": {"click", "rich", "opentelemetry"},
    "cli.sql_completion": {"prompt_toolkit"},
    "cli.sql_history": {"prompt_toolkit"},
    "cli.sql_prompt": {"prompt_toolkit"},
    "cli.sql_schema": {"pyarrow"},
}

PURE_TRACE_MODULES = {
    *("clock", "context", "damage", "event", "kernel_names", "layout", "live_records"),
    *("manifest_events", "records", "trace_header", "user_data", "walking", "xpress"),
}
PURE = ("tracelogging", "layouts", *(f"etl.{module}" for module in PURE_TRACE_MODULES))
IO_MODULES = {
    "os",
    "io",
    "pathlib",
    "mmap",
    "socket",
    "subprocess",
    "threading",
    "logging",
    "tempfile",
    "shutil",
}


def modules() -> list[str]:
    names = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return [name for name in names if name]


def imports(module: str) -> set[str]:
    """Every absolute module name that ``module`` imports when it runs, lazily or not."""
    path = SOURCE.joinpath(*module.split("."))
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8"))
    checking_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in checking_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import; this package writes them in full"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("module", modules())
def test_imports_point_one_way(module: str) -> None:
    """Each room imports only the rooms below it (the command line may import all of them)."""
    room = module.partition(".")[0]
    if room == "cli":
        return
    assert room in ALLOWED, f"say in this table which rooms {room!r} may import"
    for name in imports(module):
        if name.startswith("otel_etw."):
            other = name.split(".")[1]
            assert other == room or other in ALLOWED[room], f"{module} imports {name}"


@pytest.mark.parametrize("module", modules())
def test_third_party_packages_stay_in_their_rooms(module: str) -> None:
    """A module imports the standard library, this package, and only what its room is allowed to."""
    rooms = [room for room in THIRD_PARTY if f"{module}.".startswith(f"{room}.")]
    allowed = set().union(*(THIRD_PARTY[room] for room in rooms))
    for name in imports(module):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "otel_etw":
            assert top in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith(PURE)])
def test_pure_rooms_do_no_io(module: str) -> None:
    """Encodings, layouts and the file's structure are functions on bytes: no import of theirs does I/O."""
    assert not {name.partition(".")[0] for name in imports(module)} & IO_MODULES


def loaded_after(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split("\n"))


def test_importing_the_package_loads_almost_nothing() -> None:
    """Neither the import, nor dir(), nor the names that need none load the SDK, protobuf or any tool."""
    names = loaded_after("import otel_etw; dir(otel_etw); otel_etw.provider_id('a'); otel_etw.open_etl")
    assert not {name for name in names if name.partition(".")[0] in TOOLS | {"opentelemetry", "google"}}


def test_the_write_half_loads_no_tool() -> None:
    """Exporters and sessions work without click, rich, numpy, pyarrow and duckdb."""
    names = loaded_after("from otel_etw import EtlSession, EtwLogRecordExporter, EtwMetricExporter")
    assert not {name for name in names if name.partition(".")[0] in TOOLS}


def test_help_is_quick() -> None:
    """``otel-etw --help`` loads neither the SDK nor protobuf nor rich."""
    code = "from otel_etw.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    unwanted = (TOOLS - {"click"}) | {"opentelemetry", "google"}
    assert not {name for name in loaded_after(code) if name.partition(".")[0] in unwanted}


def test_public_names_are_all_there() -> None:
    """Every name of ``__all__`` loads, and nothing else is promised by the lazy table."""
    assert set(otel_etw.__all__) == {*otel_etw._HOMES, "__version__"}
    for name in otel_etw.__all__:
        assert getattr(otel_etw, name) is not None
    assert set(otel_etw.__all__) <= set(dir(otel_etw))


def test_a_missing_dependency_is_named_with_its_remedy() -> None:
    """A public name whose dependency is not installed says which requirement brings it."""
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'opentelemetry':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Absent())
import otel_etw
try:
    otel_etw.EtwMetricExporter
except otel_etw.errors.MissingExtraError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "otel-etw"' in run.stdout
    assert "EtwMetricExporter needs the module 'opentelemetry" in run.stdout


def test_the_document_names_every_module() -> None:
    """docs/architecture.md lists the rooms as they are: no module is missing from its tree."""
    document = Path(__file__).parents[1].joinpath("docs", "architecture.md").read_text(encoding="utf-8")
    tree = document[document.index("```\n") : document.index("Imports point one way")]
    for module in modules():
        name = module.split(".")[-1]
        if module != "_version":
            assert f"{name}.py" in tree or f"{name}/" in tree or f" {name}" in tree, f"{module} is not listed"

"""The command as a process: exit codes, errors in one line, closed pipes, Ctrl-C, colour, missing modules."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from etl_files import T0, buffer, trace_file, tracelogging_record
from otel_etw._version import __version__
from otel_etw.cli.group import cli
from shared_files import corpus
from shown_traces import command_line, invoke, run_command, write_trace

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX terminals and signals")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trace(tmp_path_factory.mktemp("process") / "shown.etl")


@pytest.fixture(scope="module")
def big_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough events that showing them takes seconds."""
    path = tmp_path_factory.mktemp("process") / "big.etl"
    record = tracelogging_record(T0, "tick")
    full = buffer([record] * 480, 65536)
    path.write_bytes(trace_file(*[full] * 300, size=65536))
    return path


def test_every_command_has_help_with_examples() -> None:
    """Each names itself in its examples; the group's table lists exactly the commands there are."""
    listing = invoke("--help").stdout
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        text = invoke(name, "--help").stdout
        examples = text.partition("Examples:")[2]
        assert f"otel-etw {name}" in examples, name
        assert re.search(rf"^  {name}  +\w.*\.$", listing, re.MULTILINE)
        summary = (invoke(name, "-h").stdout.splitlines()[2]).strip()
        assert summary
    assert "Examples:" in listing


def test_examples_of_the_help_are_valid(trace: Path, tmp_path: Path) -> None:
    """Every example line parses: no option in it is unknown."""

    def there(word: str) -> str:
        if word.endswith((".etl", ".etl.gz", "traces/")):
            return str(trace)
        return str(tmp_path / word) if word.endswith(".wprp") else word

    for name in ("view", "info", "guid"):
        examples = invoke(name, "--help").stdout.partition("Examples:")[2].partition("Options:")[0]
        lines = [line for line in map(str.strip, examples.splitlines()) if line.startswith("otel-etw")]
        assert len(lines) >= 2
        for line in lines:
            words = [there(word) for word in shlex.split(line.partition(" | ")[0])[1:]]
            if "--follow" in words or "-f" in words:
                words.append("--exit-on-end")
            assert invoke(*words).exit_code == 0, line


def test_the_version_is_told() -> None:
    """That of the package."""
    assert run_command("--version").stdout == f"otel-etw, version {__version__}\n"


@pytest.mark.parametrize("command", ["view", "info"])
def test_files_that_cannot_be_read_are_one_line(command: str, tmp_path: Path) -> None:
    """Missing, a folder, no trace file: the name, the reason, exit code 1, nothing on stdout."""
    text = tmp_path / "text.etl"
    text.write_text("this is no trace file, and has a few bytes to say so" * 10, encoding="utf-8")
    empty = tmp_path / "empty.etl"
    empty.write_bytes(b"")
    for path in (tmp_path / "missing.etl", tmp_path, text, empty):
        result = run_command(command, path)
        assert result.returncode == 1, path
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith("otel-etw: ")
        assert str(path) in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["view"], "Missing argument 'FILE...'"),
        (["guid"], "Missing argument 'NAME...'"),
        (["nope"], "No such command 'nope'"),
        (["view", "x.etl", "--nope"], "No such option"),
        (["demo", "--count", "0"], "Invalid value for '--count'"),
        (["demo", "surplus"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    """With a word on where to read on."""
    result = run_command(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert message in line
    assert line.endswith("--help)")


def test_without_arguments_help_is_shown() -> None:
    """As wrong usage, hence on stderr or stdout as click has it."""
    result = run_command()
    assert "Commands:" in result.stdout + result.stderr


def test_error_text_cannot_send_escapes(tmp_path: Path) -> None:
    """A file's name is text of somebody else, too."""
    result = run_command("view", tmp_path / "a\x1b[31m\nb.etl")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "a\\x1b[31m\\nb.etl" in line


@pytest.mark.parametrize("options", [[], ["--format", "jsonl"]])
def test_a_closed_pipe_is_quiet(big_trace: Path, options: list[str]) -> None:
    """``otel-etw view x.etl | head -1`` prints one line and nothing about the pipe."""
    process = subprocess.Popen(
        command_line("view", big_trace, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert errors == b""


def test_a_pipe_closed_before_the_first_byte_is_quiet(trace: Path) -> None:
    """Then all output fails at the last flush, on exit."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        result = run_command("view", trace, capture_output=False, stdout=write_end, stderr=subprocess.PIPE)
    finally:
        os.close(write_end)
    assert result.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["guid", "*a"], ["--help"], ["view"], ["info"]])
def test_a_full_disk_is_an_error(trace: Path, arguments: list[str]) -> None:
    """Output that is lost is no success, and is said in one line."""
    if arguments[0] in ("view", "info"):
        arguments = [*arguments, str(trace)]
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = run_command(*arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr == "otel-etw: No space left on device\n"


@posix_only
def test_ctrl_c_is_quiet(big_trace: Path) -> None:
    """Exit code 130, no traceback."""
    process = subprocess.Popen(
        command_line("view", big_trace, "--grep", "no such text"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == b""
    assert errors.strip() == b""


def test_output_that_cannot_show_a_character_gets_its_escape(trace: Path) -> None:
    """A console of some code page: bars in ASCII, other characters escaped; JSON in pure ASCII."""
    result = run_command("view", trace, "--wide", env={"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0
    assert result.stdout.isascii()
    assert "2 @@ 8" in result.stdout
    assert "| exception.stacktrace:" in result.stdout
    lines = run_command("view", trace, "--format", "jsonl", env={"PYTHONIOENCODING": "ascii"}).stdout
    assert lines.isascii()


ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def in_terminal(*arguments: object, columns: int = 100, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and everything that a terminal of that width would get, stdout and stderr together."""
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **(env or {})}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        if not env or name not in env:
            environment.pop(name, None)
    process = subprocess.Popen(
        command_line(*arguments), stdin=follower, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    received = bytearray()

    def receive() -> None:
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:  # how Linux says that the other side is gone
                return
            if not data:
                return
            received.extend(data)

    thread = threading.Thread(target=receive)
    thread.start()
    code = process.wait(timeout=60)
    thread.join(timeout=10)
    os.close(leader)
    return code, received.decode("utf-8").replace("\r\n", "\n")


@posix_only
def test_a_terminal_gets_colours_and_nothing_else(trace: Path) -> None:
    """Severity colours, and no escape sequence that is not one of ours."""
    code, text = in_terminal("view", trace)
    assert code == 0
    assert re.search(r"\x1b\[1;31mERROR *\x1b\[0m", text)
    assert re.search(r"\x1b\[33mWARN2 *\x1b\[0m", text)
    assert "\x1b[1;37;41mFATAL" in text
    plain = ESCAPE.sub("", text)
    assert all(line.isprintable() for line in plain.splitlines())
    assert "\\x1b[31mred" in plain


@posix_only
def test_lines_fit_the_terminal(trace: Path) -> None:
    """What does not fit goes on below, indented; no word is lost."""
    _, text = in_terminal("view", trace, "--signal", "logs", "--grep", "order placed", columns=80)
    lines = ESCAPE.sub("", text).splitlines()[1:]
    assert len(lines) > 1
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith(" " * 40) for line in lines[1:])
    joined = " ".join(line.strip() for line in lines)
    assert joined.split() == [
        "2026-03-11", "12:34:57.789", "INFO", "shop", "4bf92f35", "order.placed", "order", "placed",
        "order.id=7", 'note="two', 'words"',
    ]  # fmt: skip


@posix_only
@pytest.mark.parametrize("columns", [30, 60, 80, 100])
@pytest.mark.parametrize("command", ["view", "info"])
def test_padding_cannot_make_a_line_look_like_another(tmp_path: Path, command: str, columns: int) -> None:
    """Blanks in a text of the trace push what follows to the next line, but never to its left edge."""
    path = tmp_path / "padded.etl"
    fake = "x" + " " * (2 * columns) + "FAKE 2026-03-11 INFO row"
    records = [
        tracelogging_record(T0 + n, f"{name}{fake}", [("text", 1)], f"{text}\0".encode("utf-16-le"))
        for n, (name, text) in enumerate([("a", fake), ("b", f"{fake}\n{fake}\n{fake}"), (" " * 60, "c")])
    ]
    path.write_bytes(trace_file(buffer(records, 65536), session=fake, size=65536))
    _, text = in_terminal(command, path, columns=columns)
    lines = ESCAPE.sub("", text).splitlines()
    assert all(len(line) <= max(columns, 40) for line in lines[1:])
    assert sum("FAKE" in line for line in lines) >= 3
    assert not any(line.lstrip(" │").startswith("FAKE") and line.startswith(("F", " F")) for line in lines)
    starts = ("2022-", "TIME", str(path)[:5], "  ", "otel-etw: ")
    assert all(line.startswith(starts) or not line for line in lines), lines


@posix_only
def test_no_color_is_heeded(trace: Path) -> None:
    """On a terminal, with the variable set, text is plain."""
    _, text = in_terminal("view", trace, env={"NO_COLOR": "1"})
    assert "\x1b" not in text
    assert "order placed" in text


def test_only_a_terminal_gets_colours(trace: Path) -> None:
    """A pipe gets plain text, unless colour is forced."""
    for arguments in (["view", trace], ["info", trace], ["guid", "*a"]):
        assert "\x1b" not in run_command(*arguments).stdout
    if sys.platform != "win32":  # whose consoles may take colours by calls, which a pipe has no use for
        assert "\x1b[1;31mERROR" in run_command("view", trace, env={"FORCE_COLOR": "1"}).stdout


@posix_only
def test_long_work_shows_a_progress_bar_that_goes_away(big_trace: Path) -> None:
    """After a second, on stderr; the line is cleared at the end, and machine output stays clean."""
    wanted = ("view", big_trace, "--grep", "no such text", "--points")
    code, text = in_terminal(*wanted, env={"TERM": "xterm"})
    assert code == 0
    assert "reading" in text
    assert "%" in text
    assert text.rstrip().endswith("no event fits")
    piped = run_command("info", big_trace)
    assert piped.stderr == ""
    assert "reading" not in piped.stdout


@posix_only
def test_short_work_shows_no_bar(trace: Path) -> None:
    """Under a second there is nothing to wait for."""
    _, text = in_terminal("info", trace)
    assert "reading" not in text


@posix_only
def test_the_demo_in_a_terminal(tmp_path: Path) -> None:
    """Coloured, wrapped, with the pictures."""
    code, text = in_terminal("demo", "--output", tmp_path / "demo.etl", columns=120)
    assert code == 0
    plain = ESCAPE.sub("", text)
    assert all(line.isprintable() for line in plain.splitlines())
    assert "\x1b[1;31mERROR" in text
    assert "█" in plain
    free = ("│", "demo.etl")  # source lines of a traceback, and commands to copy, are not broken up
    assert all(len(line) <= 120 for line in plain.splitlines() if not any(mark in line for mark in free))


def test_a_missing_command_line_library_is_named() -> None:
    """One line with what to install, exit code 1."""
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == sys.argv[1]:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
missing = Absent()
sys.meta_path.insert(0, missing)
from otel_etw.cli import main
main(sys.argv[2:])
"""
    for module, arguments in (
        ("click", ["view", "x.etl"]),
        ("rich", ["view", "x.etl"]),
        ("opentelemetry", ["demo"]),
    ):
        run = subprocess.run(
            [sys.executable, "-c", code, module, *arguments], capture_output=True, text=True, check=False
        )
        assert run.returncode == 1, run
        (line,) = run.stderr.splitlines()
        assert line.endswith('pip install "otel-etw[tools]"'), line


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of one process is read from Linux's /proc")
def test_a_large_file_needs_little_memory() -> None:
    """Rows are shown and forgotten: a real file of 17 MB decompressed, within 150 MB of the whole process."""
    # Not ru_maxrss: that begins with what the test process had when it forked.
    code = f"""
import sys
from otel_etw.cli import main
try: main(['view', {str(corpus("net.4.5.2.x86.etl"))!r}, '--all-records', '--tail', '5'])
except SystemExit as end: code = end.code
(peak,) = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')]
print(peak, code, file=sys.stderr)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    peak_kib, exit_code = run.stderr.split()[-2:]
    assert exit_code == "0"
    assert len(run.stdout.splitlines()) >= 6
    assert int(peak_kib) / 1024 < 150

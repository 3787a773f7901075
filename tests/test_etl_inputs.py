"""What may be named in place of a trace file: directories, globs, standard input, archives, members."""

from __future__ import annotations

import errno
import gzip
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_files import T0, buffer, event_record, header_buffer, trace_file
from otel_etw.errors import MissingExtraError, TraceFileError
from otel_etw.etl import inputs, spool, unpacking, zip_members
from otel_etw.etl.damage import NO_BUFFER, DamageKind
from otel_etw.etl.inputs import Input, expand, open_input
from otel_etw.etl.reader import Trace, open_etl

zstandard = pytest.importorskip("zstandard")

SETTINGS = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def content(count: int = 3, first: int = 0) -> bytes:
    """A trace of ``count`` buffers of two events each."""
    dice = random.Random(count)
    return trace_file(
        *(
            buffer([event_record(T0 + first + 2 * n + k, dice.randbytes(200)) for k in range(2)], 1024)
            for n in range(count)
        ),
        size=1024,
    )


TRACE = content()


def zstd(data: bytes) -> bytes:
    return bytes(zstandard.ZstdCompressor().compress(data))


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def labels(*arguments: str | os.PathLike[str], notes: list[str] | None = None) -> list[str]:
    return [one.label.replace(os.sep, "/") for one in expand(arguments, notes)]


def check_whole(trace: Trace, of: bytes = TRACE) -> None:
    """``trace`` reads as the file ``of`` does, without damage."""
    with trace:
        assert trace.source.read(0, len(of) + 1) == of
        assert len(list(trace)) == 7
        assert len(list(trace.in_time_order())) == 7
        assert not trace.damage, trace.damage


# --- what an argument stands for ------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Traces in several forms and places, and other things beside them."""
    write(tmp_path / "b.etl", TRACE)
    write(tmp_path / "a.ETL", TRACE)
    write(tmp_path / "deep" / "er" / "c.etl.gz", gzip.compress(TRACE))
    write(tmp_path / "deep" / "d.etl.zst", zstd(TRACE))
    write(tmp_path / "deep" / "two.zip", zipped(("x/one.etl", TRACE), ("two.etl", TRACE), ("a.txt", b"text")))
    write(tmp_path / "deep" / "notes.txt", b"text")
    write(tmp_path / ".hidden" / "h.etl", TRACE)
    write(tmp_path / ".h.etl", TRACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory_stands_for_the_traces_below_it(tree: Path) -> None:
    notes: list[str] = []
    assert labels("deep", notes=notes) == [
        "deep/d.etl.zst",
        "deep/two.zip!x/one.etl",
        "deep/two.zip!two.etl",
        "deep/er/c.etl.gz",
    ]
    assert notes == [f"deep{os.sep}two.zip: left out: a.txt is no trace"]
    assert [name.rpartition("/")[2] for name in labels(tree)][:2] == ["a.ETL", "b.etl"]
    assert not any("h.etl" in name for name in labels(tree))
    assert labels(str(tree) + os.sep) == labels(tree)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.etl", ["b.etl"]),
        ("?.etl", ["b.etl"]),
        ("**/*.etl*", ["b.etl", "deep/d.etl.zst", "deep/er/c.etl.gz"]),
        ("deep/**/*.gz", ["deep/er/c.etl.gz"]),
        ("d*p/*.zst", ["deep/d.etl.zst"]),
        ("**/er/c*", ["deep/er/c.etl.gz"]),
        ("*/*.zip", ["deep/two.zip!x/one.etl", "deep/two.zip!two.etl"]),
        (".*.etl", [".h.etl"]),
        ("d?ep/er", ["deep/er/c.etl.gz"]),
        ("./*.etl", ["./b.etl"]),
    ],
)
def test_a_glob_stands_for_the_files_that_fit(tree: Path, pattern: str, expected: list[str]) -> None:
    (tree / "a.ETL").unlink()  # it fits too where case does not count
    assert labels(pattern) == [os.path.join(name).replace(os.sep, "/") for name in expected]
    absolute = os.path.join(str(tree), pattern)
    assert [os.path.normpath(one.path) for one in expand([absolute])] == [
        os.path.normpath(os.path.join(str(tree), name.partition("!")[0])) for name in expected
    ]


@pytest.mark.skipif(os.name == "nt", reason="such names are not allowed there")
@pytest.mark.parametrize("name", ["what?.etl", "all*.etl", "[1].etl", "a!b.etl", "x.zip!y.etl"])
def test_a_path_that_exists_is_no_glob_and_no_member(tree: Path, name: str) -> None:
    write(tree / name, TRACE)
    write(tree / "whats.etl", TRACE)
    assert labels(name) == [name]
    check_whole(open_etl(name))


def test_brackets_are_ordinary_letters(tree: Path) -> None:
    write(tree / "trace[1].etl", TRACE)
    write(tree / "trace1.etl", TRACE)
    assert labels("trace[1]*") == ["trace[1].etl"]


def test_a_file_is_read_once(tree: Path) -> None:
    one = ["b.etl", str(tree / "b.etl"), os.path.join("deep", "..", "b.etl"), "b.*"]
    assert labels(*one) == ["b.etl"]
    both = os.path.join("deep", "two.zip")
    assert labels(both, f"{both}!two.etl", "deep/*.zip") == ["deep/two.zip!x/one.etl", "deep/two.zip!two.etl"]
    assert labels("-", "-") == ["-"]


def test_links_that_lead_back_are_followed_once(tree: Path) -> None:
    try:
        os.symlink("..", tree / "deep" / "up", target_is_directory=True)
        os.symlink(".", tree / "deep" / "here", target_is_directory=True)
        os.symlink(tree / "b.etl", tree / "deep" / "link.etl")
        os.symlink("nowhere", tree / "deep" / "broken.etl")
    except OSError:
        pytest.skip("links are not allowed here")
    if not (tree / "deep" / "link.etl").is_symlink():
        pytest.skip("what is made here as a link is none")
    notes: list[str] = []
    found = [os.path.basename(name) for name in labels("deep", notes=notes)]
    assert sorted(found) == ["a.ETL", "c.etl.gz", "d.etl.zst", "link.etl", "one.etl", "two.zip!two.etl"]
    assert any("broken.etl" in note for note in notes)
    assert len(labels("**/*.gz")) == 1


def test_many_links_between_directories_cost_little(tmp_path: Path) -> None:
    """A path through them could be chosen in 2**40 ways."""
    try:
        for number in range(40):
            (tmp_path / f"{number}").mkdir()
            for name in "ab":
                os.symlink(
                    tmp_path / f"{number + 1}", tmp_path / f"{number}" / name, target_is_directory=True
                )
    except OSError:
        pytest.skip("links are not allowed here")
    if not (tmp_path / "0" / "a").is_symlink():
        pytest.skip("what is made here as a link is none")
    write(tmp_path / "40" / "end.etl", TRACE)
    started = time.monotonic()
    assert len(labels(tmp_path / "0")) == 1
    assert len(labels(tmp_path / "0" / "**" / "*.etl")) == 1
    assert time.monotonic() - started < 5


def test_what_is_no_trace_is_left_out_with_a_note_where_others_fit(tree: Path) -> None:
    write(tree / "deep" / "bad.etl", b"not at all")
    write(tree / "deep" / "bad.etl.gz", gzip.compress(b"text"))
    write(tree / "deep" / "bad.zip", zipped(("a.txt", b"text")))
    write(tree / "deep" / "7z.etl", b"7z\xbc\xaf\x27\x1c" + bytes(200))
    notes: list[str] = []
    assert len(labels("deep", notes=notes)) == 4
    assert [next(name for name in ("7z.etl", "bad.etl.gz", "bad.etl", "bad.zip", "two.zip") if name in note)
            for note in notes] == ["7z.etl", "bad.etl", "bad.etl.gz", "bad.zip", "two.zip"]  # fmt: skip
    assert "found a 7z archive" in notes[0]
    with pytest.raises(TraceFileError, match="not a trace file"):
        expand([os.path.join("deep", "bad.*z")])


def test_what_is_not_there_is_an_error_of_one_line(tree: Path) -> None:
    (tree / "empty").mkdir()
    for argument in (
        "empty",
        "none*.etl",
        "none.etl",
        os.path.join("none", "**"),
        "b.etl/x.etl",
        "none.zip!a",
    ):
        for function in (lambda path: expand([path]), open_etl):
            with pytest.raises(
                OSError, match=r"No such|no file fits|no trace file|found a directory"
            ) as caught:
                function(argument)
            assert caught.value.filename == argument
            assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read"
)
def test_what_may_not_be_read_is_left_out_with_a_note(tree: Path) -> None:
    (tree / "b.etl").chmod(0)
    notes: list[str] = []
    assert "b.etl" not in labels("*.etl", "a.ETL", notes=notes)


def test_open_etl_takes_one_trace(tree: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_etl("deep")
    with pytest.raises(TraceFileError, match=r"expected one trace, found 2: .*one.etl, .*two.etl"):
        open_etl(tree / "deep" / "two.zip")
    count = 4 if os.name == "nt" else 3  # a.ETL, too, where letters have no case
    with pytest.raises(TraceFileError, match=rf"expected one trace, found {count}: .* - in \*\*/\*.etl\*"):
        open_etl("**/*.etl*")
    for name in ("b.etl", "deep/er/c.etl.gz", "deep/d.etl.zst", "deep/two.zip!x/one.etl", "**/c*"):
        trace = open_etl(name)
        assert trace.path.replace(os.sep, "/") == name.replace("**/c*", "deep/er/c.etl.gz")
        check_whole(trace)


def test_an_input_can_be_pickled(tree: Path) -> None:
    for one in expand(["deep", "b.etl"]):
        assert pickle.loads(pickle.dumps(one)) == one
        check_whole(open_input(one))


# --- compressed files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        lambda data: gzip.compress(data[:700]) + gzip.compress(b"") + gzip.compress(data[700:]),
        lambda data: gzip.compress(data) + bytes(512),
        zstd,
        lambda data: zstd(data[:900]) + zstd(data[900:]),
        lambda data: gzip.compress(zstd(data)),
        lambda data: zstd(gzip.compress(data)),
        lambda data: zipped(("t.etl", data)),
        lambda data: zipped(("t.etl", data), method=zipfile.ZIP_STORED),
        lambda data: zipped(("t.etl.gz", gzip.compress(data))),
        lambda data: zipped(("readme.md", b"text"), ("empty", b""), ("dir/", b""), ("no.suffix", data)),
    ],
)
def test_compressed_files_are_read_whatever_their_name(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = write(tmp_path / "any.name", pack(TRACE))
    check_whole(open_etl(path))


@pytest.mark.parametrize(
    ("pack", "why"),
    [(gzip.compress, "the gzip stream"), (zstd, "the zstd stream"), (lambda d: zipped(("t.etl", d)), "")],
)
def test_a_cut_archive_gives_what_it_has_and_says_so(
    tmp_path: Path, pack: Callable[[bytes], bytes], why: str
) -> None:
    trace_bytes = content(900)
    packed = pack(trace_bytes)
    path = write(tmp_path / "cut", packed[: len(packed) * 2 // 3])
    with open_etl(path) as trace:
        found = trace.source.read(0, len(trace_bytes))
        assert len(trace_bytes) // 3 < len(found) < len(trace_bytes)
        assert trace_bytes.startswith(found)
        assert len(list(trace)) > 600
        entries = [entry for entry in trace.damage.entries if entry.kind is DamageKind.ARCHIVE]
        assert entries[-1].offset == len(found)
        assert entries[-1].buffer == NO_BUFFER
        assert why in entries[-1].why
        assert trace.damage
        assert trace.index().damage.counts[DamageKind.ARCHIVE] == len(entries)
        list(trace.in_time_order())
        assert trace.damage.counts[DamageKind.ARCHIVE] == len(entries)


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped(("t.etl", data))])
def test_a_wrong_checksum_is_damage(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    right = pack(TRACE)
    wrong = right.replace(struct.pack("<I", zlib.crc32(TRACE)), b"\1\2\3\4")
    assert wrong != right
    with open_etl(write(tmp_path / "wrong", wrong)) as trace:
        assert trace.source.read(0, len(TRACE) + 1) == TRACE
        assert len(list(trace)) == 7
        assert trace.damage.counts == {DamageKind.ARCHIVE: 1}


def test_bytes_behind_a_gzip_stream_are_damage(tmp_path: Path) -> None:
    with open_etl(write(tmp_path / "t.gz", gzip.compress(TRACE) + b"tail")) as trace:
        assert len(list(trace)) == 7
        assert trace.damage.counts == {DamageKind.ARCHIVE: 1}


def test_members_that_cannot_be_read_are_left_out_with_a_note(tmp_path: Path) -> None:
    archive = bytearray(zipped(("secret.etl", TRACE), ("other.etl", TRACE), ("good.etl", TRACE)))
    local, central = archive.find(b"PK\3\4"), archive.find(b"PK\1\2")
    archive[local + 6] |= 1
    archive[central + 8] |= 1
    second = archive.find(b"PK\1\2", central + 4)
    archive[second + 10 : second + 12] = b"\x09\0"
    path = write(tmp_path / "a.zip", bytes(archive))
    notes: list[str] = []
    assert [one.member for one in expand([path], notes)] == ["good.etl"]
    assert notes == [
        f"{path}: left out: secret.etl is encrypted; other.etl is compressed by method 9, expected 0, 8 or 93"
    ]
    check_whole(open_etl(path))
    with pytest.raises(TraceFileError, match=r"secret.etl is encrypted - in .*a.zip!secret.etl"):
        open_etl(f"{path}!secret.etl")
    with pytest.raises(TraceFileError, match=r"expected a member none in the archive, found secret.etl; "):
        open_etl(f"{path}!none")


@pytest.mark.parametrize("cut", [0.4, 0.9, 0.999])
def test_a_cut_zip_gives_the_members_it_still_has(tmp_path: Path, cut: float) -> None:
    traces = [content(40, 100 * n) for n in range(4)]
    packed = zipped(*((f"{n}.etl", data) for n, data in enumerate(traces)))
    path = write(tmp_path / "cut.zip", packed[: int(len(packed) * cut)])
    found = expand([path])
    assert len(found) == {0.4: 2, 0.9: 4, 0.999: 4}[cut]
    for number, one in enumerate(found):
        with open_input(one) as trace:
            got = trace.source.read(0, len(traces[number]) + 1)
            assert traces[number].startswith(got)
            assert got == traces[number] or number == len(found) - 1
            assert trace.damage


def test_a_zip_made_without_seeking_is_read_with_and_without_its_directory(tmp_path: Path) -> None:
    """Its local headers do not know the sizes."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise OSError(errno.ESPIPE, "no seek")

        def tell(self) -> int:
            raise OSError(errno.ESPIPE, "no tell")

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.etl", TRACE)
    whole = pipe.getvalue()
    check_whole(open_etl(write(tmp_path / "whole.zip", whole)))
    with open_etl(write(tmp_path / "cut.zip", whole[: whole.index(b"PK\1\2")])) as trace:
        assert len(list(trace)) == 7
        assert trace.damage.counts == {DamageKind.ARCHIVE: 1}


def test_what_is_no_trace_inside_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "spooled", None)
    zeros = bytes(1 << 22)
    for pack in (gzip.compress, zstd):
        with pytest.raises(TraceFileError, match=r"not a trace file: expected .* - in .*bomb, at offset"):
            open_etl(write(tmp_path / "bomb", pack(zeros)))
    with pytest.raises(TraceFileError, match=r"found a zip archive; unpack it first - in .*nested"):
        open_etl(write(tmp_path / "nested", gzip.compress(zipped(("t.etl", TRACE)))))
    with pytest.raises(
        TraceFileError, match=r"expected a trace in the archive, found none: a.txt is no trace"
    ):
        open_etl(write(tmp_path / "texts.zip", zipped(("a.txt", b"text"))))
    with pytest.raises(TraceFileError, match=r"found none: no files"):
        open_etl(write(tmp_path / "empty.zip", zipped()))
    with pytest.raises(TraceFileError, match=r"found 0; the zstd stream ends in the middle"):
        open_etl(write(tmp_path / "start.zst", zstd(TRACE)[:20]))


@pytest.mark.parametrize("pack", [gzip.compress, zstd, lambda data: zipped(("t.etl", data))])
def test_a_bomb_ends_at_the_limit_and_in_bounded_memory(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    bomb = header_buffer(1024) + bytes(48 * 1024 * 1024)
    path = str(write(tmp_path / "bomb", pack(bomb)))
    (one,) = expand([path])
    del bomb
    tracemalloc.start()
    try:
        with pytest.raises(
            TraceFileError, match=r"expected at most 8388608 bytes when unpacked \(the limit\)"
        ):
            open_input(one, limit_bytes=8 * 1024 * 1024)
        with open_input(one) as trace:
            assert trace.size_bytes == 1024 + 48 * 1024 * 1024
        assert tracemalloc.get_traced_memory()[1] < 40 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_the_free_space_is_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.gz", gzip.compress(TRACE))
    free = SimpleNamespace(free=spool._MARGIN_BYTES + 100)
    monkeypatch.setattr(spool.shutil, "disk_usage", lambda path: free)
    with pytest.raises(
        TraceFileError, match=r"expected at most 100 bytes when unpacked \(what is free in .*t.gz"
    ):
        open_etl(path)


def test_unpacked_files_are_nowhere_to_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(spool.tempfile, "tempdir", None)
    with open_etl(write(tmp_path / "t.gz", gzip.compress(TRACE))) as trace:
        if os.name != "nt":
            assert not list((tmp_path / "tmp").iterdir())
        assert len(list(trace)) == 7
        if trace.file_path is not None:
            with open(trace.file_path, "rb") as file:
                assert file.read() == TRACE
    assert not list((tmp_path / "tmp").iterdir())


def test_a_missing_zstd_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.zst", zstd(TRACE))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(MissingExtraError, match=r'pip install "otel-etw\[tools\]"'):
        open_etl(path)


@SETTINGS
@given(st.sampled_from(["gz", "zst", "zip"]), st.integers(0, 2**32))
def test_damaged_archives_give_a_trace_or_our_error(tmp_path: Path, kind: str, seed: int) -> None:
    dice = random.Random(seed)
    pack = {"gz": gzip.compress, "zst": zstd, "zip": lambda data: zipped(("a", b"x"), ("t.etl", data))}[kind]
    data = bytearray(pack(content(20)))
    for _ in range(dice.randrange(1, 4)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    if dice.random() < 0.5:
        del data[dice.randrange(len(data)) :]
    path = write(tmp_path / "damaged", bytes(data))
    try:
        with open_etl(path) as trace:
            assert len(list(trace)) <= 41
    except TraceFileError:
        with pytest.raises(TraceFileError, match="damaged"):
            open_etl(path)


@SETTINGS
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    for start in (b"", unpacking.GZIP_MAGIC, unpacking.ZSTD_MAGIC, *unpacking.ZIP_MAGICS):
        with pytest.raises(TraceFileError):
            open_etl(write(tmp_path / "any", start + data))


# --- standard input -------------------------------------------------------------------------------

READ = """
import sys
from otel_etw.etl.reader import open_etl
with open_etl("-") as trace:
    print(trace.path, len(list(trace)), bool(trace.damage))
"""


def piped(data: bytes, script: str = READ) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=False)


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zstd, lambda data: zipped(("a.txt", b"text"), ("t.etl", data))]
)
def test_standard_input_is_read(pack: Callable[[bytes], bytes]) -> None:
    run = piped(pack(TRACE))
    assert run.stdout.split() == [b"-", b"7", b"False"], run.stderr


def test_standard_input_may_be_a_file(tmp_path: Path) -> None:
    with write(tmp_path / "t.etl", TRACE).open("rb") as file:
        run = subprocess.run([sys.executable, "-c", READ], stdin=file, capture_output=True, check=False)
    assert run.stdout.split() == [b"-", b"7", b"False"], run.stderr


@pytest.mark.parametrize(("data", "found"), [(b"", b"found 0"), (b"x" * 500, b"not a trace file")])
def test_standard_input_that_is_no_trace_is_refused(data: bytes, found: bytes) -> None:
    last = piped(data).stderr.strip().splitlines()[-1]
    assert b"TraceFileError" in last
    assert found in last
    assert b"- in -" in last


def test_no_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(TraceFileError, match="expected a trace on standard input, found none"):
        open_etl("-")
    terminal = SimpleNamespace(buffer=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(TraceFileError, match="found a terminal"):
        open_input(Input("-", "-"))


def test_members_are_bounded_in_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_members, "MAX_MEMBERS", 5)
    monkeypatch.setattr(zip_members, "_MAX_DIRECTORY_BYTES", 100)
    path = write(tmp_path / "many.zip", zipped(*((f"{n}.etl", TRACE) for n in range(9))))
    assert [one.member for one in expand([path])] == [f"{n}.etl" for n in range(5)]

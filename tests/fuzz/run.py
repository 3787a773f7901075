"""Coverage-guided fuzzing: ``python tests/fuzz/run.py TARGET [CORPUS_FOLDER] [-max_total_time=60 ...]``.

Needs ``atheris`` (in the extra ``dev``, where it has a wheel).  Without a corpus folder it begins with the
seeds of the target and keeps nothing; an input that breaks the target is left in the current folder as
``crash-...`` and is tried again with ``python tests/fuzz/run.py TARGET crash-...``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

with atheris.instrument_imports(include=["otel_etw"]):
    import targets


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in targets.TARGETS:
        sys.exit(f"usage: run.py {'|'.join(targets.TARGETS)} [folder or file] [options of libFuzzer]")
    name = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as folder:
        if all(argument.startswith("-") for argument in sys.argv[1:]):
            for number, seed in enumerate(targets.seeds_of(name)):
                Path(folder, f"seed-{number}").write_bytes(seed)
            sys.argv.append(folder)
        atheris.Setup(sys.argv, targets.TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()

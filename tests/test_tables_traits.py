"""Events that say who wrote them and describe nothing: provider traits without metadata."""

from __future__ import annotations

from pathlib import Path

import etl_files
import mutation


def test_traits_without_metadata_name_the_provider_of_each_event_itself(tmp_path: Path) -> None:
    """Those of one GUID and id need not be alike, and damaged ones are damage of their event."""
    traits = [etl_files.traits_blob(name) for name in ("One", "Two")]
    damaged = traits[0][:-1]
    chains = [[(12, traits[0])], [(12, traits[1])], [], [(12, damaged)], [(5, bytes(16)), (12, traits[1])]]
    records = [
        etl_files.event_record(etl_files.T0 + number, b"payload", items=items)
        for number, items in enumerate(chains * 2)
    ]
    path = tmp_path / "traits.etl"
    path.write_bytes(etl_files.trace_file(etl_files.buffer(records)))
    assert mutation.check(path) == "damaged"
    found, _ = mutation.decoded_tables(path, "file")
    names = found["events"].column("provider").to_pylist()
    assert names[-10:] == ["One", "Two", None, None, "Two"] * 2

"""Microsoft's Python builder makes the same bytes; its known differences are listed in the oracle module."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_etw.tracelogging.decode import decode_payload
from otel_etw.tracelogging.encode import EventBuilder, encode_payload
from otel_etw.tracelogging.metadata import decode_metadata, encode_metadata
from otel_etw.tracelogging.provider_id import provider_id
from tracelogging_strategies import nul_free_text, portable_event
from traceloggingdynamic_oracle import OracleBuilder, load, oracle_event


@settings(max_examples=150)
@given(portable_event)
def test_the_encoders_agree(event):
    """The metadata and payload of any event that the oracle can express are the oracle's, byte for byte."""
    metadata, values = event
    assert (encode_metadata(metadata), encode_payload(metadata.fields, values)) == oracle_event(
        metadata, values
    )


@settings(max_examples=80)
@given(portable_event)
def test_what_the_oracle_writes_is_decoded_completely(event):
    """Decoding the oracle's bytes finds the fields given to it and leaves nothing over."""
    metadata, values = event
    metadata_blob, payload = oracle_event(metadata, values)
    assert decode_metadata(metadata_blob) == metadata
    decoded = decode_payload(metadata.fields, payload)
    assert decoded.problem is None
    assert decoded.trailing == b""
    assert encode_payload(metadata.fields, decoded.values) == payload


simple_step = st.one_of(
    st.tuples(st.just("u8"), nul_free_text, st.integers(0, 255), st.sampled_from([0, 3])),
    st.tuples(st.just("i16"), nul_free_text, st.integers(-(2**15), 2**15 - 1), st.just(0)),
    st.tuples(st.just("u16"), nul_free_text, st.integers(0, 2**16 - 1), st.sampled_from([0, 18])),
    st.tuples(st.just("i64"), nul_free_text, st.integers(-(2**63), 2**63 - 1), st.just(0)),
    st.tuples(st.just("f64"), nul_free_text, st.floats(), st.just(0)),
    st.tuples(st.just("bool32"), nul_free_text, st.booleans(), st.just(0)),
    st.tuples(st.just("str8"), nul_free_text, st.binary(max_size=30), st.sampled_from([0, 12, 35])),
    st.tuples(st.just("binary"), nul_free_text, st.binary(max_size=30), st.just(0)),
)
step = st.recursive(
    simple_step,
    lambda inner: st.tuples(
        st.just("struct"), nul_free_text, st.lists(inner, min_size=1, max_size=4), st.just(0)
    ),
    max_leaves=8,
)

_ORACLE_NAMES = {
    "u8": "add_uint8",
    "i16": "add_int16",
    "u16": "add_uint16",
    "i64": "add_int64",
    "f64": "add_float64",
    "bool32": "add_bool32",
    "str8": "add_str8_bytes",
    "binary": "add_binary_bytes",
}


def _add_to_both(ours, oracle, step):
    kind, name, value, out = step
    if kind == "struct":
        oracle.add_struct(name.encode(), len(value))
        with ours.struct(name):
            for member in value:
                _add_to_both(ours, oracle, member)
        return
    getattr(ours, f"add_{kind}")(name, *((value,) if kind == "binary" else (value, out)))
    oracle_value = value - 256 if kind == "u8" and value > 127 else value
    getattr(oracle, _ORACLE_NAMES[kind])(name.encode(), oracle_value, out)


@settings(max_examples=120)
@given(nul_free_text, st.lists(step, max_size=5))
def test_the_event_builder_agrees(event_name, steps):
    """EventBuilder makes what the oracle makes, although only the oracle is told counts."""
    ours, oracle = EventBuilder(event_name), OracleBuilder(event_name)
    for chosen in steps:
        _add_to_both(ours, oracle.builder, chosen)
    assert ours.metadata() == oracle.metadata()
    assert ours.payload() == oracle.payload()


@pytest.mark.parametrize(
    "tag", [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1FFFFF, 0x200000, 0xFE00000, 0xFE04000, 0xFFFFFFF]
)
def test_event_tags_agree(tag):
    """Event tags on both sides of every width take as many bytes as the oracle gives them."""
    assert EventBuilder("E", tag).metadata() == OracleBuilder("E", tag).metadata()


@settings(max_examples=80)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_provider_ids_agree(name):
    """The GUID of any name is the one that the oracle computes with its own SHA-1."""
    assert provider_id(name) == load().providerid_from_name(name)

"""Provider names, the GUIDs hashed from them, and the traits blob."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_etw.errors import DecodeError, EncodeError
from otel_etw.tracelogging.provider_id import (
    METRICS_PROVIDER_ID,
    METRICS_PROVIDER_NAME,
    ProviderTraits,
    check_provider_name,
    decode_traits,
    encode_traits,
    provider_id,
)
from otel_etw.tracelogging.text import utf8
from shared_files import cases, vectors

GROUP = UUID("00112233-4455-6677-8899-aabbccddeeff")


@pytest.mark.parametrize("case", cases("providers"))
def test_guid_and_traits_are_those_of_the_golden_vectors(case):
    """Each name of the vectors has their GUID, in text and in memory order, and their traits blob."""
    expected = case["expected"]
    guid = provider_id(case["provider_name"])
    assert str(guid) == expected["guid"]
    assert guid.bytes_le.hex() == expected["guid_bytes_le"]
    assert encode_traits(case["provider_name"]).hex() == expected["provider_traits"]
    assert decode_traits(bytes.fromhex(expected["provider_traits"])) == ProviderTraits(case["provider_name"])


def test_names_are_accepted_or_refused_as_the_golden_vectors_say():
    """Every validity case of the vectors, in both modes, is accepted or refused for the stated reason."""
    reasons = {
        "empty": "must not be empty",
        "too_long": "shorter than 234",
        "bad_character": "may contain only",
    }
    for case in vectors("providers")["validity"]:
        for mode, etw_only in (("cross_compat_error", False), ("etw_only_error", True)):
            if case[mode] is None:
                check_provider_name(case["provider_name"], etw_only=etw_only)
            else:
                with pytest.raises(EncodeError, match=reasons[case[mode]]):
                    check_provider_name(case["provider_name"], etw_only=etw_only)


def test_the_length_limit_counts_bytes_and_comes_before_the_characters():
    """233 bytes pass, 234 do not; 117 letters of two bytes are too long rather than bad."""
    check_provider_name("a" * 233)
    with pytest.raises(EncodeError, match="this one has 234"):
        check_provider_name("a" * 234)
    with pytest.raises(EncodeError, match="this one has 234"):
        check_provider_name("é" * 117)
    with pytest.raises(EncodeError, match="may contain only"):
        check_provider_name("é" * 116)


def test_the_message_names_the_bad_characters_and_the_way_out():
    """Each bad character is named once; a name that has only hyphens against it is told of the other mode."""
    with pytest.raises(EncodeError, match=r"contains '\?', ' '$"):
        check_provider_name("a?b c?d")
    with pytest.raises(EncodeError, match="hyphens need the ETW-only mode"):
        check_provider_name("my-provider")
    with pytest.raises(EncodeError) as refused:
        check_provider_name("a.b", etw_only=True)
    assert "'_' and '-'" in str(refused.value)


def test_the_hash_ignores_case_by_the_full_unicode_mapping():
    """Names that differ in case have one GUID, also where upper-casing makes two letters of one."""
    assert provider_id("MyProvider") == provider_id("MYPROVIDER") == provider_id("myprovider")
    assert provider_id("straße") == provider_id("STRASSE")


def test_the_metrics_provider_is_fixed_and_not_hashed():
    """Its traits are those of the description, and its GUID is not what the name hashes to."""
    blob = bytes.fromhex("22004e61746976654d657472696373457874656e73696f6e5f50726f766964657200")
    assert encode_traits(METRICS_PROVIDER_NAME) == blob
    assert str(METRICS_PROVIDER_ID) == "edc24920-e004-40f6-a8e1-0e6e48f39d84"
    assert provider_id(METRICS_PROVIDER_NAME) != METRICS_PROVIDER_ID


def test_a_provider_group_is_a_trait_of_19_bytes():
    """The group follows the name as size 0x13, type 1 and the GUID in memory order, and is read back."""
    blob = encode_traits("MyProvider", GROUP)
    assert blob.hex() == "20004d7950726f766964657200" + "130001" + GROUP.bytes_le.hex()
    assert decode_traits(blob) == ProviderTraits("MyProvider", GROUP)


def test_unknown_traits_are_kept_in_order():
    """A decode GUID (2), a trait without data and a second group stay as type and bytes."""
    first = encode_traits("P", GROUP)
    extra = b"\x13\x00\x02" + bytes(16) + b"\x03\x00\xfe" + b"\x13\x00\x01" + bytes(16)
    blob = (len(first) + len(extra)).to_bytes(2, "little") + first[2:] + extra
    assert decode_traits(blob) == ProviderTraits("P", GROUP, ((2, bytes(16)), (0xFE, b""), (1, bytes(16))))


@pytest.mark.parametrize("tail", [b"\x02\x00\x01", b"\x00\x00\x01", b"\x40\x00\x01abc", b"\x03\x00", b"\x03"])
def test_a_trait_that_does_not_fit_ends_the_list(tail):
    """The name and the traits before it are kept; a trait below 3 bytes or past the end is not followed."""
    first = encode_traits("P", GROUP)
    blob = (len(first) + len(tail)).to_bytes(2, "little") + first[2:] + tail
    assert decode_traits(blob) == ProviderTraits("P", GROUP)


def test_bytes_after_the_blob_are_not_looked_at():
    """Traits at the front of user data are read by their own size."""
    assert decode_traits(encode_traits("P", GROUP) + b"rest") == ProviderTraits("P", GROUP)
    assert decode_traits(memoryview(bytearray(encode_traits("P")))) == ProviderTraits("P")


@pytest.mark.parametrize(
    ("blob", "problem"),
    [
        (b"", "at least 3 bytes, found 0"),
        (b"\x03\x00", "at least 3 bytes, found 2"),
        (b"\x02\x00\x00", "claims 2 bytes"),
        (b"\x05\x00\x61\x00", "claims 5 bytes, 4 are there"),
        (b"\x04\x00\x61\x62", "no terminating NUL"),
        (b"\x04\x00\x61\x62\x00", "no terminating NUL"),
    ],
)
def test_damaged_traits_say_what_is_wrong(blob, problem):
    """A size or a name that does not fit raises DecodeError with an offset in the traits."""
    with pytest.raises(DecodeError, match=problem) as raised:
        decode_traits(blob)
    assert raised.value.where == "provider traits"
    assert raised.value.offset in (0, 2)


def test_a_name_that_has_no_encoding_is_refused():
    """A NUL would end the name early; 65532 bytes is the longest that its u16 size allows."""
    with pytest.raises(EncodeError, match="NUL"):
        encode_traits("a\0b")
    assert len(encode_traits("a" * 65532)) == 65535
    with pytest.raises(EncodeError, match="65535"):
        encode_traits("a" * 65533)
    with pytest.raises(EncodeError, match="65535"):
        encode_traits("a" * 65514, GROUP)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.none() | st.uuids())
@example("\U0001f600", None)
def test_traits_round_trip(name, group):
    """Any name without NUL, with or without group, is read back as written."""
    assert decode_traits(encode_traits(name, group)) == ProviderTraits(name, group)


@given(st.binary(max_size=60))
def test_any_bytes_are_traits_or_our_error(data):
    """Whatever the bytes, decoding gives traits or raises DecodeError."""
    try:
        traits = decode_traits(data)
    except DecodeError:
        return
    assert encode_traits(traits.name)[2:] == utf8(traits.name) + b"\0"

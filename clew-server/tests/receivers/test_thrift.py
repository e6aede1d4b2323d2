"""Thrift's two encodings: what real clients send is read, and bytes that lie about their sizes cost nothing."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.thrift import (
    BOOL,
    DOUBLE,
    I32,
    I64,
    LIST,
    ONEWAY,
    STRING,
    STRUCT,
    BinaryReader,
    CompactReader,
    Field,
    Message,
    Reader,
)

TAG = {
    1: Field("key", STRING),
    2: Field("type", I32),
    3: Field("string", STRING),
    4: Field("double", DOUBLE),
    5: Field("bool", BOOL),
    6: Field("long", I64),
}
TAGS = {1: Field("name", STRING), 2: Field("tags", LIST, Field("", STRUCT, TAG))}

# What jaeger-client (Python, 4.8.0) sends for one span, and the head of a batch from its Node sister.
COMPACT = bytes.fromhex(
    "82810109656d697442617463681c1c1803737663193c180e6a61656765722e76657273696f6e1500180c507974686f6e2d342e382e300018026970150018"
    "093139322e302e322e32001808686f73746e616d6515001802766d0000191c16f6a0a5c6a0dcc2b07416c6a0fce9818e91cf6216e8f3fbd9df969bfcaf01"
    "160018026f70250216b6e7b5848bb7b00616bc01196c18097370616e2e6b696e641500180673657276657200180c73616d706c65722e7479706515001805"
    "636f6e737400180d73616d706c65722e706172616d1504310018016e1506460e00180166150227000000000000f83f0018016215043100191c16c4e8b584"
    "8bb7b006191c18056576656e741500180265310000000000"
)
BINARY = bytes.fromhex(
    "0b0001000000046e7376630f00020c000000020b0001000000026970080002000000000b0003000000017800"
    "0b000100000001660800020000000104000440040000000000000000"
)
SPAN = {
    1: Field("low", I64),
    3: Field("id", I64),
    5: Field("name", STRING),
    7: Field("flags", I32),
    10: Field("tags", LIST, Field("", STRUCT, TAG)),
}
BATCH = {1: Field("process", STRUCT, TAGS), 2: Field("spans", LIST, Field("", STRUCT, SPAN))}


def test_a_compact_message_of_a_real_client_is_read_whole() -> None:
    reader = CompactReader(COMPACT)
    assert reader.message() == Message("emitBatch", ONEWAY, 1)
    batch = reader.struct({1: Field("batch", STRUCT, BATCH)})["batch"]
    reader.end()
    assert batch["process"]["name"] == b"svc"
    assert [tag["string"] for tag in batch["process"]["tags"]] == [b"Python-4.8.0", b"192.0.2.2", b"vm"]
    (span,) = batch["spans"]
    assert (span["name"], span["flags"]) == (b"op", 1)
    assert {tag["key"]: tag.get("bool", tag.get("double", tag.get("long"))) for tag in span["tags"][2:]} == {
        b"sampler.param": True,
        b"n": 7,
        b"f": 1.5,
        b"b": True,
    }


def test_a_binary_struct_is_read_whole() -> None:
    reader = BinaryReader(BINARY)
    assert reader.struct(TAGS) == {
        "name": b"nsvc",
        "tags": [{"key": b"ip", "type": 0, "string": b"x"}, {"key": b"f", "type": 1, "double": 2.5}],
    }
    reader.end()


@pytest.mark.parametrize("head", ["8001000400000009656d697442617463680000000c", "00000009656d69744261746368040000000c"])
def test_a_binary_message_is_read_with_a_version_and_without(head: str) -> None:
    assert BinaryReader(bytes.fromhex(head)).message() == Message("emitBatch", ONEWAY, 12)


def test_a_bare_list_of_structs_is_read_one_by_one() -> None:
    reader = BinaryReader(bytes.fromhex("0c00000002" + "0a0001000000000000000700" + "00"))
    assert list(reader.structs({1: Field("id", I64)})) == [{"id": 7}, {}]
    reader.end()


# Every type in a field that nobody wants, before one that is wanted.
_UNWANTED_BINARY = (
    "02000901" + "03000901" + "04000900000000000000ff" + "0600090001" + "08000900000001" + "0a00090000000000000001"
    "0b000900000002abcd" + "0c0009" + "08000100000001" + "00" + "0d00090b0800000001" + "0000000161" + "00000007"
    "0e00090300000002" + "0102" + "0f00090c00000001" + "00" + "0f00090000000000" + "100009" + "00" * 16
)
_UNWANTED_COMPACT = (
    "91" + "12" + "1305" + "1402" + "1502" + "1602" + "17" + "00" * 8 + "1802abcd" + "1922" + "0102" + "1a26" + "0204"
    "1b00" + "1b0185" + "016102" + "1c" + "1502" + "00" + "1d" + "00" * 16 + "1900"
)  # fmt: skip


@pytest.mark.parametrize(
    ("reader", "last"),
    [
        (BinaryReader(bytes.fromhex(_UNWANTED_BINARY + "08000100000005" + "00")), 5),
        (CompactReader(bytes.fromhex(_UNWANTED_COMPACT + "05020a" + "00")), 5),
    ],
)
def test_what_is_not_wanted_is_skipped_whatever_its_type(reader: Reader, last: int) -> None:
    assert reader.struct({1: Field("last", I32)}) == {"last": last}
    reader.end()


def test_a_wanted_field_of_another_type_is_skipped() -> None:
    assert BinaryReader(bytes.fromhex("0b000100000001ab" + "00")).struct({1: Field("n", I32)}) == {}
    assert CompactReader(bytes.fromhex("1801ab" + "00")).struct({1: Field("n", I32)}) == {}
    # A list of something else than the elements that are wanted.
    assert BinaryReader(bytes.fromhex("0f000108000000010000000700")).struct(
        {1: Field("l", LIST, Field("", STRING))}
    ) == {"l": []}


HUGE = [
    BinaryReader(bytes.fromhex("0b00017fffffff61")),
    BinaryReader(bytes.fromhex("0b0001ffffffff61")),
    BinaryReader(bytes.fromhex("0f00020c7fffffff")),
    BinaryReader(bytes.fromhex("0f00020cffffffff")),
    BinaryReader(bytes.fromhex("0d00090b0b7fffffff")),
    CompactReader(bytes.fromhex("18ffffffff0f61")),
    CompactReader(bytes.fromhex("29fcffffffff0f")),
    CompactReader(bytes.fromhex("9bffffffff0f88")),
]


@pytest.mark.parametrize("reader", HUGE)
def test_a_size_that_is_declared_and_not_there_costs_nothing(reader: Reader) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadInput):
            reader.struct(TAGS)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_more_elements_than_the_bytes_are_worth_are_too_many() -> None:
    empty = bytes.fromhex("0f00020c") + (10_000).to_bytes(4, "big") + bytes(10_001)
    with pytest.raises(TooLarge):
        BinaryReader(empty).struct(TAGS)
    with pytest.raises(TooLarge):  # a field that nobody wants is no way around
        BinaryReader(empty).struct({})


@pytest.mark.parametrize("wanted", [TAGS, {}])
def test_nesting_ends(wanted: dict[int, Field]) -> None:
    for level, reader in (("0c0009", BinaryReader), ("9c", CompactReader), ("0f00090f00000001", BinaryReader)):
        with pytest.raises(BadInput):
            reader(bytes.fromhex(level) * 5000).struct(wanted)


def test_numbers_have_64_bits() -> None:
    assert CompactReader(bytes.fromhex("16ffffffffffffffffff01" + "00")).struct({1: Field("n", I64)}) == {"n": -(2**63)}
    for long in ("ffffffffffffffffff02", "ff" * 12):
        with pytest.raises(BadInput):
            CompactReader(bytes.fromhex("16" + long + "00")).struct({1: Field("n", I64)})


@pytest.mark.parametrize("cut", range(0, len(COMPACT), 7))
def test_a_message_that_ends_anywhere_is_bad_input(cut: int) -> None:
    with pytest.raises(BadInput):
        _read_message(CompactReader(COMPACT[:cut]))


def _read_message(reader: Reader) -> Any:
    reader.message()
    return reader.struct({1: Field("batch", STRUCT, BATCH)})


def _read(reader: Reader, *, is_message: bool) -> Any:
    try:
        return _read_message(reader) if is_message else reader.struct({1: Field("batch", STRUCT, BATCH)})
    except BadInput:
        return None


@settings(max_examples=200)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_bad_input(body: bytes, is_message: bool) -> None:
    _read(BinaryReader(body), is_message=is_message)
    _read(CompactReader(body), is_message=is_message)


@settings(max_examples=200)
@given(st.sampled_from((COMPACT, BINARY)), st.data())
def test_flipped_bytes_are_read_or_bad_input(body: bytes, data: st.DataObject) -> None:
    broken = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    _read(CompactReader(bytes(broken)), is_message=body is COMPACT)
    _read(BinaryReader(bytes(broken)), is_message=False)

"""Arrays of heads say what each span says by itself, in whatever way its bytes are written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_spans import BROKEN, SPANS
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model import head_arrays as module
from clew_server.model.head_arrays import head_arrays
from clew_server.model.head_columns import HeadColumns, head_columns

# Fields of a span in forms that no sender of OTLP writes, and that protobuf reads all the same, or does not read.
FIELDS = st.sampled_from(
    [
        b"\x12\x08span  2.",
        b"\x12\x08" + bytes(8),
        b"\x12\x03odd",
        b"\x22\x08" + bytes(8),
        b"\x22\x08parent  ",
        b"\x22\x00",
        b"\x2a\x81\x00x",  # a length in two bytes where one does
        b"\x2a\x81\x80\x00y",
        b"\x2a\x81\x80\x80\x00z",
        b"\x2a\x01\xff",  # a name that is no text
        b"\x2a" + b"\x80\x02" + b"n" * 256,
        b"\x30\x83\x00",
        b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x39" + bytes(range(8)),
        b"\x41" + bytes(range(8, 16)),
        b"\x3d\0\0\0\0",  # start in four bytes: another field to protobuf
        b"\x4a\x80\x80\x01" + b"\x0a\x01k" + bytes(16_381),
        b"\x50\x81\x01",
        b"\x50\x81\x82\x83\x84\x05",
        b"\x50\x81\x82\x83\x84\x85\x06",
        b"\x5a\x00",
        b"\x5a\x0b\x12\x09exception",
        b"\x6a\x00",
        b"\x7a\x02\x18\x02",
        b"\x7a\x02\x18\x01",
        b"\x7a\x00",
        b"\x85\x01\1\2\3\4",  # flags
        b"\x85\x02\1\2\3\4",
        b"\x8a\x01\x01x",  # a field that OTLP does not have
        b"\x0b\x0c",  # a group
        b"\x0b",
        b"\x07",
        b"\x00\x00",
        b"\x02\x00",
    ]
)
HEAD = b"\x0a\x10" + b"t" * 16 + b"\x12\x08span  1."
WRITTEN = st.lists(FIELDS, max_size=5).map(lambda fields: HEAD + b"".join(fields))


def as_columns(raw: Sequence[bytes]) -> HeadColumns | None:
    """The arrays as columns."""
    found = head_arrays(raw)
    if found is None:
        return None
    parent_ids = [one.to_bytes(8, "big") for one in found.parent_ids.tolist()]
    return HeadColumns(
        found.places.tolist(),
        [one.to_bytes(8, "big") for one in found.ids.tolist()],
        [one if has else b"" for one, has in zip(parent_ids, found.has_parent_id.tolist(), strict=True)],
        [found.names[number] for number in found.name.tolist()],
        found.kinds.tolist(),
        found.starts_unix_nano.tolist(),
        found.ends_unix_nano.tolist(),
        found.flags.tolist(),
    )


def check(raw: list[bytes]) -> None:
    expected = head_columns(raw)
    has_place = all(len(one) == 8 and any(one) for one in expected.ids)
    has_place = has_place and all(len(one) in (0, 8) for one in expected.parent_ids)
    assert as_columns(raw) == (expected if has_place else None)


@example([HEAD + b"*\x01\xff" + b"*\x01n", HEAD])
@given(st.lists(st.one_of(SPANS.map(Span.SerializeToString), WRITTEN, BROKEN), min_size=1, max_size=12))
def test_arrays_are_what_each_span_says_by_itself_however_it_is_written(raw: list[bytes]) -> None:
    check(raw)


@given(WRITTEN, st.integers(1, 40))
def test_spans_that_are_cut_off_anywhere_are_read_as_protobuf_reads_them(whole: bytes, less: int) -> None:
    check([HEAD, whole[: max(1, len(whole) - less)], HEAD])


@settings(max_examples=30)
@given(st.lists(st.one_of(SPANS.map(Span.SerializeToString), WRITTEN), min_size=1, max_size=12), st.integers(1, 5))
def test_blocks_of_any_length_make_the_same_arrays(raw: list[bytes], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SPANS_AT_ONCE", at_once)
        check(raw)
        patch.setattr(module, "_BYTES_AT_ONCE", 150)
        check(raw)


def test_one_span_with_very_many_attributes_is_read_by_itself() -> None:
    many = Span(trace_id=b"t" * 16, span_id=b"span  1.", name="many")
    for number in range(500):
        many.attributes.add(key=str(number)).value.int_value = number
    many.events.add(name="exception")
    check([HEAD, many.SerializeToString(), HEAD])

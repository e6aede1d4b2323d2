"""Text of one attribute, straight from the bytes of a span: the same as parsing says, or the word that only parsing can tell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import text_in_span, text_of

KEY = "peer.service"
TEXTS = st.one_of(
    st.text(max_size=8),
    st.text(min_size=100, max_size=140),
    st.just("x" * 20_000),
    st.sampled_from([KEY, f"\n\x0c{KEY}\x12", f"J\x12\n\x0c{KEY}\x12\x02\n\x00"]),
)
VALUES = st.one_of(
    TEXTS.map(lambda text: AnyValue(string_value=text)),
    st.integers(-3, 300).map(lambda number: AnyValue(int_value=number)),
    st.just(AnyValue()),
)
PAIRS = st.lists(
    st.builds(lambda key, value: KeyValue(key=key, value=value), st.sampled_from([KEY, "a", KEY + "s", ""]), VALUES),
    max_size=4,
)


@settings(max_examples=300)
@given(PAIRS, PAIRS, PAIRS, TEXTS)
def test_it_is_what_parsing_says_or_nothing(
    own: list[KeyValue], of_event: list[KeyValue], of_link: list[KeyValue], name: str
) -> None:
    span = Span(name=name, attributes=own, events=[Span.Event(attributes=of_event)])
    span.links.add(attributes=of_link)
    text = text_in_span(span.SerializeToString(), KEY)
    assert text is None or text == text_of(span.attributes, KEY)


@pytest.mark.parametrize(
    "text", ["pay", "", "größer", *("x" * length for length in (105, 109, 125, 126, 127, 128, 16_000))]
)
def test_an_ordinary_attribute_needs_no_parsing(text: str) -> None:
    span = Span(name="call", attributes=[KeyValue(key="a", value=AnyValue(string_value="b"))])
    span.attributes.add(key=KEY).value.string_value = text
    span.attributes.add(key="b").value.int_value = 7
    assert text_in_span(span.SerializeToString(), KEY) == text
    assert text_in_span(span.SerializeToString(), "server.address") == ""


def test_bytes_cut_short_tell_nothing_and_raise_nothing() -> None:
    span = Span(attributes=[KeyValue(key=KEY, value=AnyValue(string_value="pay"))]).SerializeToString()
    for end in range(len(span)):
        assert text_in_span(span[:end], KEY) in ("", None, *["pay"[:at] for at in range(3)])

"""Headers read in C are what they are when they are read in Python: the parent of a traceparent, the names of a request."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from clew.carriers import AsgiCarrier, getter, native
from clew.propagation import default_propagator

fast: Any = pytest.importorskip("clew.recorder._fast")
TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
PROPAGATOR = default_propagator()


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    before = native.read_names, native.read_parent
    yield
    native.read_names, native.read_parent = before


def read(module: object, pairs: list[tuple[bytes, bytes]]) -> Any:
    """What a request with these headers says, and how its carrier reads them."""
    native.use(module)
    carrier = AsgiCarrier(list(pairs))
    context = PROPAGATOR.extract(carrier, Context({"before": 1}), getter)
    span = get_current_span(context)
    others = {key: value for key, value in context.items() if value is not span}
    index = carrier.index()
    return type(span), span.get_span_context(), others, index, list(index), carrier.names, carrier.get("host")


HEX = st.text("0123456789abcdefABCDEFg-", min_size=0, max_size=36).map(str.encode)
traceparents = st.one_of(
    st.builds(
        lambda version, trace, span, flags, more: b"-".join((version, trace, span, flags)) + more,
        st.sampled_from((b"00", b"01", b"ff", b"0")),
        st.one_of(st.sampled_from((TRACE, TRACE.upper(), b"0" * 32, b"0" * 16 + TRACE[16:])), HEX),
        st.one_of(st.sampled_from((SPAN, SPAN.upper(), b"0" * 16, b"f" * 16)), HEX),
        st.sampled_from((b"00", b"01", b"02", b"03", b"04", b"0a", b"11", b"ff", b"1", b"")),
        st.sampled_from((b"", b"", b"", b"-", b" ", b"\n")),
    ),
    st.binary(max_size=60),
)
names = st.sampled_from((b"host", b"HOST", b"accept", b"tracestate", b"baggage", b"x-md-global-a", b"1", b"\xe4", b""))
headers = st.lists(st.tuples(names, st.binary(max_size=8)), max_size=6)


@given(traceparents, headers)
def test_headers_read_in_c_say_the_same(traceparent: bytes, more: list[tuple[bytes, bytes]]) -> None:
    pairs = [*more[:3], (b"traceparent", traceparent), *more[3:]]
    assert read(fast, pairs) == read(None, pairs)


@given(headers)
def test_names_read_in_c_are_the_same(pairs: list[tuple[bytes, bytes]]) -> None:
    assert read(fast, pairs) == read(None, pairs)


@pytest.mark.parametrize("pairs", [[["host", b"a"]], [(b"a",)], [None], [(b"a", b"b", b"c")], (), ((b"a", b"b"),)])
def test_what_are_no_pairs_of_bytes_is_left_to_python(pairs: Any) -> None:
    assert fast.read_names(pairs) is None


@pytest.mark.parametrize(("recorder", "reads"), [("native", "True True"), ("pure", "False False")])
def test_configure_reads_natively_where_spans_are_recorded_natively(recorder: str, reads: str) -> None:
    program = """
import clew
from clew.carriers import native
from clew.testing import InMemoryExporter
clew.configure(exporter=InMemoryExporter())
print(native.read_names is not None, native.read_parent is not None)
"""
    # A process is configured once.
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CLEW_RECORDER": recorder},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.strip() == reads

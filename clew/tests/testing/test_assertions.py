"""Span assertions: what they accept, and that a failure tells the whole story."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import opentelemetry.sdk.trace
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.testing import Expect, InMemoryExporter, SpanRecorder, Spans


@pytest.fixture(params=["sdk", "clew", "recorder"])
def shop(request: pytest.FixtureRequest) -> Iterator[Spans]:
    """A checkout: two loads of a cart and a payment that fails."""
    provider: Any
    if request.param == "sdk":
        sdk_exporter = InMemorySpanExporter()
        provider = opentelemetry.sdk.trace.TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(sdk_exporter))
        spans = Spans(sdk_exporter)
    elif request.param == "clew":
        exporter = InMemoryExporter()
        provider = clew.TracerProvider(exporter=exporter)
        spans = Spans(exporter)
    else:
        provider = clew.TracerProvider()
        spans = Spans(SpanRecorder(provider))
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("checkout", kind=SpanKind.SERVER, attributes={"user.id": 7, "tags": ["a", "b"]}):
        for item in (1, 2):
            with tracer.start_as_current_span("load cart", attributes={"item": item}):
                pass
        with tracer.start_as_current_span("pay") as pay:
            with tracer.start_as_current_span("POST", kind=SpanKind.CLIENT, attributes={"http.status": 402}) as post:
                post.add_event("retry")
            pay.set_status(StatusCode.ERROR, "card refused")
    provider.force_flush()
    yield spans
    provider.shutdown()


def failure_of(call: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        call()
    return str(caught.value)


def test_spans_are_found_by_name_kind_status_and_attributes(shop: Spans) -> None:
    assert shop.names == ["load cart", "load cart", "POST", "pay", "checkout"]
    assert len(shop) == 5
    assert shop
    assert shop[-1].name == "checkout"
    assert [span.name for span in shop.find(kind="client")] == ["POST"]
    assert [span.name for span in shop.find(kind=SpanKind.SERVER)] == ["checkout"]
    assert [span.name for span in shop.find(status="error")] == ["pay"]
    assert len(shop.find("load cart")) == 2
    assert len(shop.find(re.compile("p.*|P.*"))) == 2
    assert shop.find(attributes={"item": 2}) == [shop[1]]
    assert len(shop.find(attributes={"item": ...})) == 2
    assert len(shop.find(attributes={"item": None})) == 3
    assert shop.one("checkout", attributes={"tags": ["a", "b"], "user.id": 7}).name == "checkout"
    shop.none("refund")
    shop.none("pay", status="ok")


def test_parents_and_children(shop: Spans) -> None:
    checkout, pay, post = shop.one("checkout"), shop.one("pay"), shop.one("POST")
    assert [span.name for span in shop.roots] == ["checkout"]
    assert [span.name for span in shop.children(checkout)] == ["load cart", "load cart", "pay"]
    assert shop.parent(post).name == "pay"
    assert shop.parent(checkout) is None
    shop.assert_child("POST", "pay")
    shop.assert_child(pay, checkout)
    assert "POST is no child of checkout; its parent: pay" in failure_of(lambda: shop.assert_child("POST", "checkout"))
    assert "checkout is no child of pay; its parent: it has none" in failure_of(
        lambda: shop.assert_child("checkout", "pay")
    )


def test_a_tree_is_matched_whatever_the_order_of_siblings(shop: Spans) -> None:
    shop.assert_tree(
        Expect(
            "checkout",
            Expect("pay", Expect("POST", kind="client"), status="error"),
            Expect("load cart", attributes={"item": 2}),
            Expect("load cart"),
            kind="server",
        )
    )
    shop.assert_tree(Expect("checkout", Expect("pay", ...), ...))
    shop.assert_tree(Expect(None, ...))


def test_siblings_are_paired_so_that_all_fit_if_that_can_be(shop: Spans) -> None:
    # The first expectation fits both spans; taken greedily it would leave the second with none.
    for items in ((..., 1), (..., 2), (1, ...), (2, ...)):
        loads = [Expect("load cart", attributes={"item": item}) for item in items]
        shop.assert_tree(Expect("checkout", *loads, Expect("pay", ...)))


def test_a_failure_prints_the_tree_of_all_spans(shop: Spans) -> None:
    message = failure_of(lambda: shop.one("refund"))
    lines = [re.sub(r"\d+\.\d+ ms", "N ms", line) for line in message.splitlines()]
    assert lines == [
        "one span refund was expected, 0 found",
        "recorded:",
        "  checkout server N ms user.id=7 tags=('a', 'b')",
        "    load cart N ms item=1",
        "    load cart N ms item=2",
        "    pay ERROR (card refused) N ms",
        "      POST client N ms http.status=402 [retry]",
    ]


def test_a_failure_says_what_kept_the_namesake_from_fitting(shop: Spans) -> None:
    message = failure_of(
        lambda: shop.one("POST", kind="server", attributes={"http.status": 200, "url": ..., "x": None})
    )
    assert message.startswith("one span POST server http.status=200 url=... x=None was expected, 0 found\n")
    assert "- POST: the kind is client, not server; http.status is 402, not 200; url is missing\n" in message
    assert "2 found" in failure_of(lambda: shop.one("load cart"))
    assert "no span pay error was expected, 1 found" in failure_of(lambda: shop.none("pay", status="error"))


def test_a_tree_that_differs_is_told_by_its_differences(shop: Spans) -> None:
    message = failure_of(
        lambda: shop.assert_tree(
            Expect(
                "checkout",
                Expect("load cart"),
                Expect("pay", Expect("POST", Expect("connect")), status="ok"),
                Expect("ship"),
            )
        )
    )
    assert [line for line in message.splitlines() if line.startswith("- ")] == [
        "- checkout > pay: the status is error, not ok",
        "- checkout > pay > POST: connect is missing",
        "- checkout: ship is missing",
        "- checkout: load cart is there and was not expected",
    ]
    assert message.startswith("the spans form another tree than\n  checkout\n    load cart\n    pay ok\n      POST\n")
    assert "among the roots: checkout is there and was not expected" in failure_of(shop.assert_tree)


def test_a_word_that_is_no_kind_or_status_is_refused(shop: Spans) -> None:
    with pytest.raises(ValueError, match="'servr' is none of internal, server, client, producer, consumer"):
        shop.find(kind="servr")
    with pytest.raises(ValueError, match="'failed' is none of unset, ok, error"):
        Expect("x", status="failed")


def test_no_spans_are_said_to_be_none() -> None:
    empty = Spans([])
    assert not empty
    assert (repr(empty), empty.tree(), empty.roots) == ("no spans", "", [])
    empty.none()
    empty.assert_tree()
    assert failure_of(lambda: empty.one("x")) == "one span x was expected, 0 found\nrecorded: no spans"


def test_a_source_is_read_anew_unless_it_is_a_collection() -> None:
    kept: list[Any] = []
    live, frozen = Spans(lambda: kept), Spans(kept)
    provider = clew.TracerProvider()
    recorder = SpanRecorder(provider)
    provider.get_tracer("t").start_span("s").end()
    kept += recorder.spans
    assert (len(live), len(frozen), len(Spans(live))) == (1, 0, 1)
    with pytest.raises(TypeError, match="int is no recorder"):
        Spans(3)
    provider.shutdown()

"""Many spans as columns: the same spans, each once where that is asked."""

from __future__ import annotations

from clew_server.model.stored import Origin, StoredSpan, StoredSpans

CART = StoredSpan(b"cart", "r", b"lib", "s", b"one", 7)


def test_spans_come_out_as_they_went_in() -> None:
    spans = [CART, CART._replace(span=b"two"), CART._replace(resource=b"pay", received_unix_nano=9)]
    columns = StoredSpans(spans)
    assert list(columns) == spans
    assert [columns[at] for at in (0, 2, -1)] == [spans[0], spans[2], spans[2]]
    assert list(columns[1:]) == spans[1:]
    assert list(columns.take([2, 0])) == [spans[2], spans[0]]
    assert columns.origins == [Origin(b"cart", "r", b"lib", "s"), Origin(b"pay", "r", b"lib", "s")]


def test_columns_are_put_together_although_each_numbers_its_origins() -> None:
    pay = CART._replace(resource=b"pay")
    columns = StoredSpans([pay, CART])
    columns.extend(StoredSpans([CART._replace(span=b"two"), pay._replace(span=b"two")]))
    columns.extend([CART._replace(scope=b"other")])
    assert list(columns)[2:] == [
        CART._replace(span=b"two"),
        pay._replace(span=b"two"),
        CART._replace(scope=b"other"),
    ]
    assert len(columns.origins) == 3


def test_a_span_that_came_twice_is_there_once_with_its_first_arrival() -> None:
    late = CART._replace(received_unix_nano=9)
    assert list(StoredSpans([late, CART, late]).distinct()) == [CART]


def test_spans_are_equal_only_with_equal_resource_scope_and_urls() -> None:
    others = [
        CART._replace(resource=b""),
        CART._replace(resource_schema_url="x"),
        CART._replace(scope=b""),
        CART._replace(scope_schema_url="x"),
        CART._replace(span=b""),
    ]
    assert list(StoredSpans([CART, *others, *others]).distinct()) == [CART, *others]


def test_a_fingerprint_is_that_of_the_spans_in_any_order_and_whenever_they_came() -> None:
    late = CART._replace(received_unix_nano=CART.received_unix_nano + 1)
    other, moved = CART._replace(span=b"two"), CART._replace(resource=b"elsewhere")
    assert StoredSpans([CART, other]).fingerprint() == StoredSpans([other, late]).fingerprint()
    different = [[], [CART], [other], [moved], [CART, other], [CART, moved], [moved, other]]
    assert len({StoredSpans(spans).fingerprint() for spans in different}) == len(different)

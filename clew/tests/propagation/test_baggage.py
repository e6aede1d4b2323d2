"""W3C baggage."""

from __future__ import annotations

from collections import Counter
from urllib.parse import unquote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context

from clew.carriers import DictCarrier, getter, setter
from clew.propagation import BaggagePropagator


def extracted(header: str | list[str]) -> dict[str, object]:
    return dict(baggage.get_all(BaggagePropagator().extract(DictCarrier({"baggage": header}), Context(), getter)))


def injected(values: dict[str, object]) -> str:
    context = Context()
    for key, value in values.items():
        context = baggage.set_baggage(key, value, context)
    carrier = DictCarrier()
    BaggagePropagator().inject(carrier, context, setter)
    return str(carrier.headers.get("baggage", ""))


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("k=v", {"k": "v"}),
        ("k=v,k2=v2", {"k": "v", "k2": "v2"}),
        (["k=v", "k2=v2"], {"k": "v", "k2": "v2"}),
        (" k = v , k2\t=\tv2 ", {"k": "v", "k2": "v2"}),
        ("k=v;prop=1;flag , k2=v2", {"k": "v", "k2": "v2"}),
        ("k=", {"k": ""}),
        ("k=a=b", {"k": "a=b"}),
        ("k=%C3%A9%2C%20%25", {"k": "é, %"}),
        # A plus is a plus.
        ("k=1+1", {"k": "1+1"}),
        ("k=%ff", {"k": "\N{REPLACEMENT CHARACTER}"}),
        # What is malformed costs nothing but itself.
        ('no value,k=v,=x,a b=c,k2="', {"k": "v"}),
        ("", {}),
        (";;=,,", {}),
    ],
)
def test_headers_are_read(header: str | list[str], values: dict[str, object]) -> None:
    assert extracted(header) == values


@given(
    st.dictionaries(st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", fullmatch=True), st.text(max_size=40), max_size=20)
)
@example({"0": "0", "0+": ""})
def test_what_is_sent_is_read_alike_by_us_and_by_opentelemetry(values: dict[str, object]) -> None:
    header = injected(values)
    assert extracted(header) == values
    theirs = dict(baggage.get_all(W3CBaggagePropagator().extract({"baggage": header}, Context())))
    # They decode keys, too, and strip both, so that two keys can become one: `0+` is read as `0`.
    read_as = Counter(unquote_plus(key).strip() for key in values)
    for key in values:
        if "%" not in key and "+" not in key and key in theirs and read_as[key] == 1:
            assert theirs[key] == str(values[key]).strip()


def test_text_that_is_not_unicode_costs_nothing_but_itself() -> None:
    assert injected({"k": "\ud800", "k2": "v2"}) == "k=?,k2=v2"


def test_properties_are_sent_on() -> None:
    context = BaggagePropagator().extract(DictCarrier({"baggage": "k=a%20b;p=1;q,k2=v"}), Context(), getter)
    carrier = DictCarrier()
    BaggagePropagator().inject(carrier, context, setter)
    assert carrier.headers["baggage"] == "k=a%20b;p=1;q,k2=v"


def test_a_key_that_is_no_token_is_not_sent() -> None:
    assert injected({"a b": "1", "k": "v", "": "x"}) == "k=v"


def test_64_members_and_8192_bytes_get_through_and_more_is_left_out() -> None:
    many = ",".join(f"k{n}=v" for n in range(300))
    assert len(extracted(many)) == 180
    long = "k=" + "v" * 8190
    assert extracted(long) == {"k": "v" * 8190}
    assert extracted(long + "v") == {}
    assert extracted("a=b," + long) == {"a": "b"}
    assert injected({"k": "v" * 8190, "more": "x"}) == long
    assert injected({f"k{n}": "v" for n in range(300)}).count(",") == 179

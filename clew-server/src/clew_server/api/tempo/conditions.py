"""One condition of TraceQL as a part of the query language's tree: an attribute or an intrinsic, a comparison, a value. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

from clew_server.api.tempo.attributes import Attribute
from clew_server.api.tempo.tokens import Token, unsupported, value_of, wrong
from clew_server.model.query_tree import And, Node, Not, Op, SpanPlace, SpanTerm, TracePlace, TraceTerm, Value
from clew_server.model.search import KIND_WORDS, STATUS_WORDS

COMPARISONS: Final = ("=", "!=", ">", ">=", "<", "<=", "=~", "!~")
_NEGATIONS: Final = {"!=": "=", "!~": "=~"}
_ORDERS: Final = (">", ">=", "<", "<=")

_ATTRIBUTES: Final[dict[str, SpanPlace]] = {
    "any": "attr",
    "span": "of_span",
    "resource": "of_resource",
    "instrumentation": "of_scope",
    "event": "event_attr",
    "link": "link_attr",
}
_TEXTS: Final[dict[str, SpanPlace]] = {
    "name": "name",
    "statusMessage": "status_message",
    "instrumentation:name": "scope",
    "event:name": "event",
}
_TRACE_TEXTS: Final[dict[str, TracePlace]] = {"rootName": "root_name", "rootServiceName": "root_service"}
_WORDS: Final[dict[str, Sequence[str]]] = {"status": STATUS_WORDS, "kind": KIND_WORDS}
_IDS: Final[dict[str, tuple[SpanPlace | TracePlace, int]]] = {
    "trace:id": ("id", 32),
    "span:id": ("id", 16),
    "span:parentID": ("parent", 16),
    "link:traceID": ("link_trace", 32),
}
_SOME: Final = ("event:name", "event", "link", "link:traceID")
"""A span has several of these: that none is so, and that some other is so, are two things, and TraceQL means the second."""
_ROOTS: Final = {"< 0", "<= -1", "= -1", "< 1"}
_NO_ROOTS: Final = {">= 0", "> -1", "!= -1", "> 0", ">= 1"}
"""`nestedSetParent` is -1 of a span without a parent, and from 1 on of others."""


def condition(attribute: Attribute, op: Token, value: Token) -> Node:
    """The condition. Raises Unsupported, BadInput, both with the place of what is wrong."""
    place, key = attribute.place, attribute.key
    if op.text in _NEGATIONS and (place in _SOME or (place == "intrinsic" and key in _SOME)):
        raise unsupported(f"{op.text} after {attribute.text!r} is not answered: a span may have several", op.at)
    if place == "intrinsic":
        return _of_intrinsic(attribute, op, value)
    if place not in _ATTRIBUTES:
        raise unsupported(f"a condition on {attribute.text!r} is not answered", op.at)
    if value.kind == "name" and value.text not in ("true", "false", "nil"):
        raise _no_value(value)
    if key == "service.name" and place in ("resource", "any") and value.text != "nil":
        return _texts("service", attribute, op, value)
    return _of_attribute(_ATTRIBUTES[place], attribute, op, value)


def _of_attribute(place: SpanPlace, attribute: Attribute, op: Token, value: Token) -> Node:
    there = SpanTerm(place, "exists", (), attribute.key, True, value.at)
    if value.kind == "name" and value.text == "nil":
        if op.text not in ("=", "!="):
            raise unsupported(f"{op.text} nil is not answered", op.at)
        return there if op.text == "!=" else Not(there)
    if op.text in _ORDERS and value.kind not in ("number", "duration"):
        raise unsupported(f"{op.text} is answered of numbers and durations", op.at)
    positive = _NEGATIONS.get(op.text, op.text)
    term = SpanTerm(place, cast("Op", positive), (_compared(op, value),), attribute.key, True, value.at)
    # In TraceQL a span without the attribute satisfies neither of both.
    return term if positive == op.text else And((there, Not(term)))


def _of_intrinsic(attribute: Attribute, op: Token, value: Token) -> Node:
    key = attribute.key
    if key in ("duration", "traceDuration"):
        return _of_length(attribute, op, value)
    if key in _WORDS:
        return _of_word(attribute, op, value, _WORDS[key])
    if key in _IDS:
        return _of_id(attribute, op, value, *_IDS[key])
    if key == "nestedSetParent":
        asked = f"{op.text} {value.text}"
        if asked not in _ROOTS | _NO_ROOTS:
            raise unsupported(
                "of nestedSetParent is answered whether it is below 0, which says that a span is a root", op.at
            )
        return SpanTerm("root", "=", (Value("true" if asked in _ROOTS else "false"),), position=value.at)
    if value.kind == "name":
        raise _no_value(value)
    return _texts(_TRACE_TEXTS.get(key) or _TEXTS[key], attribute, op, value)


def _texts(place: SpanPlace | TracePlace, attribute: Attribute, op: Token, value: Token) -> Node:
    if op.text in _ORDERS:
        raise unsupported(f"{op.text} after {attribute.text!r} is not answered", op.at)
    positive = cast("Op", _NEGATIONS.get(op.text, op.text))
    values = (Value(_compared(op, value).text, position=value.at),)
    term = _term(place, attribute, positive, values)
    return term if positive == op.text else Not(term)


def _of_length(attribute: Attribute, op: Token, value: Token) -> Node:
    if op.text in ("=~", "!~"):
        raise unsupported(f"{op.text} after {attribute.text!r} is not answered", op.at)
    if value.kind != "duration":
        raise wrong(f"wants a duration such as 500ms, not {value.text!r}", value.at)
    positive = cast("Op", _NEGATIONS.get(op.text, op.text))
    term = _term("dur" if attribute.key == "duration" else "duration", attribute, positive, (value_of(value),))
    return term if positive == op.text else Not(term)


def _of_word(attribute: Attribute, op: Token, value: Token, words: Sequence[str]) -> Node:
    if op.text not in ("=", "!="):
        raise unsupported(f"{op.text} after {attribute.text!r} is not answered", op.at)
    if value.kind != "name" or value.text not in words:
        raise wrong(f"{attribute.text} is one of {', '.join(words)}, not {value.text!r}", value.at)
    term = _term(cast("SpanPlace", attribute.key), attribute, "=", (Value(value.text, position=value.at),))
    return term if op.text == "=" else Not(term)


def _of_id(attribute: Attribute, op: Token, value: Token, place: SpanPlace | TracePlace, digits: int) -> Node:
    if op.text not in ("=", "!="):
        raise unsupported(f"{op.text} after {attribute.text!r} is not answered", op.at)
    # Tempo writes ids without their leading zeros.
    text = value_of(value).text.lower().zfill(digits)
    if value.kind != "string" or re.fullmatch(rf"[0-9a-f]{{{digits}}}", text) is None:
        raise wrong(f"{attribute.text} is up to {digits} hex digits in quotes, not {value.text!r}", value.at)
    term = _term(place, attribute, "=", (Value(text, position=value.at),))
    return term if op.text == "=" else Not(term)


def _term(
    place: SpanPlace | TracePlace, attribute: Attribute, op: Op, values: tuple[Value, ...]
) -> SpanTerm | TraceTerm:
    if attribute.key in ("traceDuration", "trace:id", *_TRACE_TEXTS):
        return TraceTerm(cast("TracePlace", place), op, values, values[0].position)
    return SpanTerm(cast("SpanPlace", place), op, values, position=values[0].position)


def _compared(op: Token, value: Token) -> Value:
    """The value; of an expression the one that must be found from the first character to the last, as Tempo means it."""
    found = value_of(value)
    if op.text not in ("=~", "!~"):
        return found
    if value.kind != "string":
        raise unsupported(f"{op.text} wants an expression in quotes", value.at)
    return Value(f"^(?:{found.text})$", position=value.at)


def _no_value(value: Token) -> Exception:
    return unsupported(
        f"{value.text!r} is no value: a text stands in quotes, and two attributes are not compared", value.at
    )

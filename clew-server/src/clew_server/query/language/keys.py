"""What a key of the language stands for, and which comparisons it takes."""

from __future__ import annotations

from typing import Final, NamedTuple

from clew_server.errors import BadInput
from clew_server.model.query_tree import ALWAYS_NAMED, SpanPlace, TracePlace
from clew_server.model.quoting import WORDS, in_quotes
from clew_server.query.language.scanner import KEY, Scanner, bad_query


class Key(NamedTuple):
    """A key, resolved."""

    place: SpanPlace | TracePlace
    of_trace: bool = False
    name: str = ""
    """Of the attribute."""
    exact: bool = False


_SPAN: Final[dict[str, SpanPlace]] = {
    "service": "service",
    "name": "name",
    "operation": "name",
    "scope": "scope",
    "status.message": "status_message",
    "kind": "kind",
    "status": "status",
    "dur": "dur",
    "id": "id",
    "parent": "parent",
    "root": "root",
    "failed": "failed",
    "event": "event",
    "link.trace": "link_trace",
}
_TRACE: Final[dict[str, TracePlace]] = {
    "trace.duration": "duration",
    "trace.start": "start",
    "trace.spans": "spans",
    "trace.errors": "errors",
    "trace.services": "services",
    "trace.root.service": "root_service",
    "trace.root.name": "root_name",
    "trace.id": "id",
}
_PREFIXES: Final[tuple[tuple[str, SpanPlace], ...]] = (
    ("event.", "event_attr"),
    ("link.", "link_attr"),
    ("span.", "of_span"),
    ("resource.", "of_resource"),
    ("scope.", "of_scope"),
)

EQUALITIES: Final = ("=", "!=", "in")
TEXT_OPS: Final = ("=", "!=", "=~", "!~", "in")
ORDER_OPS: Final = (">", ">=", "<", "<=")
ATTRIBUTES: Final = ("attr", "of_span", "of_resource", "of_scope", "event_attr", "link_attr")
TEXTS: Final = ("service", "name", "scope", "status_message", "event", "root_service", "root_name")
LENGTHS: Final = ("dur", "duration")
COUNTS: Final = ("spans", "errors", "services")
WITH_EXISTS: Final = (*ATTRIBUTES, *ALWAYS_NAMED, "scope", "status_message", "parent", "event", "link_trace")
"""What `exists` can be asked of: what may be absent, and names, which may be empty."""


def resolved(text: str, quoted: bool, exact: bool, position: int) -> Key:
    """The key of a condition. In quotes, and in `exact(…)`, it is an attribute. Raises BadInput for a `trace.` key that there is not."""
    if quoted or exact:
        return Key("attr", name=text, exact=exact)
    if text in _SPAN:
        return Key(_SPAN[text])
    if text in _TRACE:
        return Key(_TRACE[text], of_trace=True)
    for prefix, place in _PREFIXES:
        if text.startswith(prefix) and len(text) > len(prefix):
            return Key(place, name=text.removeprefix(prefix))
    if text.startswith("trace."):
        raise bad_query(f"There is no {text!r}; of a trace there are {', '.join(_TRACE)}.", position)
    return Key("attr", name=text)


def comparisons(place: str) -> tuple[str, ...]:
    """The operators that a place takes, `exists` aside."""
    if place in ATTRIBUTES:
        return (*TEXT_OPS, *ORDER_OPS)
    if place in (*LENGTHS, *COUNTS, "start"):
        return ("=", "!=", *ORDER_OPS, "in")
    if place in TEXTS:
        return TEXT_OPS
    if place in ("root", "failed"):
        return ("=", "!=")
    return EQUALITIES


def type_of(place: str) -> str:
    """What the values of a place are: `text`, `word` (one of a few), `boolean`, `length`, `time`, `number`, `id`, or `any`."""
    if place in TEXTS:
        return "text"
    if place in ("kind", "status"):
        return "word"
    if place in ("root", "failed"):
        return "boolean"
    if place in LENGTHS:
        return "length"
    if place == "start":
        return "time"
    if place in COUNTS:
        return "number"
    return "id" if place in ("id", "parent", "link_trace") else "any"


def of_the_language() -> list[tuple[str, str]]:
    """The keys that every store has, with their types, in the order of the documentation."""
    return [(name, type_of(place)) for name, place in (*_SPAN.items(), *_TRACE.items())]


def written(key: str, prefix: str = "") -> str | None:
    """An attribute's key as a query writes it: bare where that is understood as this key, else in quotes. `prefix`: as `event.`.

    None where no query can ask for it: with a prefix there are no quotes.
    """
    if prefix:
        return prefix + key if KEY.fullmatch(key) else None
    bare = KEY.fullmatch(key) and key.lower() not in WORDS and not key.startswith("trace.")
    if bare and resolved(key, False, False, 0) == Key("attr", name=key):
        return key
    return in_quotes(key)


def from_text(text: str, parameter: str = "key") -> Key:
    """The key that a text is: as in a query bare, in quotes, or in `exact( )`. Raises BadInput, code `bad_parameter`."""
    try:
        scanner = Scanner(text)
        token, after = scanner.take(), scanner.take()
        exact = token.text == "exact" and after.text == "("
        closed = True
        if exact:
            token, closed, after = scanner.take(), scanner.take().text == ")", scanner.take()
        if token.kind in ("word", "quoted") and closed and after.kind == "end":
            return resolved(token.text, token.kind == "quoted", exact, 0)
        message = f"{text[:80]!r} is not one key of a query"
    except BadInput as error:
        message = str(error)
    raise BadInput(f"{parameter}: {message}", code="bad_parameter")

"""The part of TraceQL that clew's searches can say: conditions joined by && in one pair of braces, and what may follow in a pipe. Pure.

What TraceQL has beside that is refused with a sentence, never answered as something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, cast

from clew_server.errors import BadInput, Unsupported
from clew_server.model.lengths import length_ns
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Compare, SpanCondition, TraceCondition

Function = Literal["rate", "count_over_time", "min_over_time", "max_over_time", "avg_over_time", "sum_over_time", "quantile_over_time"]  # fmt: skip

SAYABLE: Final = (
    "clew answers conditions joined by && in one pair of braces, with = after attributes, = and != after name, status, kind and"
    " service.name, and = > >= < <= after duration and traceDuration,"
    ' as in { resource.service.name = "cart" && status = error && duration > 500ms }'
)
_MAX_CHARACTERS: Final = 4_096
_MAX_CONDITIONS: Final = 32
_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
    | (?P<duration>(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+(?![\w.]))
    | (?P<number>-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?)
    | (?P<name>\.?(?:[A-Za-z_][\w]*:)?[A-Za-z_](?:[\w/.:-]|"(?:[^"\\]|\\.)*")*|\."(?:[^"\\]|\\.)*")
    | (?P<mark>&>>|&<<|&>|&<|&~|!>>|!<<|!>|!<|!~|&&|\|\||>>|<<|=~|!=|>=|<=|[=<>~{}()|,!+*/%^-])
    )""",
    re.VERBOSE,
)
_OF_WORDS: Final = ("status", "kind", "duration", "traceDuration")
"""Intrinsics that say themselves what may stand behind them."""
_COMPARES: Final = ("=", "!=", ">", ">=", "<", "<=")
_ORDER: Final = ("=", "!=", ">", ">=", "<", "<=", "=~", "!~")
_FUNCTIONS_WITH_FIELD: Final = (
    "min_over_time",
    "max_over_time",
    "avg_over_time",
    "sum_over_time",
    "quantile_over_time",
)
_SCOPES: Final = {"span": "span", "resource": "resource", "event": "event", "instrumentation": "instrumentation"}


class Metric(NamedTuple):
    """What a pipe computes over time. `levels` of a quantile are from 0 to 1; `by` are attributes as they were written."""

    function: Function
    levels: tuple[float, ...]
    by: tuple[Attribute, ...]


class Attribute(NamedTuple):
    """`place`: `span`, `resource`, `event`, `any` (span, else resource), or `intrinsic` with the key `name`, `status`, …"""

    place: str
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked."""

    span: tuple[SpanCondition, ...] = ()
    trace: tuple[TraceCondition, ...] = ()
    select: tuple[Attribute, ...] = ()
    """Attributes that the answer shall have beside those of the conditions."""
    named: tuple[Attribute, ...] = ()
    """Attributes of the conditions, in their order."""
    metric: Metric | None = None


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(q: str) -> Query:
    """What a TraceQL query means. Raises Unsupported for what clew cannot say, BadInput for what is no TraceQL; both with the position."""
    if len(q) > _MAX_CHARACTERS:
        raise BadInput(f"The query is longer than {_MAX_CHARACTERS} characters.", code="bad_query")
    return _Parser(_tokens(q)).query()


def _tokens(q: str) -> list[_Token]:
    found, at = [], 0
    text = q.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadInput(f"character {at}: {text[at:].strip()[:20]!r} is no TraceQL", code="bad_query", position=at)
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    found.append(_Token("end", "", len(text)))
    return found


class _Parser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._span: list[SpanCondition] = []
        self._trace: list[TraceCondition] = []
        self._named: list[Attribute] = []

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def query(self) -> Query:
        select: tuple[Attribute, ...] = ()
        metric: Metric | None = None
        if self._next.kind != "end":
            self._braces()
            while self._took("|"):
                if metric is not None:
                    raise self._unsupported("nothing may follow a metric")
                word = self._next
                if word.text == "select":
                    self._at += 1
                    select += self._list()
                elif word.text in ("rate", "count_over_time", *_FUNCTIONS_WITH_FIELD):
                    metric = self._metric()
                else:
                    raise self._unsupported(f"| {word.text} is not answered")
            if self._took("with"):
                self._hints()
            if self._next.kind != "end":
                raise self._unsupported(self._left_over())
        return Query(tuple(self._span), tuple(self._trace), select, tuple(self._named), metric)

    def _left_over(self) -> str:
        text = self._next.text
        if text in _COMPARES:
            return f"{text} behind a pipe is not answered: nothing is compared there"
        if self._next.kind == "mark" and self._tokens[self._at + 1].text in ("{", "("):
            return f"{text} between two pairs of braces is not answered: all conditions hold for one span"
        return f"{text!r} is left over"

    def _braces(self) -> None:
        if self._next.text in ("(", "!"):
            raise self._unsupported(f"{self._next.text!r} before the braces is not answered")
        self._take("{")
        if self._took("}"):
            return
        while True:
            self._condition()
            if self._took("}"):
                return
            if self._next.text == "||":
                raise self._unsupported("|| is not answered: all conditions hold for one span")
            if self._next.kind == "end":
                raise BadInput(
                    f"character {self._next.at}: the braces are not closed", code="bad_query", position=self._next.at
                )
            self._take("&&")

    def _condition(self) -> None:
        if len(self._span) + len(self._trace) == _MAX_CONDITIONS:
            raise self._unsupported(f"more than {_MAX_CONDITIONS} conditions")
        if self._took("("):
            self._condition()
            if self._next.text in ("&&", "||"):
                raise self._unsupported("parentheses around several conditions are not answered")
            self._take(")")
            return
        if self._next.text == "true" and self._tokens[self._at + 1].text in ("}", "&&"):
            self._at += 1  # what Grafana's builder writes where there is no condition
            return
        if self._next.text == "!":
            raise self._unsupported("! before a condition is not answered")
        if self._next.kind != "name":
            raise self._unsupported(f"{self._next.text or 'the end'!r} where a condition should begin")
        start = self._next
        attribute = self._attribute()
        op = self._next
        if op.text not in _ORDER:
            raise self._unsupported(f"after {start.text!r} stands {op.text or 'the end'!r} and no comparison")
        self._at += 1
        value = self._next
        if value.kind not in ("string", "number", "duration", "name"):
            raise self._unsupported(f"after {op.text!r} stands {value.text or 'the end'!r} and no value")
        self._at += 1
        if op.text not in _COMPARES:
            raise self._unsupported(f"{op.text} is not answered: texts are compared as a whole", op.at)
        if value.kind == "name" and not (attribute.place == "intrinsic" and attribute.key in _OF_WORDS):
            self._check_word(attribute, op, value)
        self._add(attribute, cast("Compare", op.text), op, value)
        self._named.append(attribute)

    def _add(self, attribute: Attribute, op: Compare, op_token: _Token, value: _Token) -> None:
        text = _value_text(value)
        key = attribute.key
        if attribute.place == "intrinsic":
            if key in ("duration", "traceDuration"):
                length_ns = _length_ns(value)
                if key == "duration":
                    self._span.append(SpanCondition("dur", op, length_ns))
                else:
                    self._trace.append(TraceCondition("duration", op, length_ns))
                return
            if op not in ("=", "!=") or (op == "!=" and key == "event:name"):
                raise self._unsupported(f"{op} after {attribute.text!r} is not answered", op_token.at)
            if key == "status":
                self._word(attribute, value, STATUS_WORDS)
                self._span.append(SpanCondition("status", op, text))
            elif key == "kind":
                self._word(attribute, value, KIND_WORDS)
                self._span.append(SpanCondition("kind", op, text))
            elif key == "name":
                self._span.append(SpanCondition("name", op, text))
            elif key == "statusMessage":
                self._span.append(SpanCondition("status_message", op, text))
            elif key == "instrumentation:name":
                self._span.append(SpanCondition("scope", op, text))
            elif key == "event:name":
                self._span.append(SpanCondition("event", "=", text))
            else:
                raise self._unsupported(f"a condition on {attribute.text!r} is not answered", op_token.at)
            return
        is_service = attribute.place in ("resource", "any") and key == "service.name"
        # Of an attribute, TraceQL's != wants that the span has it, which no condition of a search says.
        if op != "=" and not (is_service and op == "!="):
            raise self._unsupported(f"{op} after the attribute {attribute.text!r} is not answered", op_token.at)
        if is_service:
            self._span.append(SpanCondition("service", op, text))
        elif attribute.place == "event":
            self._span.append(SpanCondition("event", "=", text, key))
        elif attribute.place in ("span", "resource"):
            self._span.append(SpanCondition("of_span" if attribute.place == "span" else "of_resource", "=", text, key))
        elif attribute.place == "any":
            self._span.append(SpanCondition("attr", "=", text, key))
        else:
            raise self._unsupported(f"a condition on {attribute.text!r} is not answered", op_token.at)

    def _check_word(self, attribute: Attribute, op: _Token, value: _Token) -> None:
        """A word that is no text: true and false are values, `nil` asks whether there is one, others are attributes."""
        if attribute.place != "intrinsic" and value.text in ("true", "false"):
            return
        if value.text == "nil":
            raise self._unsupported(f"{op.text} nil is not answered", value.at)
        why = f"{value.text!r} is no value: a text stands in quotes, and two attributes are not compared"
        raise self._unsupported(why, value.at)

    def _word(self, attribute: Attribute, value: _Token, words: Sequence[str]) -> None:
        if value.kind != "name" or value.text not in words:
            raise BadInput(
                f"character {value.at}: {attribute.text} is one of {', '.join(words)}, not {value.text!r}",
                code="bad_query",
                position=value.at,
            )

    def _attribute(self) -> Attribute:
        token = self._next
        if token.kind != "name":
            raise self._unsupported(f"{token.text or 'the end'!r} where an attribute should stand")
        self._at += 1
        return attribute_of(token.text)

    def _list(self) -> tuple[Attribute, ...]:
        self._take("(")
        found = [self._attribute()]
        while self._took(","):
            found.append(self._attribute())
        self._take(")")
        return tuple(found)

    def _metric(self) -> Metric:
        name = self._next.text
        self._at += 1
        self._take("(")
        levels: list[float] = []
        if name in _FUNCTIONS_WITH_FIELD:
            field = self._attribute()
            if (field.place, field.key) != ("intrinsic", "duration"):
                raise self._unsupported(f"{name} is answered of duration only")
            while self._took(","):
                level = self._next
                if level.kind != "number" or not 0 <= float(level.text) <= 1:
                    raise self._unsupported(f"a quantile is a number from 0 to 1, not {level.text!r}")
                self._at += 1
                levels.append(float(level.text))
            if (name == "quantile_over_time") != bool(levels):
                raise self._unsupported(
                    "quantile_over_time, and no other, wants levels, as in quantile_over_time(duration, .9)"
                )
        self._take(")")
        by: tuple[Attribute, ...] = ()
        if self._next.text == "by":
            self._at += 1
            by = self._list()
        return Metric(cast("Function", name), tuple(levels), by)

    def _hints(self) -> None:
        """`with (…)`: how Tempo shall go about it; means nothing here."""
        self._take("(")
        while self._next.kind != "end" and not self._took(")"):
            self._at += 1

    def _took(self, text: str) -> bool:
        if self._next.kind == "string" or self._next.text != text:
            return False
        self._at += 1
        return True

    def _take(self, text: str) -> None:
        if not self._took(text):
            raise self._unsupported(f"{text!r} should stand before {self._next.text or 'the end'!r}")

    def _unsupported(self, why: str, at: int | None = None) -> Unsupported:
        place = self._next.at if at is None else at
        return _unsupported(why, place)


def _unsupported(why: str, at: int) -> Unsupported:
    error = Unsupported(f"character {at}: {why}; {SAYABLE}", code="unsupported_query")
    error.position = at
    return error


_INTRINSICS: Final = {
    "status": "status",
    "span:status": "status",
    "statusMessage": "statusMessage",
    "span:statusMessage": "statusMessage",
    "duration": "duration",
    "span:duration": "duration",
    "name": "name",
    "span:name": "name",
    "kind": "kind",
    "span:kind": "kind",
    "traceDuration": "traceDuration",
    "trace:duration": "traceDuration",
    "rootName": "rootName",
    "trace:rootName": "rootName",
    "rootServiceName": "rootServiceName",
    "trace:rootService": "rootServiceName",
    "event:name": "event:name",
    "instrumentation:name": "instrumentation:name",
}
INTRINSICS: Final = tuple(dict.fromkeys(_INTRINSICS.values()))


def attribute_of(text: str) -> Attribute:
    """`span.KEY`, `resource.KEY`, `event.KEY`, `.KEY` or an intrinsic; the place `unknown` for anything else."""
    if text in _INTRINSICS:
        return Attribute("intrinsic", _INTRINSICS[text], text)
    scope, dot, key = text.partition(".")
    if not dot or (scope and scope not in _SCOPES):
        return Attribute("unknown", text, text)
    if key.startswith('"') and key.endswith('"') and len(key) > 1:
        key = _unquoted(key)
    return Attribute(_SCOPES.get(scope, "any"), key, text)


def _value_text(token: _Token) -> str:
    if token.kind == "string":
        return _unquoted(token.text)
    if token.kind == "number" and token.text.startswith("-."):
        return "-0" + token.text[1:]
    return token.text


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    try:
        return cast("str", json.loads(text))
    except ValueError:
        return re.sub(r"\\(.)", r"\1", text[1:-1])


def _length_ns(token: _Token) -> int:
    if token.kind != "duration":
        raise BadInput(
            f"character {token.at}: wants a duration such as 500ms, not {token.text!r}",
            code="bad_query",
            position=token.at,
        )
    return duration_ns(token.text)


def duration_ns(text: str) -> int:
    """`1m30s`, `1.5s`, `100ms` in ns. Raises BadInput."""
    found = length_ns(text)
    if found is None:
        raise BadInput(f"{text[:60]!r} is no duration such as 500ms or 1m30s", code="bad_parameter")
    return found

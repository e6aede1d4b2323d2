"""Reads the text of a query into its tree. The grammar is in `docs/reference/query.md`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, cast

from clew_server.errors import BadInput
from clew_server.model.query_tree import (
    Braces,
    Node,
    Not,
    Op,
    Or,
    Relation,
    RelationOp,
    SpanPlace,
    SpanTerm,
    TracePlace,
    TraceTerm,
    Value,
    all_of,
    hoisted,
)
from clew_server.model.quoting import WORDS
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.query.language import keys, values
from clew_server.query.language.scanner import Scanner, Token, bad_query

MAX_CONDITIONS: Final = 64
MAX_BRACES: Final = 8
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 256
"""In all lists after `in` together."""

Times = Callable[[str], int]
"""Nanoseconds since 1970 of a time as text. Raises BadInput."""


def parse(text: str, times: Times) -> Node | None:
    """The query as a tree: Braces, Relations and TraceTerms joined by And, Or and Not; None for an empty text.

    `times` reads the values of `trace.start`. Raises BadInput with the position (in characters) of what is not understood.
    """
    return _Parser(text, times).query()


class _Parser:
    def __init__(self, text: str, times: Times) -> None:
        self._scanner = Scanner(text)
        self._times = times
        self._conditions = self._values = self._braces = self._depth = 0
        self._inside = False
        self._loose: SpanTerm | None = None
        """The first condition on a span outside of braces."""

    def query(self) -> Node | None:
        if self._scanner.peek().kind == "end":
            return None
        node = self._or()
        left = self._scanner.peek()
        if left.kind != "end":
            raise bad_query(
                f"{left.text!r} closes nothing." if left.text in ")}" else f"{left.text!r} is not understood here.",
                left.position,
            )
        if self._loose is None:
            return node if self._braces else hoisted(Braces(node))
        if self._braces:
            raise bad_query(
                "Beside { … } stand only conditions on the trace: put this condition into braces too.",
                self._loose.position,
            )
        return hoisted(Braces(node))

    def _or(self) -> Node:
        parts = [self._and()]
        while self._scanner.peek().is_word("or"):
            self._scanner.take()
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Node:
        parts = [self._not()]
        while True:
            token = self._scanner.peek()
            if token.is_word("and"):
                self._scanner.take()
            elif token.kind == "end" or (token.text in (")", "}") and token.kind == "bracket") or token.is_word("or"):
                return all_of(*parts)
            parts.append(self._not())

    def _not(self) -> Node:
        token = self._scanner.peek()
        if not token.is_word("not"):
            return self._primary()
        self._scanner.take()
        self._enter(token)
        part = self._not()
        self._depth -= 1
        return part.part if isinstance(part, Not) else Not(part)

    def _primary(self) -> Node:
        token = self._scanner.peek()
        if token.kind == "bracket" and token.text == "(":
            self._scanner.take()
            self._enter(token)
            node = self._or()
            self._depth -= 1
            self._close(")", token)
            return node
        if token.kind == "bracket" and token.text == "{":
            return self._relation()
        return self._condition()

    def _relation(self) -> Node:
        first = self._in_braces()
        steps: list[tuple[RelationOp, Braces]] = []
        while (token := self._scanner.peek()).kind == "operator" and token.text in (">", ">>", "~"):
            self._scanner.take()
            steps.append((cast(RelationOp, token.text), self._in_braces()))
        return Relation(first, tuple(steps)) if steps else hoisted(first)

    def _in_braces(self) -> Braces:
        token = self._scanner.take()
        if token.kind != "bracket" or token.text != "{":
            raise bad_query("Here { … } is needed: relations are between braces.", token.position)
        if self._inside:
            raise bad_query("Inside of braces there are no further ones.", token.position)
        self._braces += 1
        if self._braces > MAX_BRACES:
            raise bad_query(f"More than {MAX_BRACES} braces.", token.position)
        self._inside = True
        end = self._scanner.peek()
        inside = None if end.kind == "bracket" and end.text == "}" else self._or()
        self._inside = False
        self._close("}", token)
        return Braces(inside, token.position)

    def _close(self, bracket: str, opened: Token) -> None:
        token = self._scanner.take()
        if token.kind != "bracket" or token.text != bracket:
            if token.kind == "end":
                raise bad_query(f"This {opened.text} is never closed.", opened.position)
            raise bad_query(f"{bracket!r} is needed here, not {token.text!r}.", token.position)

    def _enter(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise bad_query(f"Nested deeper than {MAX_DEPTH}.", token.position)

    # One condition

    def _condition(self) -> Node:
        start = self._scanner.peek()
        if self._conditions == MAX_CONDITIONS:
            raise bad_query(f"More than {MAX_CONDITIONS} conditions.", start.position)
        self._conditions += 1
        if start.kind == "end":
            raise bad_query("A condition is missing.", start.position)
        if start.kind in ("operator", "bracket"):
            raise bad_query(f"A condition is missing before {start.text!r}.", start.position)
        if start.kind == "word" and start.text.lower() in WORDS:
            raise bad_query(f"A condition is missing before {start.text!r}; in quotes it is a text.", start.position)
        token = self._scanner.take()
        exact = False
        after = self._scanner.peek()
        if token.kind == "word" and token.text == "exact" and after.text == "(" and after.position == token.end:
            self._scanner.take()
            token, exact = self._scanner.take(), True
            if token.kind not in ("word", "quoted"):
                raise bad_query("exact( ) needs the key of an attribute.", token.position)
            self._close(")", after)
            after = self._scanner.peek()
        if after.kind != "operator" and not after.is_word("exists") and not after.is_word("in"):
            if exact:
                raise bad_query("A comparison is missing after exact( ).", after.position)
            self._apart(after, f"after {token.text!r}; quote a text that has special characters")
            return self._kept(SpanTerm("names", "has", (values.plain(token),), position=start.position))
        key = keys.resolved(token.text, token.kind == "quoted", exact, start.position)
        self._scanner.take()
        if after.is_word("exists"):
            if key.place not in keys.WITH_EXISTS:
                raise bad_query(f"{token.text!r} is always there.", after.position)
            self._apart(self._scanner.peek(), "after exists")
            return self._term(key, "exists", (), start)
        op = after.text.lower()
        if op not in keys.comparisons(key.place):
            raise bad_query(
                f"{op} cannot be asked of {token.text!r}, which takes {' '.join(keys.comparisons(key.place))}.",
                after.position,
            )
        if op == "in":
            found = self._list(key)
            self._apart(self._scanner.peek(), "after the list")
            return self._term(key, "in", found, start)
        value = self._value(key, op, self._scanner.take_value())
        self._apart(self._scanner.peek(), "after the value; quote one that has special characters")
        if op in ("!=", "!~"):
            return Not(self._term(key, "=" if op == "!=" else "=~", (value,), start))
        return self._term(key, cast(Op, op), (value,), start)

    def _apart(self, following: Token, place: str) -> None:
        """Raise BadInput where a condition begins before the one before it has ended: `span."a key"=5` would be two."""
        if not self._scanner.is_at_blank() and not (following.kind == "bracket" and following.text in ")}"):
            raise bad_query(f"A space is missing {place}.", following.position)

    def _term(self, key: keys.Key, op: Op, found: tuple[Value, ...], start: Token) -> Node:
        if key.of_trace:
            return TraceTerm(cast(TracePlace, key.place), op, found, start.position)
        return self._kept(SpanTerm(cast(SpanPlace, key.place), op, found, key.name, key.exact, start.position))

    def _kept(self, term: SpanTerm) -> SpanTerm:
        if not self._inside and self._loose is None:
            self._loose = term
        return term

    def _list(self, key: keys.Key) -> tuple[Value, ...]:
        opened = self._scanner.take()
        if opened.text != "(" or opened.kind != "bracket":
            raise bad_query("A list is needed after `in`, as in (a, b).", opened.position)
        found: list[Value] = []
        while True:
            found.append(self._value(key, "in", self._scanner.take_value()))
            self._values += 1
            if self._values > MAX_VALUES:
                raise bad_query(f"More than {MAX_VALUES} values in lists.", found[-1].position)
            token = self._scanner.take()
            if token.kind == "bracket" and token.text == ")":
                return tuple(found)
            if token.text != "," or token.kind != "bracket":
                raise bad_query("A comma or ) is needed here.", token.position)

    def _value(self, key: keys.Key, op: str, token: Token) -> Value:
        if token.kind not in ("word", "quoted"):
            raise bad_query('A value is missing; "" is the empty one.', token.position)
        if token.kind == "word" and token.text.lower() in WORDS:
            raise bad_query(
                f"{token.text!r} is a word of the language; quote it to have it as a value.", token.position
            )
        place = key.place
        if place in keys.LENGTHS:
            return values.length(token)
        if place in keys.COUNTS:
            return values.count(token)
        if place == "start":
            try:
                return Value(token.text, Decimal(self._times(token.text)), position=token.position)
            except BadInput as error:
                raise bad_query(str(error), token.position) from None
        if place == "kind":
            return values.word(token, KIND_WORDS, "a kind of span")
        if place == "status":
            return values.word(token, STATUS_WORDS, "a status")
        if place in ("root", "failed"):
            return values.word(token, ("true", "false"), "true or false")
        if op in keys.ORDER_OPS:
            found = values.plain(token)
            if found.number is None:
                raise bad_query(f"{op} compares numbers, and {token.text!r} is none.", token.position)
            return found
        if op in ("=~", "!~"):
            return Value(token.text, position=token.position)
        found = values.listed(token) if op == "in" else values.plain(token)
        if place == "id" and key.of_trace:
            return values.hex_id(found, 32, "a trace id")
        if place == "link_trace":
            return values.hex_id(found, 32, "a trace id")
        if place in ("id", "parent"):
            return values.hex_id(found, 16, "a span id")
        return found

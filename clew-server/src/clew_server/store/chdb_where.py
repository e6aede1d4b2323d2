"""From the tree of a query to SQL: conditions on a row of `spans`, sets of traces, conditions on whole traces. Values are bound."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import ArrayValue

from clew.semconv import GRPC_CODES, GRPC_SERVER_FAULTS
from clew_server.errors import BadInput
from clew_server.model.families import family
from clew_server.model.query_tree import (
    And,
    Braces,
    Node,
    Not,
    Or,
    Relation,
    SpanTerm,
    TraceTerm,
    Value,
    conjuncts,
    terms,
)
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.store.asking import Question, Stopped
from clew_server.store.connections import EngineError

_TEXT: Final = 10
_INT: Final = 24
_DOUBLE: Final = 33
_LIST: Final = 42
"""First bytes of raw values, as `spans.attr_types` has them."""
_MOST_LISTS: Final = 5_000
"""Different lists under the keys of one condition that are looked at."""
_NUMBER: Final = r"'^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$'"
_INTEGER: Final = "'^[+-]?[0-9]{1,38}$'"
_INT128: Final = (1 << 127) - 1
_CANNOT_COMPILE: Final = 427
_NO_PARENT: Final = "toFixedString('',8)"
_DISTINCT: Final = "(span_id,parent_id,start,duration,service,name,kind,status)"
_EXCEPTION: Final = (
    "arrayExists((n,m)->NOT (mapContains(m,'clew.from') AND toInt32OrZero(m['log.severity_number']) BETWEEN 1 AND 16)"
    " AND (n='exception' OR (mapContains(m,'clew.from') AND (mapContains(m,'exception.type') OR mapContains(m,'exception.message')))),"
    "event_names,event_attrs)"
)
"""`model.failed.exceptions` in SQL."""

Windowed = Callable[[str], str]
"""SQL for a window of spans, given as a condition on a row of `spans`."""
Related = Callable[[Relation], str]
"""The set of traces in which a relation holds that SQL cannot follow, as a condition on trace_id."""


class Bound:
    """The parameters of a statement. Texts are bound in hex: no escaping to get wrong."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def text(self, text: str) -> str:
        """SQL of a String."""
        name = f"text{len(self.values)}"
        self.values[name] = text.encode("utf-8", "surrogatepass").hex()
        return f"unhex({{{name}:String}})"

    def integer(self, number: int) -> str:
        """SQL of an Int128."""
        name = f"integer{len(self.values)}"
        self.values[name] = str(max(-_INT128, min(number, _INT128)))
        return f"toInt128({{{name}:String}})"

    def double(self, number: float) -> str:
        """SQL of a Float64."""
        name = f"double{len(self.values)}"
        self.values[name] = repr(number)
        return f"toFloat64({{{name}:String}})"


@dataclass(frozen=True, slots=True)
class Where:
    """A query as the parts of `traces_where.sql`."""

    sets: Windowed
    """Conditions on trace_id that spans decide."""
    whole: Windowed
    """Conditions on the grouped trace."""
    is_bounded: bool
    """Whether some span must be of the traces that are found: then the window of spans bounds them."""


class Translator:
    """Makes the SQL of one search. Asks the store about resources and expressions through its question; not for several threads."""

    def __init__(self, question: Question, bound: dict[str, str], related: Related) -> None:
        self._question = question
        self._bound = Bound(bound)
        self._related = related

    def where(self, node: Node) -> Where:
        """The whole query. Raises BadInput for an expression that RE2 does not take, Stopped, StoreFailed, Unavailable."""
        self._check_expressions(node)
        sets: list[str] = []
        whole: list[str] = []
        is_bounded = False
        for part in conjuncts(node):
            if any(isinstance(term, TraceTerm) for term in _outer_terms(part)):
                whole.append(self._of_trace(part))
            else:
                sets.append(self._of_trace(part))
                is_bounded = is_bounded or isinstance(part, Braces | Relation)
        return Where(_windowed(sets), _windowed(whole), is_bounded)

    def masks(self, relation: Relation) -> tuple[str, str]:
        """For each span which conditions of the relation hold, as an expression of bits; and the traces that have all of them."""
        all_braces = [relation.first, *(braces for _, braces in relation.steps)]
        conditions = [self._inside(braces) for braces in all_braces]
        bits = "+".join(f"{1 << at}*toUInt8({condition})" for at, condition in enumerate(conditions))
        sets = " AND ".join(
            f"trace_id IN (SELECT trace_id FROM spans WHERE WINDOW_OF_SPANS AND start!=FRAGMENT AND {condition})"
            for condition in conditions
        )
        return bits, sets

    # Of traces

    def _of_trace(self, node: Node) -> str:
        if isinstance(node, And):
            return _joined(" AND ", [self._of_trace(part) for part in node.parts])
        if isinstance(node, Or):
            return _joined(" OR ", [self._of_trace(part) for part in node.parts])
        if isinstance(node, Not):
            return f"NOT ({self._of_trace(node.part)})"
        if isinstance(node, Braces):
            return f"trace_id IN (SELECT trace_id FROM spans WHERE {self._rows(node)})"
        if isinstance(node, Relation):
            return self._relation(node)
        assert isinstance(node, TraceTerm)
        return self._trace_term(node)

    def _rows(self, braces: Braces) -> str:
        return f"WINDOW_OF_SPANS AND start!=FRAGMENT AND {self._inside(braces)}"

    def _inside(self, braces: Braces) -> str:
        return self._of_span(braces.inside, True) if braces.inside is not None else "1"

    def _relation(self, relation: Relation) -> str:
        if any(op == ">>" for op, _ in relation.steps):
            return self._related(relation)
        rows = self._rows(relation.first)
        for op, braces in relation.steps:
            before, own = rows, self._rows(braces)
            if op == ">":
                rows = f"{own} AND (trace_id,parent_id) IN (SELECT trace_id,span_id FROM spans WHERE {before})"
                continue
            # Different spans with one parent: the parents of several spans, or of one that is not this one.
            parents = f"SELECT trace_id,parent_id FROM spans WHERE {before} AND parent_id!={_NO_PARENT} GROUP BY trace_id,parent_id"
            several = f"(trace_id,parent_id) IN ({parents} HAVING min(span_id)!=max(span_id))"
            itself = f"(trace_id,parent_id,span_id) IN (SELECT trace_id,parent_id,span_id FROM spans WHERE {before})"
            rows = f"{own} AND ({several} OR ((trace_id,parent_id) IN ({parents}) AND NOT {itself}))"
        return f"trace_id IN (SELECT trace_id FROM spans WHERE {rows})"

    def _trace_term(self, term: TraceTerm) -> str:
        if term.place == "duration":
            return self._whole_number("toInt128(d)", term)
        if term.place == "start":
            return self._whole_number("toInt128(toUnixTimestamp64Nano(s))", term)
        if term.place in ("spans", "errors", "services"):
            column = {"spans": "n", "errors": "e", "services": "length(of_services)"}[term.place]
            return self._whole_number(f"toInt128({column})", term)
        if term.place == "id":
            return self._id("trace_id", 16, term.values)
        return self._texts("f.3" if term.place == "root_service" else "f.4", term)

    # Of spans

    def _of_span(self, node: Node, positive: bool) -> str:
        if isinstance(node, And):
            return _joined(" AND ", [self._of_span(part, positive) for part in node.parts])
        if isinstance(node, Or):
            return _joined(" OR ", [self._of_span(part, positive) for part in node.parts])
        if isinstance(node, Not):
            return f"NOT ({self._of_span(node.part, not positive)})"
        if isinstance(node, TraceTerm):
            return (
                "trace_id IN (SELECT trace_id FROM (SELECT trace_id, min(traces.start) AS s,"
                " greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,"
                " groupUniqArrayArray(services) AS of_services, min(first) AS f FROM traces"
                " WHERE trace_id IN (SELECT trace_id FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64}))"
                f" GROUP BY trace_id HAVING {self._trace_term(node)}))"
            )
        assert isinstance(node, SpanTerm)
        return self._span_term(node, positive)

    def _span_term(self, term: SpanTerm, positive: bool) -> str:
        place = term.place
        if place == "names":
            text = self._bound.text(_lower(term.values[0]))
            if term.values[0].pieces:
                like = self._bound.text(f"%{_like(term.values[0].pieces)}%")
                return f"(service ILIKE {like} OR name ILIKE {like})"
            return f"(position(lowerUTF8(service),{text})>0 OR position(lowerUTF8(name),{text})>0)"
        if place in ("service", "name", "scope", "status_message"):
            if term.op == "exists":
                return f"{place}!=''"
            return self._texts(place, term)
        if place == "kind":
            return _listed("kind", [KIND_WORDS.index(value.text) for value in term.values])
        if place == "status":
            return _listed("status", [STATUS_WORDS.index(value.text) for value in term.values])
        if place == "dur":
            return self._whole_number("toInt128(duration)", term)
        if place == "id":
            return self._id("span_id", 8, term.values)
        if place == "parent":
            present = f"parent_id!={_NO_PARENT}"
            return present if term.op == "exists" else f"({present} AND {self._id('parent_id', 8, term.values)})"
        if place == "root":
            return f"parent_id{'=' if term.values[0].text == 'true' else '!='}{_NO_PARENT}"
        if place == "failed":
            return _FAILED if term.values[0].text == "true" else f"NOT {_FAILED}"
        if place == "event":
            one = "1" if term.op == "exists" else self._texts("x", term)
            return _of_events(f"arrayExists(x->{one},event_names)")
        if place == "event_attr":
            return _of_events(f"arrayExists(m->{self._some('m', term)},event_attrs)")
        if place == "link_trace":
            one = "1" if term.op == "exists" else self._id("x", 16, term.values)
            return f"arrayExists(x->{one},link_traces)"
        if place == "link_attr":
            return f"arrayExists(m->{self._some('m', term)},link_attrs)"
        if place == "of_scope":
            return self._some("scope_attrs", term)
        if place == "of_span":
            return self._on_span(term, positive)
        of_resource = self._some("attrs", term)
        if place == "of_resource":
            return f"res_key IN (SELECT res_key FROM resources WHERE {of_resource})"
        on_span = self._on_span(term, positive)
        if not self._question.rows("resources_where", self._bound.values, RESOURCE_CONDITION=of_resource)[0][0]:
            return on_span
        absent = "" if term.op == "exists" else f"NOT {self._has('attrs', term)} AND "
        return f"({on_span} OR ({absent}res_key IN (SELECT res_key FROM resources WHERE {of_resource})))"

    # Of attributes

    def _keys(self, term: SpanTerm) -> tuple[str, ...]:
        return (term.key,) if term.exact else family(term.key)

    def _key_condition(self, term: SpanTerm) -> str:
        return _joined(" OR ", [f"k={self._bound.text(key)}" for key in self._keys(term)])

    def _has(self, attributes: str, term: SpanTerm) -> str:
        return f"arrayExists(k->{self._key_condition(term)},mapKeys({attributes}))"

    def _some(self, attributes: str, term: SpanTerm) -> str:
        """Some attribute of a map whose values have lost their types: a text that is a number counts as one."""
        if term.op == "exists":
            return self._has(attributes, term)
        key, value = self._key_condition(term), self._value(term, "v", None)
        return f"arrayExists((k,v)->{key} AND {value},mapKeys({attributes}),mapValues({attributes}))"

    def _on_span(self, term: SpanTerm, positive: bool) -> str:
        """Some attribute of the span itself, by its type; of a list some element."""
        if term.op == "exists":
            return self._has("attrs", term)
        keys = [self._bound.text(key) for key in self._keys(term)]
        key = _joined(" OR ", [f"k={one}" for one in keys])
        value = self._value(term, "v", "t")
        lists = [self._bound.text(one) for one in self._lists(term, key)]
        if lists:
            value = f"if(t={_LIST},v IN ({','.join(lists)}),{value})"
        some = f"arrayExists((k,v,t)->{key} AND {value},mapKeys(attrs),mapValues(attrs),attr_types)"
        texts = self._all_texts(term) if positive else None
        if texts is None:
            return some
        # The index says in which granules a value is, and nothing of those in which it is not.
        items = ",".join(f"concat({one},'=',{text})" for one in keys for text in [*texts, *lists])
        return f"(indexHint(hasAny(ITEMS,[{items}])) AND {some})"

    def _all_texts(self, term: SpanTerm) -> list[str] | None:
        """SQL of the texts under which a value that satisfies the term may be stored, lists aside; None where they cannot be listed."""
        if term.op not in ("=", "in") or any(value.pieces for value in term.values):
            return None
        texts: list[str] = []
        for value in term.values:
            texts.append(self._bound.text(value.text))
            doubles = {_double_of_json(value.text), None if value.number is None else float(value.number)} - {None}
            texts += [f"toString({self._bound.double(double)})" for double in doubles if double is not None]
            if value.number is not None and _is_whole(value.number):
                texts.append(self._bound.text(str(int(value.number))))
        return texts

    def _lists(self, term: SpanTerm, key: str) -> list[str]:
        """The lists under the term's keys some element of which satisfies the term, as they are stored."""
        parameters = {**self._bound.values, "limit": str(_MOST_LISTS + 1)}
        stored = [text for (text,) in self._question.rows("lists", parameters, KEY_CONDITION=key)]
        if len(stored) > _MOST_LISTS:
            raise Stopped(f"stopped at {_MOST_LISTS:,} different lists of {term.key!r}")
        owners: list[int] = []
        raws: list[str] = []
        for at, text in enumerate(stored):
            for element in _elements(text):
                owners.append(at)
                raws.append(element.hex())
        if not raws:
            return []
        condition = self._value(term, "v", "t")
        parameters = {**self._bound.values, "raws": "[" + ",".join(f"'{raw}'" for raw in raws) + "]"}
        found = self._question.rows("elements_where", parameters, ELEMENT_CONDITION=condition)
        return [stored[at] for at in sorted({owners[int(place) - 1] for (place,) in found})]

    def _value(self, term: SpanTerm, text: str, kind: str | None) -> str:
        """The condition on one value: `text` names its text and `kind` its type, None where the type is not known."""
        if term.op in ("=", "in"):
            return _joined(" OR ", [self._equal(value, text, kind) for value in term.values])
        if term.op == "=~":
            return self._matches(text, term.values[0])
        assert term.op in (">", ">=", "<", "<=")
        number = term.values[0].number
        assert number is not None
        if number.is_nan():
            return "0"
        is_number = f"match({text},{_NUMBER})"
        if kind is None:
            is_number = f"({is_number} OR {text} IN ('inf','-inf'))"
        else:
            is_number = f"({kind}={_DOUBLE} OR ({kind} IN ({_TEXT},{_INT}) AND {is_number}))"
        double = f"ifNull(toFloat64OrNull({text}){term.op}{self._bound.double(float(number))},0)"
        if number.is_infinite():
            return f"({is_number} AND {double})"
        whole = int(number.to_integral_value(ROUND_FLOOR if term.op in (">", "<=") else ROUND_CEILING))
        integer = f"toInt128OrZero({text}){term.op}{self._bound.integer(whole)}"
        return f"({is_number} AND if(match({text},{_INTEGER}),{integer},{double}))"

    def _equal(self, value: Value, text: str, kind: str | None) -> str:
        if value.pieces:
            return f"{text} LIKE {self._bound.text(_like(value.pieces))}"
        same = f"{text}={self._bound.text(value.text)}"
        spelled = _double_of_json(value.text)
        if kind is not None:
            # Doubles are stored as the engine writes them.
            of_double = f"{text}=toString({self._bound.double(spelled)})" if spelled is not None else "0"
            same = f"if({kind}={_DOUBLE},{of_double},{same})"
        number = value.number
        if number is None:
            return same
        equal = [same]
        if kind is None:
            if number.is_finite():
                equal.append(
                    f"(match({text},{_NUMBER}) AND toFloat64OrNull({text})={self._bound.double(float(number))})"
                )
            else:
                equal.append(f"{text}=toString({self._bound.double(float(number))})")
        else:
            if _is_whole(number):
                equal.append(f"({kind}={_INT} AND {text}={self._bound.text(str(int(number)))})")
            equal.append(f"({kind}={_DOUBLE} AND {text}=toString({self._bound.double(float(number))}))")
        return _joined(" OR ", equal)

    def _matches(self, text: str, value: Value) -> str:
        return f"match({text},{self._bound.text(_expression(value.text))})"

    # Of columns

    def _texts(self, column: str, term: SpanTerm | TraceTerm) -> str:
        if term.op == "=~":
            return self._matches(column, term.values[0])
        return _joined(
            " OR ",
            [
                f"{column} LIKE {self._bound.text(_like(value.pieces))}"
                if value.pieces
                else f"{column}={self._bound.text(value.text)}"
                for value in term.values
            ],
        )

    def _whole_number(self, column: str, term: SpanTerm | TraceTerm) -> str:
        """Of a column of integers, compared with numbers that may have a fraction."""
        found: list[str] = []
        for value in term.values:
            number = value.number
            assert number is not None
            if term.op in ("=", "in"):
                found.append(f"{column}={self._bound.integer(int(number))}" if _is_whole(number) else "0")
                continue
            whole = int(number.to_integral_value(ROUND_FLOOR if term.op in (">", "<=") else ROUND_CEILING))
            found.append(f"{column}{term.op}{self._bound.integer(whole)}")
        return _joined(" OR ", found)

    def _id(self, column: str, size: int, values: Sequence[Value]) -> str:
        found = []
        for value in values:
            if value.pieces:
                found.append(f"lower(hex({column})) LIKE {self._bound.text(_like(value.pieces))}")
            else:
                found.append(f"{column}=toFixedString(unhex({self._bound.text(value.text)}),{size})")
        return _joined(" OR ", found)

    def _check_expressions(self, node: Node) -> None:
        for term in terms(node):
            if term.op != "=~":
                continue
            value = term.values[0]
            try:
                self._question.rows("is_expression", {"expression": _expression(value.text).encode().hex()})
            except EngineError as error:
                if error.code != _CANNOT_COMPILE:
                    raise
                message = f"{value.text!r} is not a regular expression as RE2 has them."
                raise BadInput(message, code="bad_query", position=value.position) from None


def holds_in(
    relation: Relation, spans: Sequence[tuple[str, str, int]], sharing: Mapping[str, Sequence[str]] | None = None
) -> bool:
    """Whether the relation holds among the spans of one trace: (id, parent, bits of the conditions that hold)."""
    masks: dict[str, int] = {}
    parents: dict[str, set[str]] = {}
    for span_id, parent_id, mask in spans:
        masks[span_id] = masks.get(span_id, 0) | mask
        if parent_id.strip("0"):
            parents.setdefault(span_id, set()).add(parent_id)
    reached = {span_id for span_id, mask in masks.items() if mask & 1}
    for step, (op, _) in enumerate(relation.steps, start=1):
        if op == ">":
            found = {one for one in masks if parents.get(one, set()) & reached}
        elif op == ">>":
            found = _below(reached, parents)
        else:
            by_parent: dict[str, set[str]] = {}
            for one in reached:
                for parent in parents.get(one, ()):
                    by_parent.setdefault(parent, set()).add(one)
            found = {
                one for one in masks if any(by_parent.get(parent, set()) - {one} for parent in parents.get(one, ()))
            }
        reached = {one for one in found if masks.get(one, 0) >> step & 1}
    return bool(reached)


def _below(reached: set[str], parents: Mapping[str, set[str]]) -> set[str]:
    """All descendants of the spans."""
    children: dict[str, list[str]] = {}
    for one, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(one)
    found: set[str] = set()
    waiting = list(reached)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _windowed(conditions: Sequence[str]) -> Windowed:
    joined = " AND ".join(conditions) or "1"
    return lambda window: joined.replace("WINDOW_OF_SPANS", window)


def _outer_terms(node: Node) -> list[SpanTerm | TraceTerm]:
    """The terms that stand outside of braces."""
    if isinstance(node, Braces | Relation):
        return []
    if isinstance(node, And | Or):
        return [term for part in node.parts for term in _outer_terms(part)]
    if isinstance(node, Not):
        return _outer_terms(node.part)
    return [node]


def _is_whole(number: Decimal) -> bool:
    return number.is_finite() and number == number.to_integral_value()


def _elements(stored: str) -> list[bytes]:
    """The elements of a list, raw; none where it is damaged."""
    try:
        return [one.SerializeToString() for one in ArrayValue.FromString(base64.b64decode(stored)).values]
    except (binascii.Error, ValueError, DecodeError):
        return []


def _joined(word: str, parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({word.join(parts)})"


def _listed(column: str, numbers: Sequence[int]) -> str:
    return f"{column} IN ({','.join(map(str, numbers))})"


def _like(pieces: Sequence[str]) -> str:
    """The pattern of LIKE for texts with anything between them."""
    return "%".join(re.sub(r"([\\%_])", r"\\\1", piece) for piece in pieces)


def _lower(value: Value) -> str:
    return value.text.lower()


def _expression(text: str) -> str:
    """The engine lets a dot stand for the end of a line, RE2 by itself does not."""
    return f"(?-s){text}"


def _double_of_json(text: str) -> float | None:
    """The double that OTLP's JSON writes so; None for another text."""
    special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(text)
    if special is not None:
        return special
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?", text) is None:
        return None
    number = float(text)
    return number if repr(number) == text else None


def _of_events(some: str) -> str:
    """A condition on the events of a span, or of a fragment of it, wherever and whenever that came."""
    return f"({some} OR (trace_id,span_id) IN (SELECT trace_id,span_id FROM spans WHERE IS_FRAGMENT AND {some}))"


def _failing_code() -> str:
    """`model.failed.failing_code` in SQL."""
    names = ",".join(f"'{name}'" for name in GRPC_CODES)
    faults = ",".join(map(str, sorted(GRPC_SERVER_FAULTS)))
    number = f"if(t={_INT},toInt64OrZero(v),if(match(v,'^[0-9]{{1,9}}$'),toInt64OrZero(v),toInt64(0)))"
    code = f"if(t={_TEXT} AND has([{names}],upper(v)),toInt64(indexOf([{names}],upper(v)))-1,{number})"
    http = f"(k IN ('http.response.status_code','http.status_code') AND {number}>=if(kind=3,400,500))"
    grpc = (
        "(k IN ('rpc.grpc.status_code','rpc.response.status_code','rpc.status_code') AND"
        f" if({code}>=100 AND k='rpc.status_code',{code}>=if(kind=3,400,500),"
        f"{code} IN ({faults}) OR ({code}>0 AND kind!=2)))"
    )
    return (
        f"arrayExists((k,v,t)->t IN ({_TEXT},{_INT}) AND endsWith(k,'status_code') AND ({http} OR {grpc}),"
        "mapKeys(attrs),mapValues(attrs),attr_types)"
    )


_FAILED: Final = f"(status=2 OR (status=0 AND ({_of_events(_EXCEPTION)} OR {_failing_code()})))"
"""`model.failed.is_failed` in SQL."""

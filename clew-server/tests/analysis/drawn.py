"""Traces drawn in text, one line a span, and what the analysis says about them in the words of the drawing.

    web:get    S        [-----------------]
      db:call  C           [-----]            ! db.namespace=users

Indentation is the tree. `service:name` names the span; names are unique in a drawing: of equal ones each has
more `'` behind it, which are no part of the name. Then its kind: S, C, P, K (consumer) or I,
or nothing. The column of `[` is its start, that of `]` its end, `|` is a span without length; the first line starts at 0. A column is
`column_ns` long, 10 ms unless a drawing says otherwise. Behind it, in any order:

    !            status error            !text         and this message           !Type:text   an exception event instead
    @host        the host of its clock (without it, the service is the host)
    #7           its span id (without it, the number of the line)
    ^9           the id of its parent, which need not be there; ^0 none
    +2, -2       its clock: the drawing says what was, the span says this many columns more or less
    lost         its start is 0, as of a sender without a clock
    key=value    an attribute; of digits only, a number
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.analysis.answers import Section
from clew_server.analysis.tree import Tree, tree_of
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import trace_from_spans

T0 = 1_795_000_000_000_000_000
RECEIVED = T0 + 5_000_000_000
MS = 1_000_000
KINDS = {"I": 1, "S": 2, "C": 3, "P": 4, "K": 5, "": 0}
_INTERVAL = re.compile(r"\[[-=]*\]|\|")


@dataclass(frozen=True)
class Drawing:
    """The tree of a drawing; spans by the names they have in it, times in its columns."""

    tree: Tree
    column_ns: int

    @property
    def names(self) -> list[str]:
        """`service:name` of each row."""
        trace = self.tree.trace
        return [f"{trace.service_of(row)}:{trace.name_of(row)}" for row in range(len(trace))]

    def row(self, name: str) -> int:
        """The row of the span with this name."""
        return self.names.index(name)

    def columns(self, per_row: Sequence[int]) -> dict[str, float]:
        """Times that are not 0, by name."""
        return {
            name: time_ns / self.column_ns for name, time_ns in zip(self.names, per_row, strict=True) if time_ns != 0
        }

    def by_name(self, per_row: Mapping[int, int]) -> dict[str, float]:
        """Times of some rows, by name."""
        return {self.names[row]: time_ns / self.column_ns for row, time_ns in per_row.items()}

    def column(self, time_ns: int) -> float:
        """The column of a time of the tree: 0 is where the first line begins."""
        return (self.tree.trace.t0_unix_nano + time_ns - T0) / self.column_ns

    def path(self, sections: Sequence[Section]) -> str:
        """Sections in a line: `web:get 0-2, db:call 2-8, web:get 8-17`."""
        return ", ".join(
            f"{self.names[one.row]} {self.column(one.start_ns):g}-{self.column(one.end_ns):g}" for one in sections
        )


def drawn(picture: str, *, column_ns: int = 10 * MS) -> Drawing:
    """The drawing of a picture. Raises ValueError where a line has no interval or a name comes twice."""
    return Drawing(tree_of(trace_from_spans(spans_of(picture, column_ns=column_ns))), column_ns)


def spans_of(picture: str, *, column_ns: int = 10 * MS) -> list[StoredSpan]:
    """Its spans, in the order of the lines, as a store gives them."""
    lines = [line for line in picture.splitlines() if line.strip()]
    zero = _interval(lines[0]).start()
    above: list[tuple[int, bytes]] = []
    spans, names = [], set()
    for number, line in enumerate(lines, 1):
        interval = _interval(line)
        indent = len(line) - len(line.lstrip())
        name, *kind = line[: interval.start()].split()
        if name in names:
            raise ValueError(f"{name} comes twice")
        names.add(name)
        marks = _Marks(line[interval.end() :].split())
        span_id = (marks.span_id or number).to_bytes(8, "big")
        while above and above[-1][0] >= indent:
            above.pop()
        parent_id = above[-1][1] if above else b""
        above.append((indent, span_id))
        if marks.parent is not None:
            parent_id = marks.parent.to_bytes(8, "big") if marks.parent else b""
        start = interval.start() - zero + marks.clock
        length = len(interval.group()) - 1
        span = Span(
            trace_id=b"t" * 16,
            span_id=span_id,
            parent_span_id=parent_id,
            name=name.partition(":")[2].rstrip("'"),
            kind=KINDS["".join(kind)],  # type: ignore[arg-type]
            start_time_unix_nano=0 if marks.lost else T0 + start * column_ns,
            end_time_unix_nano=T0 + (start + length) * column_ns,
            attributes=[_attribute(key, value) for key, value in marks.attributes],
        )
        marks.fail(span)
        service = name.partition(":")[0]
        resource = Resource(attributes=[_attribute("service.name", service), _attribute("host.name", marks.host)])
        spans.append(StoredSpan(resource.SerializeToString(), "", b"", "", span.SerializeToString(), RECEIVED))
    return spans


class _Marks:
    """What stands behind an interval."""

    def __init__(self, words: Sequence[str]) -> None:
        self.span_id: int | None = None
        self.parent: int | None = None
        self.host = ""
        self.clock = 0
        self.lost = False
        self.failure: str | None = None
        self.attributes: list[tuple[str, str]] = []
        for word in words:
            first, rest = word[0], word[1:]
            if first == "!":
                self.failure = rest.replace("_", " ")
            elif first == "@":
                self.host = rest
            elif first == "#":
                self.span_id = int(rest)
            elif first == "^":
                self.parent = int(rest)
            elif first in "+-":
                self.clock = int(word)
            elif word == "lost":
                self.lost = True
            elif "=" in word:
                key, _, value = word.partition("=")
                self.attributes.append((key, value))
            else:
                raise ValueError(f"{word!r} says nothing")

    def fail(self, span: Span) -> None:
        if self.failure is None:
            return
        type_, colon, message = self.failure.partition(":")
        if colon:
            event = span.events.add(name="exception")
            event.attributes.extend((_attribute("exception.type", type_), _attribute("exception.message", message)))
        else:
            span.status.code = Status.STATUS_CODE_ERROR
            span.status.message = self.failure


def _interval(line: str) -> re.Match[str]:
    found = _INTERVAL.search(line)
    if found is None:
        raise ValueError(f"no interval in {line!r}")
    return found


def _attribute(key: str, value: str) -> KeyValue:
    attribute = KeyValue(key=key)
    if value.isdigit():
        attribute.value.int_value = int(value)
    else:
        attribute.value.string_value = value
    return attribute

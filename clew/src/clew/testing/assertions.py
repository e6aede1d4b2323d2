"""What a test says about recorded spans; a failing assertion prints them as a tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any

from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

#: What spans are read from: spans, a function that gives some, or a recorder or exporter that keeps them.
Source = Any


class Spans:
    """The spans of a recorder or exporter, read anew at each look. What is asked of it fails with the whole tree.

    Works on clew's spans and on the SDK's alike. The conditions are the same everywhere: `name` is the name or
    a compiled pattern that matches all of it; `kind` and `status` are OpenTelemetry's or their words (`"client"`,
    `"error"`); each of `attributes` must be there with that value, whatever it is where `...` is given, and not at all
    where None is.
    """

    def __init__(self, source: Source) -> None:
        """`source` is an iterable of ended spans, a function that gives one, or has `.spans` (InMemoryExporter,
        SpanRecorder) or `.get_finished_spans()` (the SDK's InMemorySpanExporter). Raises TypeError otherwise.
        """
        self._read = _reader(source)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __bool__(self) -> bool:
        return bool(self._read())

    def __getitem__(self, index: int) -> Any:
        return self._read()[index]

    def __repr__(self) -> str:
        return self.tree() or "no spans"

    @property
    def names(self) -> list[str]:
        """The names in the order of the spans' ends."""
        return [span.name for span in self._read()]

    @property
    def roots(self) -> list[Any]:
        """The spans whose parent is not among the spans, by start."""
        return _Tree(self._read()).roots

    def find(
        self,
        name: str | re.Pattern[str] | None = None,
        *,
        kind: SpanKind | str | None = None,
        status: StatusCode | str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """The spans that meet every condition, in the order of their ends."""
        wanted = Expect(name, ..., kind=kind, status=status, attributes=attributes)
        return [span for span in self._read() if not wanted.differences(span)]

    def one(
        self,
        name: str | re.Pattern[str] | None = None,
        *,
        kind: SpanKind | str | None = None,
        status: StatusCode | str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Any:
        """The only span that meets every condition. Raises AssertionError for none and for several."""
        spans = self._read()
        wanted = Expect(name, ..., kind=kind, status=status, attributes=attributes)
        found = [span for span in spans if not wanted.differences(span)]
        if len(found) == 1:
            return found[0]
        hints: list[str] = []
        if not found:
            near = [span for span in spans if name is not None and not Expect(name, ...).differences(span)]
            hints = [f"{span.name}: {'; '.join(wanted.differences(span))}" for span in near]
        raise _failure(f"one span {wanted} was expected, {len(found)} found", hints, spans)

    def none(
        self,
        name: str | re.Pattern[str] | None = None,
        *,
        kind: SpanKind | str | None = None,
        status: StatusCode | str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """No span meets every condition; without conditions: there is no span. Raises AssertionError."""
        spans = self._read()
        wanted = Expect(name, ..., kind=kind, status=status, attributes=attributes)
        found = [span for span in spans if not wanted.differences(span)]
        if found:
            raise _failure(f"no span {wanted} was expected, {len(found)} found", [], spans)

    def children(self, span: Any) -> list[Any]:
        """The children of a span, by start."""
        return _Tree(self._read()).children(span)

    def parent(self, span: Any) -> Any:
        """The parent of a span; None where it is not among the spans."""
        return _Tree(self._read()).parent(span)

    def assert_child(self, child: Any, parent: Any) -> None:
        """`child` is a child of `parent`, each given as a span or by its name. Raises AssertionError."""
        child, parent = (self.one(one) if isinstance(one, str) else one for one in (child, parent))
        if child.parent is None or _key(child.parent) != _key(parent.context):
            spans = self._read()
            actual = _Tree(spans).parent(child)
            known = "it has none" if child.parent is None else "another span" if actual is None else actual.name
            raise _failure(f"{child.name} is no child of {parent.name}; its parent: {known}", [], spans)

    def assert_tree(self, *roots: Expect) -> None:
        """The spans form exactly these trees, siblings in any order. Raises AssertionError.

        An `Expect` without children is a leaf; `...` among the children lets others be there.
        """
        spans = self._read()
        tree = _Tree(spans)
        problems = _match(tree.roots, roots, tree, "")
        if problems:
            expected = "\n".join("  " + line for root in roots for line in root.lines())
            raise _failure(f"the spans form another tree than\n{expected}", problems, spans)

    def tree(self) -> str:
        """The spans as an indented tree, a line each: name, kind, status, duration, attributes; "" for none."""
        return "\n".join(_Tree(self._read()).lines())


class Expect:
    """A span as a test wants it, with its children: `Expect("pay", Expect("POST", kind="client"), status="error")`.

    Conditions as in `Spans`; `name` None is any. Children are all there are, in any order, unless `...` is among them.
    """

    def __init__(
        self,
        name: str | re.Pattern[str] | None,
        *children: Expect | EllipsisType,
        kind: SpanKind | str | None = None,
        status: StatusCode | str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Raises ValueError for a kind or status that is none."""
        self._name = name
        self._kind = _word(kind, SpanKind)
        self._status = _word(status, StatusCode)
        self._attributes = dict(attributes or {})
        self.children = tuple(child for child in children if isinstance(child, Expect))
        self.is_open = ... in children

    def differences(self, span: Any) -> list[str]:
        """What the span itself, its children aside, does not meet, each in a phrase."""
        found: list[str] = []
        if isinstance(self._name, str):
            if span.name != self._name:
                found.append(f"the name is {span.name!r}, not {self._name!r}")
        elif self._name is not None and not self._name.fullmatch(span.name):
            found.append(f"the name {span.name!r} does not match {self._name.pattern!r}")
        if self._kind and _word(span.kind, SpanKind) != self._kind:
            found.append(f"the kind is {_word(span.kind, SpanKind)}, not {self._kind}")
        if self._status and (status := _word(span.status.status_code, StatusCode)) != self._status:
            found.append(f"the status is {status}, not {self._status}")
        attributes = span.attributes or {}
        for key, value in self._attributes.items():
            if value is None:
                if key in attributes:
                    found.append(f"{key} is {attributes[key]!r} and should not be there")
            elif key not in attributes:
                found.append(f"{key} is missing")
            elif value is not ... and not _equal(attributes[key], value):
                found.append(f"{key} is {attributes[key]!r}, not {value!r}")
        return found

    def lines(self, indent: str = "") -> list[str]:
        """The expectation as an indented tree."""
        below = [line for child in self.children for line in child.lines(indent + "  ")]
        return [f"{indent}{self}", *below, *([f"{indent}  ..."] if self.is_open and below else [])]

    def __str__(self) -> str:
        name = "(any)" if self._name is None else self._name if isinstance(self._name, str) else self._name.pattern
        said = [word for word in (self._kind, self._status) if word]
        said += [f"{key}={'...' if value is ... else repr(value)}" for key, value in self._attributes.items()]
        return " ".join([name, *said])


class _Tree:
    """Spans by parent; by start among siblings."""

    def __init__(self, spans: Sequence[Any]) -> None:
        ordered = sorted(spans, key=lambda span: span.start_time or 0)
        self._by_id = {_key(span.context): span for span in ordered}
        self._children: dict[tuple[int, int], list[Any]] = {}
        self.roots: list[Any] = []
        for span in ordered:
            if span.parent is not None and _key(span.parent) in self._by_id:
                self._children.setdefault(_key(span.parent), []).append(span)
            else:
                self.roots.append(span)

    def children(self, span: Any) -> list[Any]:
        return list(self._children.get(_key(span.context), ()))

    def parent(self, span: Any) -> Any:
        return None if span.parent is None else self._by_id.get(_key(span.parent))

    def lines(self) -> list[str]:
        lines: list[str] = []
        pending = [(span, 0) for span in reversed(self.roots)]
        while pending:
            span, depth = pending.pop()
            lines.append("  " * depth + _described(span))
            pending += [(child, depth + 1) for child in reversed(self.children(span))]
        return lines


def _match(spans: Sequence[Any], wanted: Sequence[Expect], tree: _Tree, path: str, is_open: bool = False) -> list[str]:
    """What keeps `spans` from being `wanted`, in any order; [] if nothing does."""
    costs = [[_problems(span, one, tree, path) for one in wanted] for span in spans]
    pairs = _pairing([[not problems for problems in row] for row in costs], len(wanted))
    left_over = [at for at in range(len(spans)) if at not in pairs.values()]
    unmet = [at for at in range(len(wanted)) if at not in pairs]
    found: list[str] = []
    for at in unmet:
        # The span that comes nearest tells most about what went wrong.
        nearest = min(left_over, key=lambda span: _distance(spans[span], wanted[at], costs[span][at]), default=None)
        if nearest is not None and not Expect(wanted[at]._name, ...).differences(spans[nearest]):
            found += costs[nearest][at]
            left_over.remove(nearest)
        else:
            found.append(f"{path or 'among the roots'}: {wanted[at]} is missing")
    if not is_open:
        found += [f"{path or 'among the roots'}: {spans[at].name} is there and was not expected" for at in left_over]
    return found


def _problems(span: Any, wanted: Expect, tree: _Tree, path: str) -> list[str]:
    here = f"{path} > {span.name}" if path else span.name
    own = wanted.differences(span)
    problems = [f"{here}: {', '.join(own)}"] if own else []
    return problems + _match(tree.children(span), wanted.children, tree, here, wanted.is_open)


def _distance(span: Any, wanted: Expect, problems: list[str]) -> tuple[int, int]:
    return len(Expect(wanted._name, ...).differences(span)), len(problems)


def _pairing(fits: list[list[bool]], wanted: int) -> dict[int, int]:
    """As many of `wanted` as possible each with a span of its own that fits: {wanted: span} (augmenting paths)."""
    pairs: dict[int, int] = {}

    def settle(span: int, seen: set[int]) -> bool:
        for at in range(wanted):
            if fits[span][at] and at not in seen:
                seen.add(at)
                if at not in pairs or settle(pairs[at], seen):
                    pairs[at] = span
                    return True
        return False

    for span in range(len(fits)):
        settle(span, set())
    return pairs


def _described(span: Any) -> str:
    said = [span.name]
    kind, status = _word(span.kind, SpanKind), _word(span.status.status_code, StatusCode)
    if kind != "internal":
        said.append(kind)
    if status != "unset":
        said.append(status.upper() + (f" ({span.status.description})" if span.status.description else ""))
    if span.end_time is not None and span.start_time is not None:
        said.append(f"{(span.end_time - span.start_time) / 1e6:.3f} ms")
    said += [f"{key}={value!r}" for key, value in (span.attributes or {}).items()]
    said += [f"[{event.name}]" for event in span.events]
    return " ".join(said)


def _failure(sentence: str, hints: Sequence[str], spans: Sequence[Any]) -> AssertionError:
    lines = [sentence, *(f"- {hint}" for hint in hints), "recorded:", *("  " + line for line in _Tree(spans).lines())]
    if not spans:
        lines[-1] = "recorded: no spans"
    return AssertionError("\n".join(lines))


def _reader(source: Source) -> Callable[[], Sequence[Any]]:
    for name in ("get_finished_spans", "spans"):
        if hasattr(source, name):
            if callable(getattr(source, name)):
                return lambda: list(getattr(source, name)())
            return lambda: list(getattr(source, name))
    if callable(source):
        return lambda: list(source())
    if isinstance(source, Iterable):
        spans = list(source)
        return lambda: spans
    raise TypeError(f"{type(source).__name__} is no recorder, exporter or collection of spans")


def _key(context: Any) -> tuple[int, int]:
    return context.trace_id, context.span_id


def _word(value: Any, known: type[SpanKind] | type[StatusCode]) -> str:
    if value is None:
        return ""
    word = value.lower() if isinstance(value, str) else value.name.lower()
    words = [one.name.lower() for one in known]
    if word not in words:
        raise ValueError(f"{value!r} is none of {', '.join(words)}")
    return word


def _equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        return list(found) == list(wanted)
    return bool(found == wanted)


def assert_span(
    span: Any,
    *,
    name: str | None = None,
    kind: SpanKind | None = None,
    status: StatusCode | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    trace_id: str | None = None,
    parent_id: str | None = None,
) -> None:
    """What is given holds for the span; ids in hex, an empty `parent_id` means a root span."""
    if name is not None:
        assert span.name == name, f"span name {span.name!r}, not {name!r}"
    if kind is not None:
        assert span.kind is kind, f"kind {span.kind.name}, not {kind.name}"
    if status is not None:
        assert span.status.status_code is status, f"status {span.status.status_code.name}, not {status.name}"
    for key, value in (attributes or {}).items():
        assert span.attributes.get(key) == value, f"{key} is {span.attributes.get(key)!r}, not {value!r}"
    if trace_id is not None:
        assert f"{span.context.trace_id:032x}" == trace_id, "the span is in another trace"
    if parent_id is not None:
        found = f"{span.parent.span_id:016x}" if span.parent is not None else ""
        assert found == parent_id, f"parent {found!r}, not {parent_id!r}"


def exceptions_of(span: Any) -> list[Mapping[str, Any]]:
    """The attributes of the exceptions recorded on a span."""
    return [event.attributes for event in span.events if event.name == "exception"]

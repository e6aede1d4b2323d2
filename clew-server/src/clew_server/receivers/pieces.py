"""A large request cut into small ones, so that the parser's objects exist for one of them at a time. No I/O.

A parsed message takes many times the bytes it came from: 64 MiB of empty attributes take 2 GiB. Cut, the parser has half a
MiB before it, other threads run between two pieces, and what it built is given back before the next.
"""

from __future__ import annotations

from collections.abc import Iterator

from clew.otlp.encode import delimited
from clew_server.errors import TooLarge
from clew_server.receivers.contract import MAX_REQUEST_SPANS
from clew_server.receivers.signals import TRACES, Signal
from clew_server.receivers.wire import broken, count_fields, fields, varint

PIECE_BYTES = 512 << 10
MAX_PART_FIELDS = PIECE_BYTES // 2
"""Fields of one span, one resource or one scope, all that is nested in them included: no piece can hold more."""

# The resource and the scope are repeated in each piece of their spans; long ones make the pieces longer, and then what is in
# the spans is counted before it is parsed.
_HEAD_SHARE = 64
_MAX_FIELDS_OF_LONG_PIECE = 1_000_000

_Edges = tuple[int, int]


def pieces(body: bytes, signal: Signal = TRACES, *, most: int = MAX_REQUEST_SPANS) -> Iterator[bytes]:
    """Requests that hold together what `body` holds, in its order; unknown fields at the top are left out.

    It may hold `most` resources, scopes and spans or log records.

    Unknown fields beside a resource or a scope stand in one piece only. Raises BadInput where the bytes are no request,
    TooLarge for too many resources, scopes, spans or log records, or too much in one of them.
    """
    cut = _Cut(body, signal, most)
    _, _, resources = cut.split(0, len(body), child=0x0A, name="resources")
    for run in cut.runs(resources, PIECE_BYTES):
        if len(run) > 1 or run[0][1] - run[0][0] <= PIECE_BYTES:
            yield cut.join(run)
        else:
            yield from _of_resource(cut, run[0])


def _of_resource(cut: _Cut, at: _Edges) -> Iterator[bytes]:
    head, unknown, scopes = cut.split(*cut.content(at), child=0x12, name="scopes")
    cut.check_head(head, "resource")
    for run in cut.runs(scopes, max(PIECE_BYTES, _HEAD_SHARE * len(head))):
        if len(run) > 1 or run[0][1] - run[0][0] <= PIECE_BYTES:
            cut.check_long(run, cut.signal.scopes)
            yield delimited(1, head + unknown + cut.join(run))
        else:
            yield from _of_scope(cut, run[0], head, unknown)
        unknown = b""


def _of_scope(cut: _Cut, at: _Edges, resource: bytes, unknown_of_resource: bytes) -> Iterator[bytes]:
    head, unknown, spans = cut.split(*cut.content(at), child=0x12, name=f"{cut.signal.one}s")
    cut.check_head(head, "scope")
    for run in cut.runs(spans, max(PIECE_BYTES, _HEAD_SHARE * (len(head) + len(resource)))):
        cut.check_long(run, cut.signal.items)
        scope = delimited(2, head + unknown + cut.join(run))
        yield delimited(1, resource + unknown_of_resource + scope)
        unknown = unknown_of_resource = b""


class _Cut:
    """The body, and how much of it was counted."""

    def __init__(self, body: bytes, signal: Signal, most: int) -> None:
        self._body = body
        self.signal = signal
        self._most = most
        self._counts = {"resources": 0, "scopes": 0, f"{signal.one}s": 0}

    def content(self, field: _Edges) -> _Edges:
        """A field without its tag and its length."""
        _, at = varint(self._body, *field)
        return varint(self._body, at, field[1])[1], field[1]

    def split(self, at: int, end: int, *, child: int, name: str) -> tuple[bytes, bytes, list[_Edges]]:
        """Of a message: its fields 1 and 3, those that OTLP does not know, and where the children with this tag lie."""
        body, children = self._body, list[_Edges]()
        head: list[bytes] = []
        unknown: list[bytes] = []
        room = self._most - self._counts[name]
        while at < end:
            # Written out for the children, of which there may be 200,000.
            if body[at] == child:
                start = at
                at += 1
                length = body[at] if at < end else 0x80
                if length < 0x80:
                    at += 1 + length
                elif at + 1 < end and body[at + 1] < 0x80:
                    at += 2 + (length & 0x7F | body[at + 1] << 7)
                else:
                    length, at = varint(body, at, end)
                    at += length
                if at > end:
                    raise broken("a field ends beyond its message")
                children.append((start, at))
            else:
                field = next(fields(body, at, end))
                at = field.end
                if field.wire_type == 2 and field.number == child >> 3:
                    children.append((field.start, at))
                elif field.wire_type == 2 and field.number in (1, 3):
                    head.append(body[field.start : at])
                else:
                    unknown.append(body[field.start : at])
                if len(head) + len(unknown) > MAX_PART_FIELDS:
                    raise TooLarge(f"more than {MAX_PART_FIELDS} fields that OTLP does not know beside {name}")
            if len(children) > room:
                raise TooLarge(f"more than {self._most} {name} in one request")
        self._counts[name] += len(children)
        return b"".join(head), b"".join(unknown), children

    def runs(self, children: list[_Edges], most_bytes: int) -> Iterator[list[_Edges]]:
        """The children in order, as many at a time as fit; a longer one alone."""
        run: list[_Edges] = []
        size = 0
        for child in children:
            length = child[1] - child[0]
            if run and size + length > most_bytes:
                yield run
                run, size = [], 0
            run.append(child)
            size += length
        if run:
            yield run

    def join(self, run: list[_Edges]) -> bytes:
        if run[-1][1] - run[0][0] == sum(end - start for start, end in run):
            return self._body[run[0][0] : run[-1][1]]
        return b"".join(self._body[start:end] for start, end in run)

    def check_head(self, head: bytes, kind: str) -> None:
        """Raises TooLarge for a resource or a scope of too many fields. `head` are the fields around it too."""
        if len(head) <= PIECE_BYTES:
            return
        count = sum(
            count_fields(head, field.content, field.end, kind, MAX_PART_FIELDS)
            for field in fields(head, 0, len(head))
            if field.number == 1
        )
        if count > MAX_PART_FIELDS:
            raise TooLarge(f"more than {MAX_PART_FIELDS} attributes and other fields in one {kind}")

    def check_long(self, run: list[_Edges], kind: str) -> None:
        """Raises TooLarge for a piece of too many fields; one of the usual length cannot hold them."""
        if run[-1][1] - run[0][0] <= PIECE_BYTES:
            return
        left = MAX_PART_FIELDS if len(run) == 1 else _MAX_FIELDS_OF_LONG_PIECE
        for child in run:
            left -= count_fields(self._body, *self.content(child), kind, left)
            if left < 0:
                raise TooLarge(
                    f"more than {MAX_PART_FIELDS} attributes, events and other fields in one {self.signal.one}"
                )

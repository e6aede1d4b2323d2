"""The parents of spans that refer to each other by rpc ids (`0.1.2`), as EagleEye and SOFATracer do. No I/O.

A part is added with each call, so what is above is in the id itself. What one line cannot say: whether a server has the rpc id of its
caller (EagleEye, SOFARPC) or one of its own below (SOFATracer over HTTP), and on which side of a call a span one part above is. The
receiver guessed; the whole trace knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.ids import our_span_in_eagleeye, span_id_from_eagleeye
from clew_server.model.attributes import text_of
from clew_server.model.columns import CLIENT, MISSING, PRODUCER

MARK: Final = b"origin.span.id"
"""The attribute with the rpc id, in digest logs and in what SOFATracer sends to Zipkin. Bytes without it have none."""

_CALLERS: Final = "c"
_OTHERS: Final = "s"
_MOST_ZEROS: Final = 8


def hang_calls(
    marked: Iterable[int],
    parents: list[int],
    parent_ids: Sequence[bytes],
    raw: Sequence[bytes],
    kinds: Sequence[int],
    by_id: Mapping[bytes, int],
) -> None:
    """Change `parents` around the spans `marked`, whose bytes hold `MARK`.

    A server hangs on the client with its rpc id, else a span hangs on what is one part above, on either side. What clew traced hangs
    on the client whose rpc id it got, also where Zipkin knows that client by another id.
    """
    rpc_ids: dict[int, tuple[str, str]] = {}
    named: dict[tuple[str, str], int] = {}
    traces: set[str] = set()
    for i in marked:
        rpc_id, side, trace = _said(raw[i], kinds[i])
        if rpc_id:
            rpc_ids[i] = rpc_id, side
            named.setdefault((rpc_id, side), i)
            traces |= trace
    for i, (rpc_id, side) in rpc_ids.items():
        caller = named.get((rpc_id, _CALLERS)) if side == _OTHERS else None
        if caller is not None:
            parents[i] = caller
        elif parents[i] == MISSING:
            parents[i] = _above(rpc_id, side, named, by_id, i)
    lost = [i for i, parent in enumerate(parents) if parent == MISSING and i not in rpc_ids]
    if lost:
        sent = {
            span_id_from_eagleeye(trace, rpc_id, _CALLERS): i
            for (rpc_id, side), i in named.items()
            if side == _CALLERS
            for trace in traces
        }
        for i in lost:
            parents[i] = sent.get(parent_ids[i], MISSING)


def _above(rpc_id: str, side: str, named: Mapping[tuple[str, str], int], by_id: Mapping[bytes, int], i: int) -> int:
    """What hangs above a span whose parent's id is not in the trace."""
    above = rpc_id.rpartition(".")[0]
    for other in (_CALLERS, _OTHERS) if side == _OTHERS else (_OTHERS, _CALLERS):
        found = named.get((above, other))
        if found is not None and found != i:
            return found
    ours = our_span_in_eagleeye(above) or our_span_in_eagleeye(rpc_id)
    return by_id.get(ours, MISSING) if ours is not None else MISSING


def _said(raw: bytes, kind: int) -> tuple[str, str, set[str]]:
    """The rpc id of a span, on which side of a call it is, and what its trace may have been called in headers."""
    try:
        span = Span.FromString(raw)
    except DecodeError:
        return "", "", set()
    rpc_id = text_of(span.attributes, "origin.span.id")
    said = text_of(span.attributes, "eagleeye.trace_id")
    if said:
        names = {said}
    else:
        # Zipkin's ids are padded on the left, and an address may begin with zeros.
        text = span.trace_id.hex()
        zeros = min(len(text) - len(text.lstrip("0")), _MOST_ZEROS)
        names = {text[count:] for count in range(zeros + 1)}
    return rpc_id, _side(span, kind), names


def _side(span: Span, kind: int) -> str:
    """A method's own span is neither client nor server in OTLP, and counts as a call in SOFATracer."""
    said = text_of(span.attributes, "span.kind")
    if said:
        return _CALLERS if said in ("client", "producer") else _OTHERS
    return _CALLERS if kind in (CLIENT, PRODUCER) else _OTHERS

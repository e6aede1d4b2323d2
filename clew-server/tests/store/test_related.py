"""How the parents of spans are read from their bytes, for relations between spans."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.search import Search
from clew_server.query.language.parser import parse
from clew_server.store.asking import Question
from clew_server.store.where.related import parent_in

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import put_all
from random_queries import times

HEAD = 600
SPAN_ID, PARENT = b"\x22\x08\x1a\x00\x22\x08ab", b"\x1a\x08parent"
STATES = [0, 1, 2, 25, 26, 127, 128, 129, 512, 579, 580, 600, 20_000, 3_000_000]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("parent", [b"", PARENT, bytes(8), b"short", b"longer than one"])
def test_the_parent_stands_behind_a_trace_state_of_any_length(state: int, parent: bytes) -> None:
    span = Span(
        trace_id=bytes(15) + b"t", span_id=SPAN_ID, parent_span_id=parent, trace_state="s" * state, name="\x22\x08"
    )
    raw = span.SerializeToString()[20:]
    head = raw[: HEAD if state else 18]
    is_told = state <= 579 or len(raw) < HEAD
    assert parent_in(head) == ((parent if len(parent) == 8 else b"") if is_told else None)


def test_what_is_below_another_is_found_with_trace_states_on_the_way(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    begin = time.time_ns()
    whole, broken = ([bytes([kind] * 15) + bytes([at + 1]) for at in range(len(STATES))] for kind in (1, 2))
    for trace_id, state in zip(whole + broken, STATES * 2, strict=True):
        ids = [b"spanspa" + bytes([at + 1]) for at in range(4)]
        for at in (0, 1, 2, 3):
            if at == 1 and trace_id in broken:
                continue
            span = spans.add(trace_id=trace_id, span_id=ids[at], name=f"below {at}", start_time_unix_nano=begin + at)
            span.end_time_unix_nano = begin + at + 1_000
            if at:
                span.parent_span_id, span.trace_state = ids[at - 1], "s" * state
    # Of a span that never came there is only what was logged in it: that is no span, whatever lies below.
    fragment = spans.add(trace_id=b"only a fragment.", span_id=b"in a log", start_time_unix_nano=begin)
    fragment.attributes.add(key="clew.fragment").value.string_value = "log"
    spans.add(
        trace_id=fragment.trace_id,
        span_id=b"below it",
        parent_span_id=fragment.span_id,
        name="below a log",
        start_time_unix_nano=begin,
    )
    put_all(opened, [request])
    asked: list[str] = []
    ask = Question.ask

    def noted(self: Question, name: str, *arguments: Any, **words: str) -> bytes:
        asked.append(name)
        return ask(self, name, *arguments, **words)

    monkeypatch.setattr(Question, "ask", noted)
    page = opened.store.reader.find(Search(where=parse('{name="below 0"} >> {name="below 3"}', times), limit=100))
    assert page.complete
    assert {trace.trace_id for trace in page.traces} == {one.hex() for one in whole}
    assert (
        asked.count("heads_of_spans") == asked.count("spans_of_relations") == 1
    )  # by time only what the heads do not say
    assert not opened.store.reader.find(Search(where=parse('{} >> {name="below a log"}', times))).traces

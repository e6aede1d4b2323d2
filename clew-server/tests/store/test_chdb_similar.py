"""Traces whose ids differ little from one that is not there, against looking at all ids."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.store.contract import Similar

CHANCE = random.Random(11)
# So few different digits that many ids begin and end alike.
WHOLE = ["".join(CHANCE.choice("ab") for _ in range(12)) + CHANCE.choice(["00", "ff"]) * 10 for _ in range(60)]
SHORT = ["0" * 16 + "".join(CHANCE.choice("cd") for _ in range(16)) for _ in range(20)]
HALVES = [CHANCE.choice(WHOLE)[:16] + one[16:] for one in SHORT[:5]]
TRACES = sorted({*WHOLE, *SHORT, *HALVES})
SPANS = {trace_id: f"{number + 1:016x}" for number, trace_id in enumerate(TRACES)}


def request(trace_id: str, span_id: str) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    now = time.time_ns()
    made.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes.fromhex(trace_id),
        span_id=bytes.fromhex(span_id),
        start_time_unix_nano=now,
        end_time_unix_nano=now + 1,
    )
    return made


@pytest.fixture(scope="module", autouse=True)
def stored(opened: Any) -> None:
    # Twice, in two segments: a trace is named once all the same.
    for half in (TRACES, TRACES[::3]):
        opened.put([request(trace_id, SPANS[trace_id]) for trace_id in half])


def by_hand(digits: str) -> list[Similar]:
    whole = digits.rjust(32, "0") if len(digits) == 16 else digits
    is_short = len(whole) == 32 and whole.startswith("0" * 16)
    others = [one for one in TRACES if one != whole]
    found = []
    if is_short:
        found += [Similar(one, "span_id") for one in others if SPANS[one] == whole[16:]]
        found += [Similar(one, "half") for one in others if one[16:] == whole[16:]]

    def begins(one: str) -> bool:
        if len(whole) < 32:
            return one.startswith(whole)
        if is_short:
            return one.startswith(whole[:24]) or (len(digits) == 16 and one.startswith(digits))
        return one.startswith(whole[:8]) or one == "0" * 16 + whole[16:]

    near = [one for one in others if begins(one)]
    near.sort(key=lambda one: (-max(alike(one, text) for text in (whole, digits)), one))
    for one in near:
        is_half = len(whole) == 32 and not is_short and one.startswith("0" * 16)
        found.append(Similar(one, "half" if is_half else "beginning"))
    first: dict[str, Similar] = {}
    for similar in found:
        first.setdefault(similar.trace_id, similar)
    return list(first.values())


def alike(one: str, other: str) -> int:
    return max(length for length in range(min(len(one), len(other)) + 1) if one[:length] == other[:length])


def changed(trace_id: str) -> str:
    """One digit of it is another."""
    at = CHANCE.randrange(32)
    return trace_id[:at] + CHANCE.choice("abcdef0") + trace_id[at + 1 :]


ASKED = [
    *(changed(CHANCE.choice(TRACES)) for _ in range(40)),
    *(CHANCE.choice(TRACES)[: CHANCE.choice([8, 9, 12, 16, 21, 31])] for _ in range(20)),
    *(one[16:] for one in SHORT[:6]),
    *(CHANCE.choice(WHOLE)[:16] + one[16:] for one in SHORT[6:12]),
    *(SPANS[one] for one in CHANCE.sample(TRACES, 6)),
    *(SPANS[one].rjust(32, "0") for one in CHANCE.sample(TRACES, 3)),
    "9" * 32,
    "9" * 8,
]


def test_similar_ids_are_those_found_by_looking_at_all(opened: Any) -> None:
    for digits in ASKED:
        found = opened.store.similar.similar(digits, 5)
        expected = by_hand(digits)
        assert len(found) == min(5, len(expected)), digits
        # Of equally good ones any five may be named; each for its reason.
        assert set(found) <= set(expected), digits
        if len(expected) <= 5:
            assert found == expected, digits

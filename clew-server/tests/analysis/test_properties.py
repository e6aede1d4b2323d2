"""Of any trace: sections tile the root, own times sum to it, a slow twin agrees, and ids, order and requests do not show."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import brute
import pytest
from drawn import MS, RECEIVED, T0
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.analysis.critical_path import critical_path
from clew_server.analysis.evidence import Evidence
from clew_server.analysis.failure import causes, failures, roles
from clew_server.analysis.own_time import after_root_ns, own_ns, owners, self_ns
from clew_server.analysis.patterns.timeout import limit_of_ns, timeout
from clew_server.analysis.tree import Tree, resolution_ns, tree_of
from clew_server.analysis.verdict import verdict
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import CLIENT, CONSUMER, FAILED, SERVER, trace_from_spans
from clew_server.model.usual import NOTHING


class Drawn(NamedTuple):
    """A span at random. `parent` is the place in the list of one before it; of the first, and where it is -1, there is none."""

    parent: int
    start: int
    duration: int
    kind: int
    service: int
    host: int
    failed: bool
    lost: bool
    says: str = ""


def resource(**attributes: str) -> bytes:
    return Resource(
        attributes=[
            KeyValue(key=key.replace("_", "."), value=AnyValue(string_value=text)) for key, text in attributes.items()
        ]
    ).SerializeToString()


RESOURCES = [[resource(service_name=f"s{one}", host_name=f"h{host}") for host in range(4)] for one in range(4)]


def spans_of(some: Iterable[Drawn], ids: list[int], unit_ns: int = 1) -> list[StoredSpan]:
    """With names that are all different, and the given ids."""
    spans = []
    for at, one in enumerate(some):
        parent = ids[one.parent % at] if at and one.parent >= 0 else (999_999 if at else 0)
        start = T0 + one.start * unit_ns
        span = Span(
            trace_id=b"t" * 16,
            span_id=ids[at].to_bytes(8, "big"),
            parent_span_id=parent.to_bytes(8, "big") if parent else b"",
            name=f"n{at}",
            kind=one.kind,  # type: ignore[arg-type]
            start_time_unix_nano=0 if one.lost else start,
            end_time_unix_nano=start + one.duration * unit_ns,
        )
        span.status.code = 2 if one.failed else 0  # type: ignore[assignment]
        span.status.message = one.says if one.failed else ""
        spans.append(StoredSpan(RESOURCES[one.service][one.host], "", b"", "", span.SerializeToString(), RECEIVED))
    return spans


ONE = st.builds(
    Drawn,
    parent=st.sampled_from([-1, *range(12), *range(12)]),
    start=st.integers(0, 40),
    duration=st.integers(0, 40),
    kind=st.integers(0, 5),
    service=st.integers(0, 3),
    host=st.integers(0, 3),
    failed=st.booleans(),
    lost=st.sampled_from([False] * 9 + [True]),
)
SOME = st.lists(ONE, min_size=1, max_size=14)
UNITS = st.sampled_from([1, 7])


def check(tree: Tree) -> None:
    for root in tree.trace.roots():
        own, after = own_ns(tree, root), after_root_ns(tree, root)
        assert min(own) >= 0
        assert min(after) >= 0
        assert sum(own) == tree.duration_ns(root)
        found = critical_path(tree, root)
        at = tree.start_ns[root]
        for section in found.sections:
            assert section.start_ns == at
            assert section.end_ns > at or tree.duration_ns(root) == 0
            assert section.start_ns >= tree.start_ns[section.row]
            assert section.end_ns <= tree.end_ns[section.row]
            at = section.end_ns
        assert at == tree.end_ns[root]
        assert all(one.row != other.row for one, other in zip(found.sections, found.sections[1:], strict=False))
        assert all(slack >= 0 for slack in found.slack_ns.values())
        assert found.uncertain == bool(found.slack_ns)
    assert all(end >= start for start, end in zip(tree.start_ns, tree.end_ns, strict=True))


def twins(tree: Tree) -> None:
    for root in tree.trace.roots():
        start, end = tree.start_ns[root], tree.end_ns[root]
        last = max(tree.end_ns[row] for row in brute.within(tree, root))
        assert own_ns(tree, root) == brute.own_ns(tree, root, start, end)
        assert after_root_ns(tree, root) == brute.own_ns(tree, root, end, last)
        instants = [one.row for one in critical_path(tree, root).sections for _ in range(one.start_ns, one.end_ns)]
        assert instants == brute.critical_path(tree, root, resolution_ns(tree.trace))
    assert self_ns(tree) == brute.self_ns(tree)
    assert {failure.row: failure.role for failure in failures(tree)} == brute.roles(tree)


@settings(max_examples=400)
@given(
    st.lists(
        st.builds(
            Drawn,
            parent=st.sampled_from([-1, *range(8), *range(8), *range(8), *range(8)]),
            start=st.integers(0, 20),
            duration=st.integers(0, 40),
            kind=st.sampled_from([1, 1, 2, 2, 3, 3, 3, 4, 5]),
            service=st.integers(0, 2),
            host=st.integers(0, 2),
            failed=st.sampled_from([True, True, False]),
            lost=st.sampled_from([False] * 19 + [True]),
            says=st.sampled_from(["", "", "timed out", "cancelled", "deadline"]),
        ),
        min_size=2,
        max_size=10,
    ),
    st.sampled_from([MS // 10, MS, 7 * MS]),
)
def test_the_slow_twin_agrees_about_failures_that_came_too_late(some: list[Drawn], unit_ns: int) -> None:
    tree = tree_of(trace_from_spans(spans_of(some, list(range(1, 99)), unit_ns)))
    assert {failure.row: failure.role for failure in failures(tree)} == brute.roles(tree)


@settings(max_examples=250)
@given(SOME, UNITS)
def test_the_slow_twin_agrees(some: list[Drawn], unit_ns: int) -> None:
    tree = tree_of(trace_from_spans(spans_of(some, list(range(1, 99)), unit_ns)))
    check(tree)
    if max(tree.end_ns) - min(tree.start_ns) < 1_000:  # a lost start is seconds away: too many instants
        twins(tree)


@settings(max_examples=150)
@given(SOME, st.sampled_from([1, 25 * MS]))
def test_what_patterns_look_at_is_what_each_span_says(some: list[Drawn], unit_ns: int) -> None:
    spans = spans_of(some, list(range(1, 99)), unit_ns)
    for at, one in enumerate(spans):
        span = Span.FromString(one.span)
        span.name = f"n{at % 2}"
        spans[at] = one._replace(span=span.SerializeToString())
    tree = tree_of(trace_from_spans(spans))
    evidence, trace = Evidence(tree, NOTHING), tree.trace
    inside = brute.within(tree, tree.root)

    groups: dict[tuple[int, int, int], list[int]] = {}
    for row in inside[1:]:
        groups.setdefault((trace.parent[row], trace.service[row], trace.name[row]), []).append(row)
    several = [rows for rows in groups.values() if len(rows) > 1]
    for rows in several:
        rows.sort(key=tree.start_ns.__getitem__)
    assert evidence.equal_siblings == [(trace.parent[rows[0]], rows) for rows in several]

    for share in (0.1, 0.5):
        least_ns = max(1.0, evidence.root_ns * share)
        assert evidence.parents_of_critical(share) == [
            row
            for row in inside
            if any(trace.children(row))
            and sum(evidence.critical_ns[one] for one in brute.within(tree, row)) >= least_ns
        ]

    limits = {
        row: limit_of_ns(tree.duration_ns(row))
        for row in inside
        if trace.flags[row] & FAILED and row not in evidence.late and evidence.is_timed(row)
    }
    deepest = [
        row
        for row, limit_ns in limits.items()
        if limit_ns is not None and all(limits.get(one) != limit_ns for one in brute.within(tree, row) if one != row)
    ]
    assert sorted(finding.rows[0] for finding in timeout(evidence)) == sorted(deepest)


@settings(max_examples=100)
@given(SOME, st.integers(1, 3 * MS), st.randoms(use_true_random=False))
def test_sections_tile_the_root_and_own_times_sum_to_it_in_any_unit(
    some: list[Drawn], unit_ns: int, chance: random.Random
) -> None:
    noisy = [one._replace(start=one.start + chance.randrange(5)) for one in some]
    check(tree_of(trace_from_spans(spans_of(noisy, list(range(1, 99)), unit_ns))))


def said(tree: Tree, names: list[str]) -> Any:
    """The words of the verdict, and the spans that show what it found."""
    found = verdict(tree, NOTHING, RECEIVED + 10**12)
    findings = [(one.kind, one.text, [names[row] for row in one.rows]) for one in found.findings]
    return found.word, found.summary, findings, list(found.completeness.notes)


def answers(spans: list[StoredSpan]) -> dict[str, Any]:
    """All there is to say, by the names of the spans."""
    tree = tree_of(trace_from_spans(spans))
    names = [tree.trace.name_of(row) for row in range(len(tree.trace))]
    path = critical_path(tree)
    found = failures(tree)
    return {
        "own": dict(zip(names, own_ns(tree), strict=True)),
        "after": dict(zip(names, after_root_ns(tree), strict=True)),
        "owners": dict(zip(names, owners(tree), strict=True)),
        "path": [(names[one.row], one.start_ns, one.end_ns) for one in path.sections],
        "slack": {names[row]: slack for row, slack in path.slack_ns.items()},
        "failures": [(names[failure.row], failure.role) for failure in found],
        "causes": [names[row] for row in causes(found)],
        "origins": {names[row] for row, role in roles(tree) if role in ("origin", "handled")},
        "shifts": tree.shifts,
        "starts": dict(zip(names, tree.start_ns, strict=True)),
        "verdict": said(tree, names),
    }


def test_of_two_consumers_that_ran_meanwhile_for_as_long_ids_decide_nothing() -> None:
    some = [Drawn(-1, 0, 5, 0, 0, 0, False, False), Drawn(0, 0, 0, 0, 0, 0, False, False)]
    some += [Drawn(1, 0, 5, CONSUMER, 0, 0, False, False)] * 2
    one, other = (answers(spans_of(some, ids, MS)) for ids in ([1, 2, 3, 4], [1, 2, 4, 3]))
    assert "for which it may have waited" in str(one["verdict"])
    assert one == other


@settings(max_examples=150)
@given(SOME, st.sampled_from([1, 7, MS]), st.randoms(use_true_random=False))
def test_new_ids_another_order_and_other_requests_change_nothing(
    some: list[Drawn], unit_ns: int, chance: random.Random
) -> None:
    some[0] = some[0]._replace(lost=False)
    ids = list(range(1, 99))
    expected = answers(spans_of(some, ids, unit_ns))
    chance.shuffle(ids)
    spans = spans_of(some, ids, unit_ns)
    again = [span._replace(received_unix_nano=RECEIVED) for span in chance.sample(spans, len(spans) // 2)]
    spans += again
    chance.shuffle(spans)
    assert answers(spans) == expected


def test_twenty_thousand_levels_are_borne() -> None:
    levels = 20_000
    some = [Drawn(-1, 0, 2 * levels, 1, 0, 0, False, False)] + [
        Drawn(
            level - 1, level, 2 * (levels - level), SERVER if level % 2 else CLIENT, level % 4, level % 4, True, False
        )
        for level in range(1, levels)
    ]
    tree = tree_of(trace_from_spans(spans_of(some, list(range(1, levels + 1)))))
    assert sum(own_ns(tree)) == sum(after_root_ns(tree)) + 2 * levels
    assert len(critical_path(tree).sections) == 2 * levels - 1
    assert [failure.row for failure in failures(tree) if failure.role == "origin"] == [levels - 1]
    assert len(owners(tree)) == levels


def analysed(tree: Tree) -> None:
    again = tree_of(tree.trace)
    own_ns(again)
    after_root_ns(again)
    owners(again)
    critical_path(again)
    failures(again)


@pytest.mark.parametrize("shape", ["random", "flat", "deep", "hosts"])
def test_the_time_grows_with_the_spans_and_not_with_their_square(shape: str) -> None:
    """Against its own time for a tenth of the spans, in the same run: ten times as long, a hundred if it were the square."""
    chance = random.Random(1)

    def some(count: int) -> list[Drawn]:
        def parent(at: int) -> int:
            return {"flat": 0, "deep": at - 1}.get(shape, chance.randrange(at) if at else 0)

        return [
            Drawn(parent(at), at, 10**6, chance.randrange(6), at % 4, at % 4, at % 50 == 0, False)
            for at in range(count)
        ]

    def cpu_s(tree: Tree) -> float:
        best = float("inf")
        for _ in range(3):
            before = time.thread_time()
            analysed(tree)
            best = min(best, time.thread_time() - before)
        return best

    def tree(count: int) -> Tree:
        spans = spans_of(some(count), list(range(1, count + 1)))
        if shape == "hosts":
            spans = [span._replace(resource=resource(host_name=str(at))) for at, span in enumerate(spans)]
        return tree_of(trace_from_spans(spans))

    few, many = tree(2_000), tree(20_000)
    assert cpu_s(many) < 40 * cpu_s(few)

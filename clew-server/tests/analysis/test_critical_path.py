"""The critical path: sections that touch and sum to the root, by rules of which each has a trace here."""

from __future__ import annotations

import itertools

import pytest
from drawn import MS, drawn
from hypothesis import given
from hypothesis import strategies as st

from clew_server.analysis.answers import Section
from clew_server.analysis.critical_path import critical_path, folded
from clew_server.analysis.tree import tree_of
from clew_server.model.trace import trace_from_spans


def path(picture: str, *, column_ns: int = 10 * MS) -> str:
    drawing = drawn(picture, column_ns=column_ns)
    return drawing.path(critical_path(drawing.tree).sections)


def test_it_goes_backwards_from_the_end_through_the_last_child_that_ended() -> None:
    assert (
        path("""
        web:get        [-----------------]
          web:auth       [--]
          web:load             [-----]
            db:select            [-]
    """)
        == "web:get 0-2, web:auth 2-5, web:get 5-8, web:load 8-10, db:select 10-12, web:load 12-14, web:get 14-18"
    )


def test_siblings_that_touch_are_both_on_it() -> None:
    # With `<` instead of `<=` the first of the two is lost.
    assert (
        path("""
        web:get        [-----------]
          web:one       [---]
          web:two           [----]
    """)
        == "web:get 0-1, web:one 1-5, web:two 5-10, web:get 10-12"
    )


def test_of_parallel_calls_the_last_to_end_is_on_it_and_the_others_have_slack() -> None:
    drawing = drawn("""
        web:get        [-----------]
          a:one         [---]
          b:two         [-------]
          c:three        [-----]
          web:before   []
    """)
    found = critical_path(drawing.tree)
    assert drawing.path(found.sections) == "web:before 0-1, b:two 1-9, web:get 9-12"
    assert found.uncertain
    assert drawing.by_name(found.slack_ns) == {"a:one": 4, "c:three": 1}


def test_calls_one_after_the_other_are_certain() -> None:
    drawing = drawn("""
        web:get        [-----------]
          a:one         [---]
          b:two              [--]
    """)
    found = critical_path(drawing.tree)
    assert not found.uncertain
    assert found.slack_ns == {}


def test_overlaps_off_the_path_do_not_make_it_uncertain() -> None:
    assert not critical_path(
        drawn("""
        web:get        [-----------]
          a:one         []
            a:x         []
          b:off         |
          web:load       [-------]
          web:send P   [---]
            job:run  K  [-------]
              job:a      [----]
              job:b      [-----]
    """).tree
    ).slack_ns.keys() & {5, 6, 7, 8}


def test_a_child_that_outlives_its_parent_is_clipped_and_so_are_its_children() -> None:
    assert (
        path("""
        web:get        [-----------]
          web:load       [----]
            db:sel          [----]
              db:disk           [---]
              db:parse       []
    """)
        == "web:get 0-2, web:load 2-5, db:sel 5-6, db:parse 6-7, web:get 7-12"
    )


def test_children_outside_their_parent_are_not_on_it() -> None:
    assert (
        path("""
        web:get        [-------]
          web:load         [-]
            db:early  []
            db:late           [-]
          job:after               [---]
    """)
        == "web:get 0-4, web:load 4-6, web:get 6-8"
    )


def test_a_child_that_starts_before_its_parent_is_clipped() -> None:
    assert (
        path("""
        web:get        [-------]
          web:load   [-----]
    """)
        == "web:load 0-4, web:get 4-8"
    )


def test_a_consumer_is_work_that_nobody_waits_for_whatever_is_above_it() -> None:
    picture = """
        web:get        S  [-----------]
          web:send     P   []
            job:take   K     [---]
              job:sql  C      [-]
          bus:take     K        [---]
            bus:sql    C         [-]
    """
    assert path(picture) == "web:get 0-1, web:send 1-2, web:get 2-12"


def test_a_consumer_at_the_top_has_a_path_like_any_other() -> None:
    assert (
        path("""
        job:take   K  [-----]
          job:sql  C    [-]
    """)
        == "job:take 0-2, job:sql 2-4, job:take 4-6"
    )


def test_an_overlap_under_a_hundredth_of_the_parent_is_clipped_and_kept() -> None:
    # Of 300 columns the overlap is 2, then 3, which is a hundredth, then 4.
    parent, first = "[" + "-" * 299 + "]", " " * 10 + "[" + "-" * 99 + "]"
    kept = f"""
        web:get  {parent}
          a:one  {first}
          b:two  {" " * 108}[{"-" * 99}]
    """
    edge = kept.replace(f"b:two  {' ' * 108}", f"b:two  {' ' * 107}")
    lost = kept.replace(f"b:two  {' ' * 108}", f"b:two  {' ' * 106}")
    assert path(kept, column_ns=977) == "web:get 0-10, a:one 10-108, b:two 108-208, web:get 208-300"
    assert path(edge, column_ns=977) == "web:get 0-107, b:two 107-207, web:get 207-300"
    assert path(lost, column_ns=977) == "web:get 0-106, b:two 106-206, web:get 206-300"


@pytest.mark.parametrize(("column_ns", "kept"), [(MS, True), (1_000, True), (1_001, False), (2 * MS, False)])
def test_an_overlap_of_one_tick_of_the_clock_is_clipped_and_kept(column_ns: int, kept: bool) -> None:
    picture = """
        web:get        [-----------]
          web:one       [----]
          web:two           [----]
    """
    found = path(picture, column_ns=column_ns)
    if kept:
        assert found == "web:get 0-1, web:one 1-5, web:two 5-10, web:get 10-12"
    else:
        assert found == "web:get 0-5, web:two 5-10, web:get 10-12"


def test_a_span_whose_start_is_not_known_is_passed_over_and_its_children_are_not() -> None:
    assert (
        path("""
        web:get        [-----------]
          old:call       [-----]        lost
            db:sel         [-]
    """)
        == "web:get 0-4, db:sel 4-6, web:get 6-12"
    )


def test_each_root_has_its_path_and_the_first_one_that_is_no_fragment_is_the_traces() -> None:
    drawing = drawn("""
        job:part     [-----]        ^99
        web:get        [---------]
          db:sel          [-]
        web:other        [--]
    """)
    tree = drawing.tree
    assert drawing.path(critical_path(tree).sections) == "web:get 2-5, db:sel 5-7, web:get 7-12"
    assert drawing.path(critical_path(tree, drawing.row("job:part")).sections) == "job:part 0-6"
    assert drawing.path(critical_path(tree, drawing.row("web:other")).sections) == "web:other 4-7"


def test_without_a_root_the_earliest_fragment_is_the_traces() -> None:
    assert (
        path("""
        job:part     [-----]        ^99
        job:other      [---------]  ^98
    """)
        == "job:part 0-6"
    )


def test_a_root_without_length_is_one_section_and_no_trace_is_none() -> None:
    assert path("web:get |") == "web:get 0-0"
    assert critical_path(tree_of(trace_from_spans([]))).sections == ()


def test_spans_without_length_take_nothing() -> None:
    drawing = drawn("""
        web:get    [------]
          web:a    |
          web:b       |
          web:c           |
    """)
    assert critical_path(drawing.tree).sections == [Section(0, 0, 70 * MS)]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(1, 8))
def test_a_long_path_is_told_by_its_longest_sections_and_those_between_as_one(lengths: list[int], most: int) -> None:
    edges = [0, *itertools.accumulate(lengths)]
    sections = [Section(at, *times) for at, times in enumerate(itertools.pairwise(edges))]
    found = folded(sections, most)
    if len(sections) <= most:
        assert found == [(*section, 1) for section in sections]
        return
    # Each by itself, the longest first, of equal ones the earliest.
    alone = sorted(range(len(sections)), key=lambda at: (-lengths[at], at))[:most]
    assert len(found) <= 2 * most + 1
    at = 0
    for row, start_ns, end_ns, count in found:
        here = sections[at : at + count]
        assert (start_ns, end_ns) == (here[0].start_ns, here[-1].end_ns)
        assert row == max(here, key=lambda one: (one.end_ns - one.start_ns, -one.row)).row
        assert count == 1 or not set(range(at, at + count)) & set(alone)
        at += count
    assert at == len(sections)
    assert set(alone) <= {row for row, _, _, count in found if count == 1}

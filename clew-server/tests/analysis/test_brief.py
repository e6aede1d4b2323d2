"""What one line of a list says of a trace: where it failed and which services its time went to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drawn import drawn

from clew_server.analysis.brief import MOST_SHARES, Brief, brief


def brief_of(picture: str) -> Brief:
    return brief(drawn(picture).tree.trace)


def test_the_cause_and_the_services_of_the_critical_path() -> None:
    picture = """
        web:get       S  [-------------------]   !
          web:call    C   [-----------------]    !
            pay:post  S    [----------------]    !
              pay:sql C     [------------]       !OperationalError:no_such_table  db.namespace=orders
    """
    found = brief_of(picture)
    trace = drawn(picture).tree.trace
    assert found.origin is not None
    assert trace.name_of(found.origin.row) == "sql"
    assert (found.origin.type, found.origin.message) == ("OperationalError", "no such table")
    assert (found.origins, found.handled) == (1, 0)
    # Of 20 columns: sql has 13 and is charged to the database; of the call's 18 pay has 17, and 1 is on the way there.
    assert found.shares == [("orders", 13 / 20), ("pay", 5 / 20), ("web", 2 / 20)]
    assert found.other == 0


def test_a_handled_failure_is_no_cause() -> None:
    found = brief_of("""
        web:get       S  [-------------------]
          web:cache   C   [---]                  !connection_refused
          web:db      C        [------]
    """)
    assert (found.origin, found.origins, found.handled) == (None, 0, 1)


def test_of_several_causes_the_first_to_end_is_named_and_all_are_counted() -> None:
    found = brief_of("""
        web:get       S  [-------------------]   !
          a:late      C    [-------------]       !late
          b:early     C    [---]                 !early
    """)
    assert found.origin is not None
    assert (found.origin.message, found.origins) == ("early", 2)


def test_shares_sum_to_one_and_the_smallest_are_taken_together() -> None:
    lines = ["web:get S [" + "-" * 99 + "]"]
    lines += [f"  s{n:02}:call S " + " " * (n * 8) + "[---" + "-" * (n % 4) + "]" for n in range(12)]
    width = max(line.index("[") for line in lines[:1])
    lines = [
        lines[0],
        *(line[: line.index("S ") + 2].ljust(width) + line[line.index("S ") + 2 :] for line in lines[1:]),
    ]
    found = brief_of("\n".join(lines))
    assert len(found.shares) == MOST_SHARES
    assert [share.share for share in found.shares] == sorted((share.share for share in found.shares), reverse=True)
    assert found.other > 0
    assert sum(share.share for share in found.shares) + found.other == pytest.approx(1)


def test_a_trace_without_length_has_no_shares() -> None:
    drawing = drawn("web:get S |")
    assert brief(drawing.tree.trace) == Brief(None, 0, 0, [], 0)
    assert brief(replace(drawing.tree.trace, duration_ns=[0])).other == 0

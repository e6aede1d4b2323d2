"""Tables of the reading commands: their figures are seen however long the names are."""

from __future__ import annotations

import pytest

from clew_server.cli._table import print_table
from clew_server.cli._text import width_of

ROWS = [["service", "operation", "spans"], ["cart", "x" * 2_000, "12"], ["日本" * 40, "GET /cart", "3,456"]]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_figures_are_whole_in_a_terminal_and_stand_below_each_other(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("clew_server.cli._table.columns", lambda: width)
    print_table(ROWS, right=(2,))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["spans", "12", "3,456"]
    assert {width_of(line) for line in lines} == {width}


def test_without_a_terminal_names_are_whole_and_a_long_one_shifts_its_own_line_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("clew_server.cli._table.columns", lambda: None)
    print_table(ROWS, right=(2,))
    head, long, wide = capsys.readouterr().out.splitlines()
    assert "x" * 2_000 in long
    assert ("日本" * 40) in wide
    assert width_of(head) < 200


def test_a_small_table_is_as_wide_as_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("clew_server.cli._table.columns", lambda: 100)
    print_table([["value", "spans"], ["cart", "9"]], right=(1,))
    assert capsys.readouterr().out == "value  spans\ncart       9\n"

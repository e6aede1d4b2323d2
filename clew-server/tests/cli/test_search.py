from __future__ import annotations

import argparse
import io
import re
from pathlib import Path

import pytest

from clew_server.cli._conditions import query_text
from clew_server.cli._rows import CsvRows, line_of, values_text
from clew_server.cli._text import width_of
from clew_server.cli.search import command


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["service=cart", "dur>500ms"], "service=cart dur>500ms"),
        (["service=cart status=error"], "service=cart status=error"),
        (["name=GET /cart", "kind=server"], 'name="GET /cart" kind=server'),
        (['name="GET /cart"'], 'name="GET /cart"'),
        (['"a key"!=GET /cart'], '"a key"!="GET /cart"'),
        (["path=c:\\new files"], 'path="c:\\\\new files"'),
    ],
)
def test_quotes_that_the_shell_took_are_given_back(words: list[str], text: str) -> None:
    assert query_text(words) == text


def test_csv_has_the_columns_that_the_search_page_gives() -> None:
    page = Path(__file__).parents[3] / "web" / "src" / "model" / "rowsFile.ts"
    found = re.search(r"^const HEAD = \[(.*?)\]", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    out = io.StringIO()
    CsvRows(out, ["=key", "b"])
    assert out.getvalue().strip().split(",") == [*re.findall(r"'(\w+)'", found[1]), "'=key", "b"]


def test_of_many_values_it_is_said_that_there_are_more() -> None:
    assert values_text(["1", "2", "3", "4"], "; ") == "1; 2; 3; …"
    assert values_text(["1", "2", "3"], ", ") == "1, 2, 3"
    assert values_text([], ", ") == ""


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a,b", ["a", "b"]),
        ("a, ,b ", ["a", "b"]),
        ('"x,y", b', ["x,y", "b"]),
        ('q"k', ['q"k']),
        (r'"q\"k,", "a\\b" ,c', ['q"k,', "a\\b", "c"]),
        ('"q""k"', ['q"k']),
        (r'"\u00e4\d"', [r"\u00e4\d"]),
        ('"a"b,"', ['"a"b', '"']),
        ("", []),
    ],
)
def test_columns_are_keys_with_commas_between(text: str, keys: list[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert parser.parse_args(["--columns", text]).columns == keys


def test_columns_over_several_lines_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--columns", "a\nb"])
    assert "not keys with commas between" in capsys.readouterr().err


@pytest.mark.parametrize("width", [None, 10, 40, 80, 109, 110, 120])
def test_a_line_is_as_wide_as_the_terminal_in_any_script(width: int | None) -> None:
    trace = {"trace_id": "a" * 32, "start_unix_nano": "1", "duration_ns": "1000", "spans": 1}
    lines = line_of({**trace, "root_service": "日本", "root_name": "支払い" * 9}, 2, "", width).splitlines()
    assert lines[0].startswith("a" * 32)
    assert width is None or all(width_of(line) <= max(width, 33) for line in lines)
    assert len(lines) == 1 or (width is not None and width < 110)
    # Whatever the width, somebody sees what it is and how it went.
    assert width == 10 or all(what in "".join(lines) for what in ("日本", "1970-01-01", "1 µs", "2 failed", "1 span"))


def test_a_row_without_names_says_so() -> None:
    trace = {"trace_id": "a" * 32, "start_unix_nano": "1", "duration_ns": "1000", "spans": 1}
    assert line_of({**trace, "root_service": "", "root_name": " "}, 0, "", None).endswith("  (no service) (no name)")

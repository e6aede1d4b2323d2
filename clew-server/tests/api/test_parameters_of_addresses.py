"""Parameters of an address as text: what is no UTF-8 is refused instead of being another text."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from clew_server.api.http import parameters
from clew_server.errors import BadInput


def asked(query: bytes) -> Request:
    return Request({"type": "http", "query_string": query, "headers": []})


@pytest.mark.parametrize("query", [b"q=%ff", b"q=a&%c3=b", b"q=%ed%a0%80", b"q=%c3&x=%bc"])
def test_what_is_no_utf_8_is_refused(query: bytes) -> None:
    with pytest.raises(BadInput, match="UTF-8") as refused:
        parameters(asked(query))
    assert refused.value.code == "bad_parameter"


def test_any_other_text_is_taken() -> None:
    found = parameters(asked(b"q=%EF%BF%BD+%C3%BC&q=%f0%9f%98%80&r=%zz%"))
    assert (found.getlist("q"), found["r"]) == (["\N{REPLACEMENT CHARACTER} ü", "😀"], "%zz%")

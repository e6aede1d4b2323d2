from __future__ import annotations

import pytest

from clew_server.cli.search import query_text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["service=cart", "dur>500ms"], "service=cart dur>500ms"),
        (["service=cart status=error"], "service=cart status=error"),
        (["name=GET /cart", "kind=server"], 'name="GET /cart" kind=server'),
        (['name="GET /cart"'], 'name="GET /cart"'),
    ],
)
def test_quotes_that_the_shell_took_are_given_back(words: list[str], text: str) -> None:
    assert query_text(words) == text

"""Keys and values for completion: those of the language beside those of attributes, as a query writes them."""

from __future__ import annotations

import pytest

from clew_server.errors import BadInput
from clew_server.model.completion import Counted, KeyCount, ValueCount
from clew_server.query.completion import keys_found, words_found
from clew_server.query.language.keys import Key, from_text, written

COUNTED = Counted(
    [
        KeyCount("span", "http.route", "text", 9),
        KeyCount("span", "service", "text", 8),
        KeyCount("resource", "host.name", "any", 7),
        KeyCount("resource", "http.route", "any", 6),
        KeyCount("event", "code", "any", 5),
        KeyCount("event", "no key", "any", 4),
        KeyCount("span", 'a "b"', "text", 3),
        KeyCount("span", "trace.x", "text", 2),
    ],
    True,
    None,
)


def test_attributes_are_named_so_that_a_query_finds_them() -> None:
    found = {one.key: one.spans for one in keys_found(COUNTED, "", 100).found if one.spans is not None}
    assert found == {
        "http.route": 9,
        '"service"': 8,
        "host.name": 7,
        "resource.http.route": 6,
        "event.code": 5,
        '"a \\"b\\""': 3,
        '"trace.x"': 2,
    }


def test_keys_of_the_language_come_first_and_those_that_begin_with_the_prefix_before_those_that_hold_it() -> None:
    found = [one.key for one in keys_found(COUNTED, "Se", 100).found]
    assert found == ["service", '"service"', "trace.services", "trace.root.service"]
    cut = keys_found(COUNTED, "", 3)
    assert [one.key for one in cut.found] == ["service", "name", "operation"]
    assert not cut.complete
    assert "more keys match" in str(cut.reason)


@pytest.mark.parametrize("prefix", ['a "b', '"a \\"b', '"A'])
def test_a_key_is_found_by_its_name_and_by_how_a_query_writes_it(prefix: str) -> None:
    assert [one.key for one in keys_found(COUNTED, prefix, 100).found] == ['"a \\"b\\""']


def test_words_are_all_there_with_their_counts() -> None:
    counted = Counted([ValueCount("error", 2), ValueCount("ok", 5)], True, None)
    assert list(words_found("status", counted, "").found) == [("ok", 5), ("error", 2), ("unset", 0)]
    of_many = Counted([ValueCount("server", 2)], False, "a sample")
    assert list(words_found("kind", of_many, "ser").found) == [("server", 2)]
    assert list(words_found("failed", of_many, "t").found) == [("true", None)]


@pytest.mark.parametrize(
    "key", ["a", "a.b", "a b", "and", "service", 'q"q', "back\\slash", "line\nbreak", "exact", "ü"]
)
def test_a_key_as_written_is_read_as_that_key(key: str) -> None:
    text = written(key)
    assert text is not None
    assert from_text(text) == Key("attr", name=key)
    assert from_text(f"exact({text})") == Key("attr", name=key, exact=True)


@pytest.mark.parametrize("text", ["", " ", "a b", "a=b", '"a', "(a)", "exact(a", "trace.nothing", "a,"])
def test_a_text_that_is_not_one_key_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        from_text(text)

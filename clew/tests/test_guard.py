"""What is logged of a failure of clew's own says where it was, and keeps nothing of the application alive."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

from clew import guard
from clew.testing.kits.doubles import outside_pytest


class Held:
    """Something of the application's."""


def test_a_record_that_is_kept_keeps_nothing_alive_and_says_where_it_failed(caplog: pytest.LogCaptureFixture) -> None:
    def broken_reader() -> None:
        raise ValueError("cannot be read")

    def attempted() -> None:
        guard.attempt("reading what is held", broken_reader)

    def call() -> weakref.ref[Any]:
        held = Held()
        seen = weakref.ref(held)
        attempted()
        return seen

    with outside_pytest():
        seen = call()
    (record,) = [one for one in caplog.records if "reading what is held" in one.getMessage()]
    assert seen() is None
    said = record.getMessage()
    assert said.startswith("clew: reading what is held failed; the application is not affected\nTraceback")
    assert "in broken_reader" in said
    assert said.endswith("ValueError: cannot be read")

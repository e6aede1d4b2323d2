"""A JSON text read piece by piece: the large objects and arrays are walked, the small values in them parsed one at a time. No I/O.

The standard parser builds the whole tree, ten times the text, and lets no other thread run until it is done.
"""

from __future__ import annotations

import json
import re
from typing import Any

from clew_server.errors import BadInput
from clew_server.receivers.json_place import JsonPlace, value_at

_BLANK = re.compile(r"[ \t\n\r]*")


class JsonWalk(JsonPlace):
    """A place in a text that is there whole."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = _BLANK.match(text, 0).end()  # type: ignore[union-attr]  # it matches always

    def starts(self) -> str:
        return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        try:
            value, self._at = value_at(self._text, self._at)
        except RecursionError as error:
            raise BadInput("the JSON is nested too deeply", code="malformed") from error
        except json.JSONDecodeError as error:
            raise BadInput(f"the body is not JSON: {error}", code="malformed", position=error.pos) from error
        self._skip()
        return value

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._text):
            raise self._wrong("the end")

    def _skip(self) -> None:
        self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]

    def _took(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._at):
            return False
        self._at += 1
        self._skip()
        return True

    def _refused(self, should: str, found: str) -> BadInput:
        return BadInput(
            f"the body is not JSON: {should} at character {self._at}, not {found}",
            code="malformed",
            position=self._at,
        )

"""A JSON text read piece by piece: the large objects and arrays are walked, the small values in them parsed one at a time. No I/O.

The standard parser builds the whole tree, ten times the text, and lets no other thread run until it is done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from clew_server.errors import BadInput

_BLANK = re.compile(r"[ \t\n\r]*")
_parse = json.JSONDecoder().raw_decode
_MOST_DIGITS = 100


def _number(text: str) -> float:
    """Numbers of thousands of digits are no fields of OTLP; what they stand for is then not finite, and refused where it is used."""
    return int(text) if len(text) <= _MOST_DIGITS else float(text)


_parse_long_numbers = json.JSONDecoder(parse_int=_number).raw_decode


class JsonWalk:
    """A place in a text. Each method reads one value from there on and leaves the place behind it. They raise BadInput."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = _BLANK.match(text, 0).end()  # type: ignore[union-attr]  # it matches always

    def starts(self) -> str:
        """The first character of the value that comes; empty at the end."""
        return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """The next value, whole."""
        try:
            try:
                value, self._at = _parse(self._text, self._at)
            except json.JSONDecodeError:
                raise
            except ValueError:  # a number of thousands of digits
                value, self._at = _parse_long_numbers(self._text, self._at)
        except RecursionError as error:
            raise BadInput("the JSON is nested too deeply", code="malformed") from error
        except json.JSONDecodeError as error:
            raise BadInput(f"the body is not JSON: {error}", code="malformed", position=error.pos) from error
        self._skip()
        return value

    def members(self) -> Iterator[str]:
        """The keys of an object. After each, its value must be read."""
        self._take("{")
        if self._took("}"):
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._wrong("a key in quotes")
            self._take(":")
            yield key
            if self._took("}"):
                return
            self._take(",")

    def elements(self) -> Iterator[None]:
        """The elements of an array. Each must be read."""
        self._take("[")
        if self._took("]"):
            return
        while True:
            yield
            if self._took("]"):
                return
            self._take(",")

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

    def _take(self, mark: str) -> None:
        if not self._took(mark):
            raise self._wrong(repr(mark))

    def _wrong(self, wanted: str) -> BadInput:
        found = repr(self.starts()) if self.starts() else "the end"
        return BadInput(
            f"the body is not JSON: {wanted} should stand at character {self._at}, not {found}",
            code="malformed",
            position=self._at,
        )

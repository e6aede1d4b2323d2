"""What reading JSON piece by piece is made of: the marks around the values, and one value of a text. No I/O."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from clew_server.errors import BadInput

_MOST_DIGITS: Final = 100
_parse: Final = json.JSONDecoder().raw_decode


def _number(text: str) -> float:
    """Numbers of thousands of digits are no fields of a span; what they stand for is then not finite, and refused where it is used."""
    return int(text) if len(text) <= _MOST_DIGITS else float(text)


_parse_long_numbers: Final = json.JSONDecoder(parse_int=_number).raw_decode


def value_at(text: str, at: int) -> tuple[Any, int]:
    """The value that begins here and where it ends. Raises JSONDecodeError, RecursionError."""
    try:
        return _parse(text, at)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a number of thousands of digits
        return _parse_long_numbers(text, at)


class JsonPlace(ABC):
    """A place in a text. Each method reads one value from there on and leaves the place behind it. They raise BadInput."""

    @abstractmethod
    def starts(self) -> str:
        """The first character of the value that comes; empty at the end."""

    @abstractmethod
    def value(self) -> Any:
        """The next value, whole."""

    def members(self) -> Iterator[str]:
        """The keys of an object. After each, its value must be read."""
        self._take("{")
        if self._took("}"):
            return
        while True:
            if self.starts() != '"':
                raise self._wrong("a key in quotes")
            key: str = self.value()
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

    @abstractmethod
    def _took(self, mark: str) -> bool:
        """Go behind a mark where it comes; whether it did."""

    def _take(self, mark: str) -> None:
        if not self._took(mark):
            raise self._wrong(repr(mark))

    def _wrong(self, wanted: str) -> BadInput:
        return self._refused(f"{wanted} should stand", repr(self.starts()) if self.starts() else "the end")

    @abstractmethod
    def _refused(self, should: str, found: str) -> BadInput:
        """The refusal of what is here: what should be, and what is."""

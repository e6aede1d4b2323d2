"""JSON read value by value from a stream of bytes: what is around the small values is walked, so a text never exists whole. No I/O."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.json_place import JsonPlace, value_at

MAX_VALUE_CHARACTERS: Final = 64 << 20
_STEP_CHARACTERS: Final = 256 << 10
_LONGEST_TOKEN: Final = 16
"""No literal, escape or mark of JSON is longer, so a mistake further from the end than that is one."""
_BLANK: Final = re.compile(r"[ \t\n\r]*")
_FIRST_KEY: Final = re.compile(r'\{[ \t\n\r]*"([^"\\]{0,100})"')
_FIRST_KEY_WITHIN: Final = 4096


class JsonStream(JsonPlace):
    """A place in a text that comes in blocks. Texts may follow each other (JSON lines). `line` counts from 1."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._at = 0
        self._is_whole = False
        self._lines_before = 1

    @property
    def line(self) -> int:
        """The line of the place."""
        return self._lines_before + self._text.count("\n", 0, self._at)

    def starts(self) -> str:
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches always
            if self._at < len(self._text) or not self._fill(_STEP_CHARACTERS):
                return self._text[self._at : self._at + 1]

    def first_key(self) -> str:
        """The first key of the object that comes; empty where it has none, or a strange one."""
        self.starts()
        while True:
            found = _FIRST_KEY.match(self._text, self._at)
            if found is not None:
                return found[1]
            if len(self._text) - self._at >= _FIRST_KEY_WITHIN or not self._fill(_STEP_CHARACTERS):
                return ""

    def value(self) -> Any:
        """The next value, whole. Raises TooLarge for more than 64 Mi characters."""
        return self._next()[0]

    def text(self) -> str:
        """The next value as it stands there."""
        return self.value_and_text()[1]

    def value_and_text(self) -> tuple[Any, str]:
        """The next value, and how it stands there."""
        value, start, end = self._next()
        return value, self._text[start:end]

    def elements(self) -> Iterator[None]:
        """The elements of an array; none for null. Each must be read."""
        if self.starts() == "n" and self.value() is None:
            return
        yield from super().elements()

    def skip_line(self) -> None:
        """Go on behind the next end of a line."""
        while True:
            found = self._text.find("\n", self._at)
            if found >= 0:
                self._at = found + 1
                return
            self._at = len(self._text)
            if not self._fill(_STEP_CHARACTERS):
                return

    def _next(self) -> tuple[Any, int, int]:
        """The next value and where it stands in `_text`."""
        self.starts()
        wanted = _STEP_CHARACTERS
        while True:
            try:
                value, end = value_at(self._text, self._at)
            except RecursionError as error:
                raise BadInput(f"line {self.line}: the JSON is nested too deeply", code="malformed") from error
            except json.JSONDecodeError as error:
                if not self._may_be_cut(error) or not self._fill(wanted):
                    raise BadInput(f"line {self.line}: the text is not JSON: {error.msg}", code="malformed") from error
                wanted *= 2
                if len(self._text) - self._at > MAX_VALUE_CHARACTERS:
                    raise TooLarge(
                        f"line {self.line}: a value of more than {MAX_VALUE_CHARACTERS >> 20} Mi characters"
                    ) from error
                continue
            # A number at the end of what is there may go on.
            if end == len(self._text) and self._text[end - 1] not in '}]"' and self._fill(wanted):
                continue
            start, self._at = self._at, end
            return value, start, end

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether more text could mend it."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _LONGEST_TOKEN

    def _fill(self, wanted: int) -> bool:
        """Add about so many characters, or all that is left; drop what was read. False where nothing was left."""
        if self._is_whole:
            return False
        self._lines_before += self._text.count("\n", 0, self._at)
        parts = [self._text[self._at :]]
        self._at = 0
        came = 0
        while came < wanted:
            block = next(self._blocks, None)
            if block is None:
                self._is_whole = True
                parts.append(self._decoder.decode(b"", True))
                came += len(parts[-1])
                break
            parts.append(self._decoder.decode(block))
            came += len(parts[-1])
        self._text = "".join(parts)
        return came > 0

    def _took(self, mark: str) -> bool:
        if self.starts() != mark:
            return False
        self._at += 1
        return True

    def _refused(self, should: str, found: str) -> BadInput:
        return BadInput(f"line {self.line}: {should} here, not {found}", code="malformed")

"""The words of a query: bare words, quoted texts, operators, brackets, each with its place."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from clew_server.errors import BadInput

MAX_CHARACTERS: Final = 4_096

_OPERATORS: Final = re.compile(r">>|>=|<=|!=|!~|=~|[=<>~]")
KEY: Final = re.compile(r'[^\s"(){},=<>!~]+')
_VALUE: Final = re.compile(r'(?:\\.|[^\s"(){},])+', re.DOTALL)
_CODE: Final = re.compile(r"u(?:([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|([0-9a-fA-F]{4}))")
_ESCAPES: Final = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}


class Token(NamedTuple):
    kind: Literal["word", "quoted", "operator", "bracket", "end"]
    text: str
    """Of a quoted one without its quotes and escapes; as it stands of the others."""
    position: int
    end: int
    """The place after it."""

    def is_word(self, word: str) -> bool:
        """Whether this is a word of the language."""
        return self.kind == "word" and self.text.lower() == word


def bad_query(message: str, position: int) -> BadInput:
    """The error of a query, with the place of the character it is about."""
    return BadInput(message, code="bad_query", position=position)


class Scanner:
    """Reads one token after the other. What a bare word ends at depends on its place: a value may hold operators, a key not."""

    def __init__(self, text: str) -> None:
        """Raises BadInput for a text that is too long."""
        if len(text) > MAX_CHARACTERS:
            raise bad_query(f"The query is longer than {MAX_CHARACTERS:,} characters.", MAX_CHARACTERS)
        self._text = text
        self._at = 0

    def peek(self) -> Token:
        """The next token as it is where a condition may begin. Raises BadInput."""
        return self._next(KEY)

    def take(self) -> Token:
        """The same, and go past it."""
        token = self._next(KEY)
        self._at = token.end
        return token

    def take_value(self) -> Token:
        """The next token as the value of a comparison, and go past it. Raises BadInput."""
        token = self._next(_VALUE)
        self._at = token.end
        return token

    def is_at_blank(self) -> bool:
        """Whether a space or the end is next."""
        return self._at >= len(self._text) or self._text[self._at].isspace()

    def _next(self, word: re.Pattern[str]) -> Token:
        text, at = self._text, self._at
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return Token("end", "", at, at)
        if text[at] == '"':
            return _quoted(text, at)
        if text[at] in "(){},":
            return Token("bracket", text[at], at, at + 1)
        if word is KEY and (operator := _OPERATORS.match(text, at)) is not None:
            return Token("operator", operator.group(), at, operator.end())
        found = word.match(text, at)
        if found is None:
            raise bad_query(f"{text[at]!r} is not understood here.", at)
        return Token("word", found.group(), at, found.end())


def _quoted(text: str, start: int) -> Token:
    out: list[str] = []
    at = start + 1
    while at < len(text):
        character = text[at]
        if character == '"':
            return Token("quoted", "".join(out), start, at + 1)
        if character == "\\":
            at += 1
            escaped = text[at : at + 1]
            if (hexadecimal := _CODE.match(text, at)) is not None:
                # A pair of surrogates is one character, as in JSON.
                codes = bytes.fromhex("".join(filter(None, hexadecimal.groups())))
                try:
                    character = codes.decode("utf-16-be")
                except UnicodeDecodeError:
                    raise bad_query("Half a surrogate pair is no character.", at - 1) from None
                at = hexadecimal.end() - 1
            elif escaped in _ESCAPES and escaped:
                character = _ESCAPES[escaped]
            else:
                raise bad_query(r"Only \" \\ \n \t and \uXXXX are escapes.", at - 1)
        out.append(character)
        at += 1
    raise bad_query("The quotes are never closed.", start)

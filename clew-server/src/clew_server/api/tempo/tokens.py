"""The words of a TraceQL query, each with its place, and the errors that name a place. Pure."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final, NamedTuple, cast

from clew_server.errors import BadInput, Unsupported
from clew_server.model.lengths import length_ns
from clew_server.model.query_tree import Value

SAYABLE: Final = (
    "clew answers conditions joined by && and || in braces, and braces joined by && || > >> < << ~,"
    ' as in { resource.service.name = "cart" && status = error } >> { duration > 500ms }'
)
_MAX_CHARACTERS: Final = 4_096
_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
    | (?P<duration>(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+(?![\w.]))
    | (?P<number>-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?)
    | (?P<name>\.?(?:[A-Za-z_][\w]*:)?[A-Za-z_](?:[\w/.:-]|"(?:[^"\\]|\\.)*")*|\."(?:[^"\\]|\\.)*")
    | (?P<mark>&>>|&<<|&>|&<|&~|!>>|!<<|!>|!<|!~|&&|\|\||>>|<<|=~|!=|>=|<=|[=<>~{}()|,!+*/%^-])
    )""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """One word. `kind`: `string`, `duration`, `number`, `name`, `mark` or `end`."""

    kind: str
    text: str
    at: int


def tokens(q: str) -> list[Token]:
    """The words of a query, `end` behind them. Raises BadInput for what is none of TraceQL."""
    if len(q) > _MAX_CHARACTERS:
        raise BadInput(f"The query is longer than {_MAX_CHARACTERS} characters.", code="bad_query")
    found, at = [], 0
    text = q.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise wrong(f"{text[at:].strip()[:20]!r} is no TraceQL", at)
        kind = match.lastgroup or ""
        found.append(Token(kind, match[kind], match.start(kind)))
        at = match.end()
    found.append(Token("end", "", len(text)))
    return found


def value_of(token: Token) -> Value:
    """What a word stands for as a value: the text of a string, a number, a length in ns."""
    if token.kind == "string":
        return Value(unquoted(token.text), position=token.at)
    if token.kind == "number":
        text = f"-0{token.text[1:]}" if token.text.startswith("-.") else token.text
        return Value(text, Decimal(token.text), position=token.at)
    if token.kind == "duration":
        return Value(token.text, Decimal(duration_ns(token.text)), position=token.at)
    return Value(token.text, position=token.at)


def unquoted(text: str) -> str:
    """A string without its quotes and escapes."""
    if text.startswith("`"):
        return text[1:-1]
    try:
        return cast("str", json.loads(text))
    except ValueError:
        return re.sub(r"\\(.)", r"\1", text[1:-1])


def duration_ns(text: str) -> int:
    """`1m30s`, `1.5s`, `100ms` in ns. Raises BadInput."""
    found = length_ns(text)
    if found is None:
        raise BadInput(f"{text[:60]!r} is no duration such as 500ms or 1m30s", code="bad_parameter")
    return found


def wrong(why: str, at: int) -> BadInput:
    """The error of what is no TraceQL."""
    return BadInput(f"character {at}: {why}", code="bad_query", position=at)


def unsupported(why: str, at: int) -> Unsupported:
    """The error of what is TraceQL and not answered, with what is."""
    error = Unsupported(f"character {at}: {why}; {SAYABLE}", code="unsupported_query")
    error.position = at
    return error

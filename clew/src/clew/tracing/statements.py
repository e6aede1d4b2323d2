"""SQL without its values, and its summary: what it does to which tables. Reads any dialect a little, none wholly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

#: Longer statements are cut.
MAX_CHARACTERS: Final = 2_048
_MAX_CACHED_CHARACTERS: Final = 4_096
# Where "…" is a string and \ escapes.
_C_LIKE: Final = frozenset(("mysql", "mariadb"))

_COMMENT: Final = r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))"
_DOLLAR: Final = r"|(?P<dollar>\$(?P<tag>[A-Za-z_]\w*)?\$.*?(?:\$(?(tag)(?P=tag))\$|\Z))"
_NUMBER: Final = (
    r"|(?P<number>(?<![\w$:?@.])[+-]?(?:0[xX][0-9A-Fa-f]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w]))"
)
_WORD: Final = r"|(?P<word>[A-Za-z_][\w$]*|[:$@?]\w+|%\(\w+\)s|%s)"
_standard: Final = re.compile(
    _COMMENT
    + r"|(?P<escaped>[eE]'(?:[^'\\]|\\.|'')*(?:'|\\?\Z))"
    + r"|(?P<string>(?:[nNbBxX]|[uU]&)?'(?:[^']|'')*(?:'|\Z))"
    + r'|(?P<name>"(?:[^"]|"")*(?:"|\Z)|`[^`]*(?:`|\Z))'
    + _DOLLAR
    + _NUMBER
    + _WORD,
    re.DOTALL,
)
_c_like: Final = re.compile(
    r"(?P<comment>--[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z))"
    + r"|(?P<string>(?:[nNbBxX]|_\w+\s*)?'(?:[^'\\]|\\.|'')*(?:'|\\?\Z)|\"(?:[^\"\\]|\\.|\"\")*(?:\"|\\?\Z))"
    + r"|(?P<name>`[^`]*(?:`|\Z))"
    + _NUMBER
    + _WORD,
    re.DOTALL,
)
_spaces: Final = re.compile(r"\s+").sub
_list: Final = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)").sub
_rows: Final = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+").sub


def sanitized(statement: str, system: str = "other_sql", max_characters: int = MAX_CHARACTERS) -> str:
    """The statement with `?` for each value, lists of them as one, without comments, with single spaces; cut when long.

    Placeholders stay. `system` is `db.system.name`, as dialects differ in what a string is. What ends within a
    string is a value to its end.
    """
    was_cut = len(statement) > 4 * max_characters
    text = _dialect(system).sub(_without_value, statement[: 4 * max_characters])
    text = _rows("(?)", _list("(?)", _spaces(" ", text).strip()))
    return text[: max_characters - 1] + "…" if was_cut or len(text) > max_characters else text


def _dialect(system: str) -> re.Pattern[str]:
    return _c_like if system in _C_LIKE else _standard


def _without_value(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind in ("name", "word"):
        return match[0]
    return " " if kind == "comment" else "?"


class Described(NamedTuple):
    """A statement as a span shows it: `db.query.summary` (empty where nothing can be made out), and `db.query.text`."""

    summary: str
    text: str


def described(statement: str, system: str = "other_sql") -> Described:
    """Summary and text of a statement. Applications repeat theirs, so those that were seen last are remembered."""
    if len(statement) <= _MAX_CACHED_CHARACTERS:
        return _cached(statement, system)
    return _described(statement, system)


def _described(statement: str, system: str) -> Described:
    return Described(summary(statement, system), sanitized(statement, system))


_cached: Final = lru_cache(maxsize=1_000)(_described)

#: Longer summaries are cut between two words. Source: semantic conventions for databases, `db.query.summary`.
MAX_SUMMARY_CHARACTERS: Final = 255

_ROWS: Final = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"))
_OBJECTS: Final = frozenset(
    (
        "TABLE",
        "VIEW",
        "INDEX",
        "SEQUENCE",
        "SCHEMA",
        "DATABASE",
        "FUNCTION",
        "PROCEDURE",
        "TRIGGER",
        "TYPE",
        "ROLE",
        "USER",
    )
)
_DEFINITIONS: Final = frozenset(("CREATE", "ALTER", "DROP", "TRUNCATE"))
_NAMED_AT_ONCE: Final = frozenset(("CALL", "EXEC", "EXECUTE", "COPY"))
# Between a word that announces a name and the name.
_BETWEEN: Final = frozenset(
    ("IF", "NOT", "EXISTS", "ONLY", "CONCURRENTLY", "LOW_PRIORITY", "IGNORE", "LATERAL", "TABLE")
)
_ENDS_A_LIST: Final = frozenset(
    (
        "WHERE",
        "GROUP",
        "ORDER",
        "HAVING",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "WINDOW",
        "SET",
        "VALUES",
        "RETURNING",
        "FOR",
        "QUALIFY",
    )
)
# After these a statement within the statement may begin.
_BEFORE_A_STATEMENT: Final = frozenset(("AS", "EXPLAIN", "ANALYZE", "ALL"))
_tokens: Final = re.compile(
    r'(?P<name>(?:[\w$]+|"[^"]*"|`[^`]*`|\[[^\]]*\])(?:\s*\.\s*(?:[\w$]+|"[^"]*"|`[^`]*`|\[[^\]]*\]))*)|(?P<mark>[(),;])'
)


def summary(statement: str, system: str = "other_sql") -> str:
    """What a statement does and to what: `SELECT orders users`, `INSERT archive SELECT orders`, `CREATE TABLE t`.

    Verbs in upper case, names as they are written, without quotes, in the order in which they appear; names that the
    statement itself makes by `WITH` are left out. Empty for what begins with no word. Source: semantic conventions for
    databases, "Generating a summary of the query".
    """
    # The end of a long statement is values, more often than not.
    text = _dialect(system).sub(_without_value, statement[:_MAX_CACHED_CHARACTERS])
    return _joined(_Reader().read(text))


def _joined(words: Iterator[str]) -> str:
    text = ""
    for word in words:
        if len(text) + 1 + len(word) > MAX_SUMMARY_CHARACTERS:
            break
        text = f"{text} {word}" if text else word
    return text


class _Level:
    """What is known within one pair of parentheses."""

    __slots__ = ("is_list", "verb")

    def __init__(self) -> None:
        self.verb = ""
        #: Whether a comma here comes before another table.
        self.is_list = False


class _Reader:
    """Reads one text, word by word."""

    def __init__(self) -> None:
        self._levels = [_Level()]
        self._own_names: set[str] = set()
        self._is_with = False
        #: Whether a name is what comes next, and whether it may be a function, which is none.
        self._expects_name = False
        self._expects_source = False
        self._defines = False
        self._before = ""

    def read(self, text: str) -> Iterator[str]:
        """Verbs and names."""
        for match in _tokens.finditer(text):
            if match.lastgroup == "mark":
                self._mark(match[0])
            else:
                yield from self._word(match[0], text[match.end() : match.end() + 1])

    def _mark(self, mark: str) -> None:
        self._expects_name = False
        if mark == "(":
            self._levels.append(_Level())
        elif mark == ")":
            if len(self._levels) > 1:
                self._levels.pop()
        elif mark == ";":
            self._levels = [_Level()]
            self._is_with = self._defines = False
        elif self._levels[-1].is_list:
            self._expects_name = self._expects_source = True
        self._before = mark

    def _word(self, word: str, following: str) -> Iterator[str]:
        upper = word.upper()
        level = self._levels[-1]
        before, self._before = self._before, upper
        if self._defines:
            yield from self._definition(word, upper)
        elif upper in _ROWS and self._is_verb(upper, before, following):
            level.verb, level.is_list = upper, False
            self._is_with = self._is_with and len(self._levels) > 1
            self._expects_name, self._expects_source = upper == "UPDATE", False
            yield upper
        elif self._is_with and len(self._levels) == 1:
            if upper not in ("RECURSIVE", "AS", "NOT", "MATERIALIZED"):
                self._own_names.add(_unquoted(word).upper())
        elif not level.verb and len(self._levels) == 1:
            yield from self._first(upper)
        elif self._expects_name and upper not in _BETWEEN:
            self._expects_name = False
            name = _unquoted(word)
            if name.upper() not in self._own_names and not (self._expects_source and following == "("):
                yield name
        else:
            self._keyword(upper, before)

    def _is_verb(self, word: str, before: str, following: str) -> bool:
        if word == "SELECT":
            return True
        is_start = before in ("", ";", "(") or before in _BEFORE_A_STATEMENT or (self._is_with and before == ")")
        return is_start and following != "("  # REPLACE(a, b) is a function

    def _first(self, word: str) -> Iterator[str]:
        """The first word of a statement that is none of rows."""
        if word == "WITH":
            self._is_with = True
        elif word not in ("EXPLAIN", "ANALYZE", "AS") and word.isidentifier():
            self._levels[-1].verb = word
            self._defines = word in _DEFINITIONS
            self._expects_name, self._expects_source = word in _NAMED_AT_ONCE, False
            yield word

    def _definition(self, word: str, upper: str) -> Iterator[str]:
        """`CREATE OR REPLACE TABLE IF NOT EXISTS t`: `TABLE`, then `t`. `TRUNCATE t` names its table at once."""
        if self._expects_name:
            if upper not in _BETWEEN:
                self._expects_name = self._defines = False
                yield _unquoted(word)
        elif upper in _OBJECTS:
            self._expects_name = True
            yield upper
        elif self._levels[-1].verb == "TRUNCATE":
            self._defines = False
            yield _unquoted(word)

    def _keyword(self, word: str, before: str) -> None:
        level = self._levels[-1]
        if word == "FROM" and level.verb in ("SELECT", "DELETE") and before != "DISTINCT":
            self._expects_name, self._expects_source, level.is_list = True, level.verb == "SELECT", True
        elif word == "JOIN" or (word == "USING" and level.verb in ("DELETE", "MERGE")):
            self._expects_name = self._expects_source = True
        elif word == "INTO" and level.verb in ("INSERT", "REPLACE", "MERGE"):
            self._expects_name, self._expects_source = True, False
        elif word in _ENDS_A_LIST:
            level.is_list = self._expects_name = False


def _unquoted(name: str) -> str:
    return ".".join(part.strip().strip('"`[]') for part in name.split("."))

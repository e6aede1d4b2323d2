"""SQL without its values, and what a statement does to which table. Reads any dialect a little, none wholly."""

from __future__ import annotations

import re
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
    """The statement with `?` for each value, lists of them as one, without comments, blanks joined; cut when long.

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


class Summary(NamedTuple):
    """What a statement does (`SELECT`) and to what (`users`); None where that is not to be seen."""

    operation: str | None
    collection: str | None


def summary(statement: str, system: str = "other_sql") -> Summary:
    """The first verb in upper case, and the first table as it is written, without quotes."""
    if len(statement) <= _MAX_CACHED_CHARACTERS:
        return _cached_summary(statement, system)
    return _summary(statement[:_MAX_CACHED_CHARACTERS], system)


_VERBS: Final = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"))
_BEFORE_TABLE: Final = {
    "SELECT": ("FROM",),
    "DELETE": ("FROM",),
    "INSERT": ("INTO",),
    "REPLACE": ("INTO",),
    "MERGE": ("INTO",),
    "UPDATE": ("UPDATE",),
    "TRUNCATE": ("TABLE", "TRUNCATE"),
    "CREATE": ("TABLE", "VIEW", "INDEX"),
    "ALTER": ("TABLE", "VIEW", "INDEX"),
    "DROP": ("TABLE", "VIEW", "INDEX"),
    "COPY": ("COPY",),
    "CALL": ("CALL",),
}
_BETWEEN: Final = frozenset(("IF", "NOT", "EXISTS", "ONLY", "CONCURRENTLY", "LOW_PRIORITY", "IGNORE", "TABLE", "OR"))
_tokens: Final = re.compile(
    r'(?P<name>(?:[\w$]+|"[^"]*"|`[^`]*`|\[[^\]]*\])(?:\s*\.\s*(?:[\w$]+|"[^"]*"|`[^`]*`|\[[^\]]*\]))*)|(?P<open>\()|(?P<close>\))'
)


def _summary(statement: str, system: str) -> Summary:
    text = _dialect(system).sub(_without_value, statement)
    verb: str | None = None
    depth = 0
    is_with = False
    before: tuple[str, ...] = ()
    expects_table = False
    for match in _tokens.finditer(text):
        kind = match.lastgroup
        if kind != "name":
            depth += 1 if kind == "open" else -1
            # A table that is a statement of its own has no name.
            expects_table = False
            continue
        word = match[0]
        upper = word.upper()
        if verb is None:
            if upper == "WITH":
                is_with = True
                continue
            if is_with and (depth > 0 or upper not in _VERBS):
                continue
            verb = upper if upper.isidentifier() else None
            if verb is None:
                return Summary(None, None)
            before = _BEFORE_TABLE.get(verb, ())
            expects_table = verb in before
            continue
        if expects_table and upper not in _BETWEEN:
            return Summary(verb, _unquoted(word))
        if upper in before:
            expects_table = True
    return Summary(verb, None)


def _unquoted(name: str) -> str:
    return ".".join(part.strip().strip('"`[]') for part in name.split("."))


_cached_summary: Final = lru_cache(maxsize=1_000)(_summary)

"""Completion of queries in a shell: keys and values that the server has spans with."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, Final

from clew_server.cli._client import USAGE, Client, CommandFailed
from clew_server.cli._conditions import query_text
from clew_server.model.quoting import bare, in_quotes

_CONDITION: Final = re.compile(
    r'(?P<before>[({!]*)(?P<key>"(?:[^"\\]|\\.)*"|[^\s=<>!~(){}"]+)(?P<op>!?=|!?~|>=?|<=?)(?P<value>.*)', re.DOTALL
)
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"?')
_CLOSING: Final = {"(": ")", "{": "}"}
_TIMEOUT_S: Final = 2.0
"""A shell waits for it. Without an answer there are no suggestions."""
_MOST: Final = "50"


def completed_by(action: argparse.Action, completer: Callable[..., list[str]]) -> None:
    """Let a shell complete what an argument takes."""
    action.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


def complete_query(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Words that begin as the one being written: keys, and behind an operator the values of its key.

    They occur together with the conditions before it, where those are a list of what must hold.
    """
    words = getattr(parsed_args, "q", None) or getattr(parsed_args, "what", None) or []
    rest = _rest([*words, *re.findall(r"^[({]+", prefix)])
    try:
        client = Client(parsed_args, timeout_s=_TIMEOUT_S)
        try:
            return _words(client, prefix, _given(parsed_args, rest))
        except CommandFailed as error:
            if not rest or error.code != USAGE:
                raise
        return _words(client, prefix, _given(parsed_args, ""))  # the rest is no query, or not yet
    except CommandFailed:
        return []


def _words(client: Client, prefix: str, given: list[tuple[str, str]]) -> list[str]:
    condition = _CONDITION.fullmatch(prefix)
    if condition is None:
        begun = prefix.lstrip("({!")
        return [f"{prefix.removesuffix(begun)}{key}=" for key in _keys(client, begun, given)]
    written = condition["value"]
    start = prefix.removesuffix(written)
    typed = re.sub(r'\\(["\\])', r"\1", written[1:]) if written.startswith('"') else written
    values = [_as_written(value, written) for value in _values(client, condition["key"], typed, given)]
    return [f"{start}{value}" for value in values if value.startswith(written)]


def _as_written(value: str, begun: str) -> str:
    """The value as it must stand in the command to be this one, once the shell has taken its own quotes off."""
    if begun.startswith('"'):
        return in_quotes(value)
    # A shell takes a newline behind a backslash for nothing at all.
    is_quoted_later = value.isprintable() and query_text([f"a={value}"]) == f"a={in_quotes(value)}"
    return bare(value) or (value if is_quoted_later else in_quotes(value))


def _rest(words: list[str]) -> str:
    """The conditions of these words as a query; empty where they do not all hold wherever the next one is needed."""
    bare = [word.strip("(){}").lower() for word in words]
    if "or" in bare or "not" in bare:
        return ""
    if bare and bare[-1] == "and":
        words = words[:-1]
    text = query_text(words)
    open_now: list[str] = []
    for bracket in re.findall(r"[(){}]", _QUOTED.sub("", text)):
        if bracket in _CLOSING:
            open_now.append(_CLOSING[bracket])
        elif open_now:
            open_now.pop()
    text = (text + "".join(reversed(open_now))).replace("()", "").strip()
    return "" if text == "{}" else text


def complete_key(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Keys that a query may ask for; of several with commas between them the last."""
    before, comma, last = prefix.rpartition(",")
    try:
        client = Client(parsed_args, timeout_s=_TIMEOUT_S)
        return [f"{before}{comma}{key}" for key in _keys(client, last, _given(parsed_args, ""))]
    except CommandFailed:
        return []


def _keys(client: Client, prefix: str, given: list[tuple[str, str]]) -> list[str]:
    found = client.get("/api/v1/keys", [*given, *_holding(prefix)], wants="keys")["keys"]
    return [one["key"] for one in found if one["key"].startswith(prefix)]


def _values(client: Client, key: str, prefix: str, given: list[tuple[str, str]]) -> list[str]:
    found = client.get("/api/v1/values", [("key", key), *given, *_holding(prefix)], wants="values")["values"]
    return [one["value"] for one in found if one["value"].startswith(prefix)]


def _holding(prefix: str) -> list[tuple[str, str]]:
    return [("prefix", prefix)] if prefix else []


def _given(parsed_args: argparse.Namespace, q: str) -> list[tuple[str, str]]:
    """In the time that the command line names, else in the last day."""
    from_, to = getattr(parsed_args, "from_", None), getattr(parsed_args, "to", None)
    asked = [("from", from_ or ("" if to else "now-1d")), ("to", to or ""), ("q", q), ("limit", _MOST)]
    return [(name, value) for name, value in asked if value]

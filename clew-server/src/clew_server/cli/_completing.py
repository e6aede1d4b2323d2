"""Completion of queries in a shell: keys and values that the server has spans with."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, Final

from clew_server.cli._client import Client, CommandFailed

_CONDITION: Final = re.compile(
    r"(?P<before>[({!]*)(?P<key>[^\s=<>!~(){}\"]+)(?P<op>!?=|!?~|>=?|<=?)(?P<value>.*)", re.DOTALL
)
_TIMEOUT_S: Final = 2.0
"""A shell waits for it. Without an answer there are no suggestions."""
_MOST: Final = "50"


def completed_by(action: argparse.Action, completer: Callable[..., list[str]]) -> None:
    """Let a shell complete what an argument takes."""
    action.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


def complete_query(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Words that begin as the one being written: keys, and behind an operator the values of its key."""
    try:
        client = Client(parsed_args, timeout_s=_TIMEOUT_S)
        condition = _CONDITION.fullmatch(prefix)
        if condition is None:
            bare = prefix.lstrip("({!")
            return [f"{prefix.removesuffix(bare)}{key}=" for key in _keys(client, bare)]
        start = prefix.removesuffix(condition["value"])
        return [f"{start}{value}" for value in _values(client, condition["key"], condition["value"].strip('"'))]
    except CommandFailed:
        return []


def complete_key(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Keys that a query may ask for; of several with commas between them the last."""
    before, comma, last = prefix.rpartition(",")
    try:
        return [f"{before}{comma}{key}" for key in _keys(Client(parsed_args, timeout_s=_TIMEOUT_S), last)]
    except CommandFailed:
        return []


def _keys(client: Client, prefix: str) -> list[str]:
    found = client.get("/api/v1/keys", _given(prefix), wants="keys")["keys"]
    return [one["key"] for one in found if one["key"].startswith(prefix)]


def _values(client: Client, key: str, prefix: str) -> list[str]:
    found = client.get("/api/v1/values", [("key", key), *_given(prefix)], wants="values")["values"]
    return [one["value"] for one in found if one["value"].startswith(prefix)]


def _given(prefix: str) -> list[tuple[str, str]]:
    asked = [("from", "now-1d"), ("limit", _MOST)]
    return [*asked, ("prefix", prefix)] if prefix else asked

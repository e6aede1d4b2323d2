"""Values in the JSON of other systems: what they must be, and the refusal of what they are not. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clew_server.errors import BadInput


def wrong(key: str, wanted: str, value: object) -> BadInput:
    """The refusal of a value that must be something else."""
    shown = "a list" if isinstance(value, list) else "an object" if isinstance(value, Mapping) else repr(value)[:80]
    return BadInput(f"{key} must be {wanted}, not {shown}", code="malformed")


def text_of(value: Any) -> str:
    """Any JSON as text. Raises BadInput."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except (RecursionError, ValueError) as error:
        raise BadInput("a value is nested too deeply, or a number of thousands of digits", code="malformed") from error


def array(value: Any, key: str) -> list[Any]:
    """A list; empty where there is none. Raises BadInput."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(key, "a list", value)
    return value

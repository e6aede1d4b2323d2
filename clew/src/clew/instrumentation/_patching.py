"""Replacing a library's function, and putting it back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

#: Takes back what an instrumentation replaced.
Undo = Callable[[], None]


class Switch:
    """Off once what was replaced is taken back; whoever kept our function calls the original through it."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = True


def replace(owner: Any, name: str, make: Callable[[Callable[..., Any], Switch], Callable[..., Any]]) -> Undo:
    """Put `make(original, switch)` in the original's place; it must be of the same kind and signature, as servers look.

    The undo restores the original. When somebody else has wrapped ours meanwhile, theirs stays, and ours has to
    be a plain call of the original while the switch is off.
    """
    original = getattr(owner, name)
    switch = Switch()
    ours = functools.wraps(original)(make(original, switch))
    setattr(owner, name, ours)

    def undo() -> None:
        switch.on = False
        if getattr(owner, name) is ours:
            setattr(owner, name, original)

    return undo

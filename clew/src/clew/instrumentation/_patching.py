"""Replacing a library's function, and putting it back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

#: Takes back what an instrumentation replaced.
Undo = Callable[[], None]


def replace(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Undo:
    """Put `make(original)` in the original's place.

    The undo restores the original; when somebody else has wrapped ours meanwhile, theirs stays and ours turns
    into a plain call of the original.
    """
    original = getattr(owner, name)
    ours = make(original)
    active = True

    def switch(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs) if active else original(*args, **kwargs)

    async def async_switch(*args: Any, **kwargs: Any) -> Any:
        return await (ours(*args, **kwargs) if active else original(*args, **kwargs))

    # Servers and frameworks ask what kind of function this is.
    chosen: Any = functools.wraps(original)(async_switch if inspect.iscoroutinefunction(original) else switch)
    setattr(owner, name, chosen)

    def undo() -> None:
        nonlocal active
        active = False
        if getattr(owner, name) is chosen:
            setattr(owner, name, original)

    return undo

"""Replacing a library's function, and putting it back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect

#: Undoes what an instrumentation has replaced.
Undo = Callable[[], None]


class Switch:
    """Off once what was replaced is taken back; code that kept our function then calls the original through it."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = True


def replace(owner: Any, name: str, make: Callable[[Callable[..., Any], Switch], Callable[..., Any]]) -> Undo:
    """Put `make(original, switch)` in the original's place, as a function of the same kind, since servers look.

    The undo function restores the original. If other code has wrapped our function in the meantime, that wrapper stays, and
    our function must just call the original while the switch is off.
    """
    original = getattr(owner, name)
    switch = Switch()
    ours = functools.wraps(original)(of_the_same_kind(original, make(original, switch)))
    setattr(owner, name, ours)

    def undo() -> None:
        switch.on = False
        if getattr(owner, name) is ours:
            setattr(owner, name, original)

    return undo


def of_the_same_kind(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a coroutine function, generator or async generator where `original` is one.

    Frameworks ask for that before they call. `function` gives what the original gives: an awaitable, an iterator.
    """
    kind = _kind(original)
    if _kind(function) == kind:
        return function
    if kind == _COROUTINE:

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

        return coroutine
    if kind == _ASYNC_GENERATOR:

        async def async_generator(*args: Any, **kwargs: Any) -> Any:
            items = function(*args, **kwargs)
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()

        return async_generator
    if kind == _GENERATOR:

        def generator(*args: Any, **kwargs: Any) -> Any:
            return (yield from function(*args, **kwargs))

        return generator

    def plain(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return plain


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any = None) -> Any:
    """An argument as the caller gave it, by its place or by its name."""
    return args[place] if len(args) > place else kwargs.get(name, default)


def with_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with one of them replaced, or added by its name; the caller's own stay as they are."""
    if len(args) > place:
        return (*args[:place], value, *args[place + 1 :]), kwargs
    return args, {**kwargs, name: value}


def bind(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments | None:
    """The arguments by the names of the function's parameters; None where they do not fit, which the function says itself."""
    from inspect import signature  # costs more to import than all of this

    try:
        return signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return None


# Flags of code objects, as `inspect` has them, which costs more to import than all of this.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


def _kind(function: Callable[..., Any]) -> int:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    return getattr(code, "co_flags", 0) & (_GENERATOR | _COROUTINE | _ASYNC_GENERATOR)

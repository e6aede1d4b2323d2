"""Compares what an application gets from a library with and without tracing: values, classes, exceptions."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final
from unittest.mock import patch

from clew.transport import Call

_PLAIN = (str, bytes, int, float, bool, type(None))
# Where an object is in memory, which the messages of some exceptions say.
_PLACES = re.compile(r"\b(?:0x[0-9a-f]+|[0-9a-f]{10,})\b")
_OURS: Final = f"{Path(__file__).parents[2]}{os.sep}"
_MAX_EXCEPTIONS: Final = 20


def described(value: Any) -> Any:
    """A value as something that can be compared: plain ones as they are, objects by their classes."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return type(value), [described(one) for one in value]
    if isinstance(value, dict):
        return type(value), {key: described(one) for key, one in value.items()}
    return value.__class__, type(value).__module__, type(value).__qualname__


def raised(error: BaseException, *, without: str = _OURS) -> Any:
    """An exception as something that can be compared: itself and all that led to it, each with the frames of its traceback.

    Frames of clew are left out, and those of files whose path begins with `without`.
    """
    seen: list[int] = []

    def one(error: BaseException | None) -> Any:
        if error is None:
            return None
        if id(error) in seen or len(seen) >= _MAX_EXCEPTIONS:
            return type(error)
        seen.append(id(error))
        text = _PLACES.sub("0x…", str(error))
        frames = [frame for frame in _frames(error) if not frame[0].startswith((_OURS, without))]
        return type(error), text, frames, one(error.__cause__), one(error.__context__), error.__suppress_context__

    return one(error)


def _frames(error: BaseException) -> list[tuple[str, int, str]]:
    codes = ((frame.f_code, line) for frame, line in walk_tb(error.__traceback__))
    return [(code.co_filename, line, code.co_name) for code, line in codes]


def outcome(call: Callable[[Any], Any], subject: Any, *, without: str = _OURS) -> Any:
    """What a call gives back or raises; `without` as of `raised`."""
    try:
        return described(call(subject))
    except Exception as error:
        return raised(error, without=without)


async def aoutcome(call: Callable[[Any], Awaitable[Any]], subject: Any) -> Any:
    """The same for a call that is awaited.

    Whether it raises when it is called or when it is awaited is not compared: a coroutine function that is traced takes
    any arguments, and the library's refuses them when it is awaited.
    """
    try:
        return described(await call(subject))
    except Exception as error:
        return raised(error, without=inspect.getfile(call))


def difference(one: Any, other: Any, place: str = "") -> str:
    """The first place where two outcomes differ, and what is there in each; empty if they are equal."""
    if one == other:
        return ""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        parts = zip(one, other, strict=True)
        return next(filter(None, (difference(*pair, f"{place}[{at}]") for at, pair in enumerate(parts))))
    return f"{place}: {one!r} != {other!r}"


def assert_same(plain: Any, traced: Any, calls: Iterable[Callable[[Any], Any]]) -> None:
    """Each call in turn gives the same on the traced object as on the plain one."""
    for call in calls:
        now, before = outcome(call, traced), outcome(call, plain)
        assert now == before, f"{inspect.getsource(call)}{difference(now, before)}"


@contextmanager
def unreadable() -> Iterator[None]:
    """No instrumentation can describe a call in this block: each fails while it reads one, and has to leave it as it is."""

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("this call cannot be read")

    kinds: list[type[Call]] = [Call]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    own = [(kind, vars(kind)["__init__"]) for kind in kinds if "__init__" in vars(kind)]
    with patch.dict(os.environ):
        # With it, failures of clew are raised.
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        for kind, _ in own:
            kind.__init__ = fail  # type: ignore[method-assign]
        try:
            yield
        finally:
            for kind, init in own:
                kind.__init__ = init  # type: ignore[method-assign]


def shape(function: Any) -> Any:
    """What frameworks look at before they call a function: its kind and its signature, where it has one."""
    kind = inspect.iscoroutinefunction(function), inspect.isgeneratorfunction(function)
    try:
        return *kind, inspect.isasyncgenfunction(function), inspect.signature(function)
    except ValueError:  # written in C
        return *kind, False, None

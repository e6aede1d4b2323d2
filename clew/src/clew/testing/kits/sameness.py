"""Compares what an application gets from a library with and without tracing: values, classes, exceptions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

_PLAIN = (str, bytes, int, float, bool, type(None))
# Where an object is in memory, which the messages of some exceptions say.
_PLACES = re.compile(r"\b0x[0-9a-f]+")


def described(value: Any) -> Any:
    """A value as something that can be compared: plain ones as they are, objects by their classes."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return type(value), [described(one) for one in value]
    if isinstance(value, dict):
        return type(value), {key: described(one) for key, one in value.items()}
    return value.__class__, type(value).__module__, type(value).__qualname__


def raised(error: BaseException) -> Any:
    """An exception as something that can be compared."""
    text = _PLACES.sub("0x…", str(error))
    return (type(error), text, type(error.__cause__), type(error.__context__), error.__suppress_context__)


# The sync twin of `aoutcome`, written by scripts/sync_twins.py.
def outcome(call: Callable[[Any], Any], subject: Any) -> Any:
    """What a call gives back or raises."""
    try:
        return described(call(subject))
    except Exception as error:
        return raised(error)


async def aoutcome(call: Callable[[Any], Awaitable[Any]], subject: Any) -> Any:
    """The same for a call that is awaited."""
    try:
        return described(await call(subject))
    except Exception as error:
        return raised(error)


def assert_same(plain: Any, traced: Any, calls: Iterable[Callable[[Any], Any]]) -> None:
    """Each call in turn gives the same on the traced object as on the plain one."""
    for call in calls:
        assert outcome(call, traced) == outcome(call, plain), inspect.getsource(call)


def shape(function: Any) -> Any:
    """What frameworks look at before they call a function: its kind and its signature, where it has one."""
    kind = inspect.iscoroutinefunction(function), inspect.isgeneratorfunction(function)
    try:
        return *kind, inspect.isasyncgenfunction(function), inspect.signature(function)
    except ValueError:  # written in C
        return *kind, False, None

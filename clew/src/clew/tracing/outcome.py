"""What exceptions mean for a span."""

from __future__ import annotations

from typing import Final

# By name, so that neither asyncio nor trio is imported to recognise what it raises.
_CANCELLATIONS: Final = frozenset(
    (
        ("asyncio.exceptions", "CancelledError"),
        ("concurrent.futures._base", "CancelledError"),
        ("trio", "Cancelled"),
        ("trio._core._exceptions", "Cancelled"),
    )
)


def is_cancellation(error: BaseException) -> bool:
    """Whether the caller gave up: cancelled tasks and futures, generators closed before their end."""
    if isinstance(error, GeneratorExit):
        return True
    return any((cls.__module__, cls.__name__) in _CANCELLATIONS for cls in type(error).__mro__)


def type_name(error: BaseException) -> str:
    """The exception's class as `error.type` wants it: qualified, without `builtins`."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"

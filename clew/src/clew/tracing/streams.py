"""A span that lasts as long as a stream: it ends with the last message, the failure, or the reader giving up.

The span is current while the stream computes a message and never between messages, when the reader's code runs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import TypeVar

from opentelemetry.context import Context, attach, detach

T = TypeVar("T")
#: Called once at the stream's end, with the error if there was one.
Finish = Callable[[BaseException | None], None]


# The sync twin of `traced_async_stream`, written by scripts/sync_twins.py.
def traced_stream(stream: Iterator[T], context: Context, finish: Finish) -> Generator[T]:
    """The messages of `stream`, computed in `context`."""
    failure: BaseException | None = None
    try:
        while True:
            token = attach(context)
            try:
                message = next(stream)
            except StopIteration:
                break
            finally:
                detach(token)
            yield message
    except BaseException as error:  # GeneratorExit too
        failure = error
    # Outside of the `except` block: what the stream raises here has no exception of ours as its context.
    try:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
    finally:
        finish(failure)
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # else a reference cycle through the traceback's frames


async def traced_async_stream(stream: AsyncIterator[T], context: Context, finish: Finish) -> AsyncGenerator[T]:
    """The messages of `stream`, computed in `context`."""
    failure: BaseException | None = None
    try:
        while True:
            token = attach(context)
            try:
                message = await anext(stream)
            except StopAsyncIteration:
                break
            finally:
                detach(token)
            yield message
    except BaseException as error:  # GeneratorExit too
        failure = error
    # Outside of the `except` block: what the stream raises here has no exception of ours as its context.
    try:
        aclose = getattr(stream, "aclose", None)
        if aclose is not None:
            await aclose()
    finally:
        finish(failure)
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # else a reference cycle through the traceback's frames

"""A span that lives as long as a stream: it ends with the last message, the failure, or the reader giving up.

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
                return
            finally:
                detach(token)
            yield message
    except BaseException as error:
        failure = error
        raise
    finally:
        try:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
        finally:
            finish(failure)
            failure = None


async def traced_async_stream(stream: AsyncIterator[T], context: Context, finish: Finish) -> AsyncGenerator[T]:
    """The messages of `stream`, computed in `context`."""
    failure: BaseException | None = None
    try:
        while True:
            token = attach(context)
            try:
                message = await anext(stream)
            except StopAsyncIteration:
                return
            finally:
                detach(token)
            yield message
    except BaseException as error:
        failure = error
        raise
    finally:
        try:
            aclose = getattr(stream, "aclose", None)
            if aclose is not None:
                await aclose()
        finally:
            finish(failure)
            failure = None

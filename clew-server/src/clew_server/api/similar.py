"""Where there is no trace with an id, the refusal names those that were probably meant."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from clew_server.errors import BadInput, NotFound, Unavailable
from clew_server.query.service import QueryService
from clew_server.store.contract import Similar, StoreFailed

T = TypeVar("T")

_BECAUSE: Final = {"beginning": "begins alike", "half": "ends alike", "span_id": "has a span with this id"}


async def or_similar(query: QueryService, trace_id: str, answer: Awaitable[T]) -> T:
    """The answer about a trace. Raises what it raises; NotFound, and BadInput about the id, with what is similar."""
    try:
        return await answer
    except (NotFound, BadInput) as error:
        if isinstance(error, BadInput) and error.code != "bad_id":
            raise
        try:
            found = await query.similar(trace_id)
        except (StoreFailed, Unavailable):
            found = []  # a help, not what was asked for
        if not found:
            raise
        message = f"{error} {_sentence(found)}"
        if isinstance(error, BadInput):
            raise BadInput(message, code=error.code, similar=found) from error
        raise NotFound(message, similar=found) from error


def _sentence(found: list[Similar]) -> str:
    told = ", ".join(f"{one.trace_id} ({_BECAUSE[one.because]})" for one in found)
    return f"{'A similar trace' if len(found) == 1 else 'Similar traces'}: {told}."

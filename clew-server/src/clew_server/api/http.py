"""Error responses of every dialect: one JSON shape, the right status."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from clew_server.errors import BadInput, Damaged, NotFound, TooLarge, Unavailable


def parameters(request: Request) -> QueryParams:
    """The parameters of the address. Raises BadInput where they are no UTF-8: for what is not, `query_params` has U+FFFD, which is another text."""
    try:
        unquote_to_bytes(request.scope["query_string"]).decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("the parameters are not UTF-8, escaped with %", code="bad_parameter") from None
    return request.query_params


def error_response(
    status: int,
    code: str,
    message: str,
    *,
    position: int | None = None,
    similar: Sequence[tuple[str, str]] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """`{"error": {"code", "message", "position"}}`; `code` is a word, `position` the character in `q`.

    Where there are `similar` ids, they stand in it too, each with the reason.
    """
    error: dict[str, Any] = {"code": code, "message": message, "position": position}
    if similar:
        error["similar"] = [{"trace_id": trace_id, "because": because} for trace_id, because in similar]
    return JSONResponse({"error": error}, status, headers=headers)


async def bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInput)
    status = 413 if isinstance(error, TooLarge) else 400
    return error_response(status, error.code, str(error), position=error.position, similar=error.similar)


async def not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotFound)
    return error_response(404, "not_found", str(error), similar=error.similar)


async def damaged(request: Request, error: Exception) -> Response:
    return error_response(500, "damaged", str(error))


async def unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)
    return error_response(
        503, "unavailable", str(error), headers={"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    )


async def refused(request: Request, error: Exception) -> Response:
    """What the routes refuse themselves: another method, with the ones there are in `Allow`."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = headers.get("Allow", "GET")
        message = f"{request.method} is not answered at {request.url.path}; use {allowed}"
        return error_response(405, "method_not_allowed", message, headers=headers)
    code = "not_found" if error.status_code == 404 else "refused"
    return error_response(error.status_code, code, str(error.detail), headers=headers)


async def unexpected(request: Request, error: Exception) -> Response:
    return error_response(500, "internal", f"{type(error).__name__}: clew failed to answer; its log says more")


EXCEPTION_HANDLERS = {
    BadInput: bad_input,
    NotFound: not_found,
    Damaged: damaged,
    Unavailable: unavailable,
    HTTPException: refused,
    Exception: unexpected,
}

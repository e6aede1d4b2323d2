"""The two answers about a trace as `POST /api/v1/traces/answers` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from clew_server.analysis.brief import Brief
from clew_server.model.trace import Trace
from clew_server.query.values import values

NO_ANSWER: Final[dict[str, Any]] = {
    "origin": None,
    "origins": 0,
    "handled": 0,
    "shares": [],
    "other": 0.0,
    "values": {},
}
"""Of a trace that was skipped."""

_SHOWN: Final = 300


def brief_as_json(trace: Trace, brief: Brief, columns: Sequence[str] = ()) -> dict[str, Any]:
    """All but the id of the trace, with the values of these attributes. Of a long text the beginning: it is for one line."""
    origin = brief.origin
    return {
        "origin": None
        if origin is None
        else {
            "service": cut(trace.service_of(origin.row)),
            "operation": cut(trace.name_of(origin.row)),
            "type": cut(origin.type),
            "message": cut(origin.message),
            "span_id": trace.span_ids[origin.row].hex(),
        },
        "origins": brief.origins,
        "handled": brief.handled,
        "shares": [{"owner": cut(share.owner), "share": round(share.share, 6)} for share in brief.shares],
        "other": round(brief.other, 6),
        "values": {key: [cut(text) for text in values(trace, key)] for key in columns},
        "skipped": None,
    }


def cut(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"

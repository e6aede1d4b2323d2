"""Conditions on events, and whether a span failed, in SQL."""

from __future__ import annotations

from typing import Final

from clew.semconv import GRPC_CODES, GRPC_SERVER_FAULTS
from clew_server.store.where.comparing import INT, TEXT

_EXCEPTION: Final = (
    "arrayExists((n,m)->NOT (mapContains(m,'clew.from') AND toInt32OrZero(m['log.severity_number']) BETWEEN 1 AND 16)"
    " AND (n='exception' OR (mapContains(m,'clew.from') AND (mapContains(m,'exception.type') OR mapContains(m,'exception.message')))),"
    "event_names,event_attrs)"
)
"""`model.failed.exceptions` in SQL."""
"""`model.failed.exceptions` in SQL."""


def of_events(some: str) -> str:
    """A condition on the events of a span, or of a fragment of it, wherever and whenever that came."""
    return f"({some} OR (trace_id,span_id) IN (SELECT trace_id,span_id FROM spans WHERE IS_FRAGMENT AND {some}))"


def _failing_code() -> str:
    """`model.failed.failing_code` in SQL."""
    names = ",".join(f"'{name}'" for name in GRPC_CODES)
    faults = ",".join(map(str, sorted(GRPC_SERVER_FAULTS)))
    number = f"if(t={INT},toInt64OrZero(v),if(match(v,'^[0-9]{{1,9}}$'),toInt64OrZero(v),toInt64(0)))"
    code = f"if(t={TEXT} AND has([{names}],upper(v)),toInt64(indexOf([{names}],upper(v)))-1,{number})"
    http = f"(k IN ('http.response.status_code','http.status_code') AND {number}>=if(kind=3,400,500))"
    grpc = (
        "(k IN ('rpc.grpc.status_code','rpc.response.status_code','rpc.status_code') AND"
        f" if({code}>=100 AND k='rpc.status_code',{code}>=if(kind=3,400,500),"
        f"{code} IN ({faults}) OR ({code}>0 AND kind!=2)))"
    )
    return (
        f"arrayExists((k,v,t)->t IN ({TEXT},{INT}) AND endsWith(k,'status_code') AND ({http} OR {grpc}),"
        "mapKeys(attrs),mapValues(attrs),attr_types)"
    )


FAILED: Final = f"(status=2 OR (status=0 AND ({of_events(_EXCEPTION)} OR {_failing_code()})))"
"""`model.failed.is_failed` in SQL."""

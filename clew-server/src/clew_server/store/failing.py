"""Whether a span failed, in SQL: `model.failed` over the columns of `spans`. No I/O.

`outcome` of `spans` is what can be told at once of nearly all spans, computed when they arrive (schema step 14); the others are looked
at when it is asked. That is little, since each flush pays for the engine's analysis of it.
"""

from __future__ import annotations

from typing import Final

from clew.semconv import GRPC_CODES, GRPC_SERVER_FAULTS

_TEXT: Final = 10
_INT: Final = 24
_CODE_KEYS: Final = (
    "http.response.status_code",
    "http.status_code",
    "rpc.grpc.status_code",
    "rpc.response.status_code",
    "rpc.status_code",
)

EXCEPTION: Final = (
    "arrayExists((n,m)->NOT (mapContains(m,'clew.from') AND toInt32OrZero(m['log.severity_number']) BETWEEN 1 AND 16)"
    " AND (n='exception' OR (mapContains(m,'clew.from') AND (mapContains(m,'exception.type') OR mapContains(m,'exception.message')))),"
    "event_names,event_attrs)"
)
"""`model.failed.exceptions`: whether one of a row's events is such an exception."""


def _texts(names: tuple[str, ...]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"


def _failing_code() -> str:
    """`model.failed.failing_code`: a code as a number, by its name where it has one, then what fails by the key's rule."""
    number = f"indexOf({_texts(tuple(GRPC_CODES))},upper(v))"
    code = (
        f"multiIf(t={_INT},toInt64OrZero(v),{number}>0,toInt64({number})-1,"
        "match(v,'^[0-9]{1,9}$'),toInt64OrZero(v),toInt64(0))"
    )
    faults = ",".join(map(str, sorted(GRPC_SERVER_FAULTS)))
    return (
        f"arrayExists((k,t,c)->t IN ({_TEXT},{_INT}) AND has({_texts(_CODE_KEYS)},k)"
        f" AND if(startsWith(k,'http') OR (c>=100 AND k='rpc.status_code'),c>=if(kind=3,400,500),c IN ({faults}) OR (c>0 AND kind!=2)),"
        f"mapKeys(attrs),attr_types,arrayMap((v,t)->{code},mapValues(attrs),attr_types))"
    )


OUTCOME: Final = (
    "multiIf(status=2,2,status=1,0,"
    "has(event_names,'exception') OR arrayExists(m->mapContains(m,'clew.from'),event_attrs),1,"
    "arrayMax(arrayMap((k,v,t)->multiIf(NOT endsWith(k,'status_code') OR v IN ('0','OK'),0,"
    "k NOT IN ('http.response.status_code','http.status_code') OR length(v)!=3,1,"
    f"t IN ({_TEXT},{_INT}) AND toUInt16OrZero(v)>=if(kind=3,400,500),2,0),mapKeys(attrs),mapValues(attrs),attr_types)))"
)
"""Of a row by itself: 2 where it failed, 0 where not, 1 where more must be looked at (`FAILED_ALONE`)."""

FAILED_ALONE: Final = f"(outcome=2 OR (outcome=1 AND ((notEmpty(event_names) AND {EXCEPTION}) OR {_failing_code()})))"
"""`model.failed.is_failed` of a row by itself, without the span's fragments."""

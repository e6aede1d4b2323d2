"""The OpenAPI 3.1 description of the native API; `web/` makes its types from it."""

from __future__ import annotations

from typing import Any, get_args

from clew_server.analysis.answers import Certainty, FindingKind, Word
from clew_server.analysis.range_findings import RangeFindingKind
from clew_server.model.columns import FLAGS
from clew_server.model.dependency import CallKind, Uninstrumented
from clew_server.model.search import SORTS
from clew_server.status import ReceiverStatus, Status, TroubleStatus, schema_of
from clew_server.troubles import KINDS

_DECIMAL = {"type": "string", "pattern": "^-?[0-9]+$"}
_INTS = {"type": "array", "items": {"type": "integer"}}
_STRINGS = {"type": "array", "items": {"type": "string"}}
_COUNTED = {"enum": ["as_sent"], "description": "as_sent: a span that came in two requests counts twice"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _or_without(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object that may have these properties too."""
    return {**required, "properties": {**required["properties"], **optional}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _or_null(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


def _answers(
    schema: dict[str, Any], *, media_type: str = "application/json", errors: tuple[int, ...] = (400, 503)
) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": {"description": "the answer", "content": {media_type: {"schema": schema}}}}
    for status in (401, 405, *errors):
        answers[str(status)] = {"description": "an error", "content": {"application/json": {"schema": _ref("Error")}}}
    return answers


def _query(name: str, description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": schema or {"type": "string"},
    }


_TRACE_ID = {
    "name": "trace_id",
    "in": "path",
    "required": True,
    "description": "32 hex digits",
    "schema": {"type": "string"},
}
_RANGE = (
    _query("from", "now-1h, ISO time with zone, or ns since the epoch; without it all there is"),
    _query("to", "likewise, exclusive; without it now"),
)
_POPULATION = (_query("q", "a query in the query language: only spans of traces that match"), *_RANGE)


def _completing(default_limit: int) -> list[dict[str, Any]]:
    return [
        _query("prefix", "what it holds, in any case; those that begin with it come first"),
        _query("limit", "1 to 1,000", type="integer", default=default_limit),
    ]


_TRACES_AND_COLUMNS = {
    "type": "object",
    "properties": {
        "trace_ids": {"type": "array", "items": {"type": "string"}},
        "columns": {"type": "array", "items": {"type": "string"}, "description": "keys of attributes, at most ten"},
    },
    "required": ["trace_ids"],
}
_OTLP = {"type": "object", "description": 'OTLP JSON: {"resourceSpans": […]}', "additionalProperties": True}

_TRACE_SUMMARY: dict[str, Any] = {
    "trace_id": {"type": "string"},
    "start_unix_nano": _DECIMAL,
    "duration_ns": _DECIMAL,
    "spans": {"type": "integer"},
    "errors": {"type": "integer"},
    "root_service": {"type": "string"},
    "root_name": {"type": "string"},
    "has_root": {"type": "boolean"},
    "services": _STRINGS,
}

_SCHEMAS: dict[str, Any] = {
    "SimilarTrace": _object(
        trace_id={"type": "string"},
        because={
            "enum": ["beginning", "half", "span_id"],
            "description": "its id begins or ends alike, or one of its spans has this id",
        },
    ),
    "Error": _object(
        error=_or_without(
            _object(code={"type": "string"}, message={"type": "string"}, position=_or_null("integer")),
            similar={**_list(_ref("SimilarTrace")), "description": "traces that were probably meant, the best first"},
        )
    ),
    "Receiver": schema_of(ReceiverStatus, {}),
    "Trouble": schema_of(TroubleStatus, {"what": {"enum": list(KINDS)}}),
    "Status": schema_of(Status, {}),
    "TraceSummary": _object(**_TRACE_SUMMARY),
    "TraceOrigin": _object(
        service={"type": "string"},
        operation={"type": "string"},
        type={"type": "string"},
        message={"type": "string"},
        span_id={"type": "string"},
    ),
    "OwnerShare": _object(owner={"type": "string"}, share={"type": "number"}),
    "TraceAnswer": _object(
        trace_id={"type": "string"},
        origin={"anyOf": [_ref("TraceOrigin"), {"type": "null"}]},
        origins={"type": "integer", "description": "how many failures began in the trace that were not handled"},
        handled={"type": "integer", "description": "how many were, or came too late for their caller"},
        shares={**_list(_ref("OwnerShare")), "description": "of the critical path, largest first"},
        other={"type": "number", "description": "the share of all others"},
        values={
            "type": "object",
            "additionalProperties": _STRINGS,
            "description": "by key of the asked columns: the first different values in the trace, four at most",
        },
        skipped={**_or_null("string"), "description": "why there is no answer"},
    ),
    "TailTrace": _object(**_TRACE_SUMMARY, failed_spans={"type": "integer"}, answer=_ref("TraceAnswer")),
    "TailOpen": _object(
        q={"type": "string"},
        failed={"type": "boolean"},
        rate={"type": "integer"},
        since_unix_nano={**_DECIMAL, "description": "when the tail began"},
        resumed={"type": "boolean", "description": "it goes on behind the event that Last-Event-ID names, counts too"},
        missed={
            "type": "integer",
            "description": "events between that one and the next, which are not kept any more; 0 unless resumed",
        },
    ),
    "TailCounts": _object(
        traces={"type": "integer", "description": "that matched since the tail began, each counted once"},
        spans={"type": "integer", "description": "of these traces"},
        failed={"type": "integer", "description": "of these traces, those with a span that failed"},
        skipped={"type": "integer", "description": "of these traces, those that were not sent; none of them failed"},
        skipped_failed={"type": "integer", "description": "failed ones that were not sent: the reader is too slow"},
        unread_spans={
            "type": "integer",
            "description": "spans that came faster than they are looked at; none of them failed",
        },
        lost_spans={"type": "integer", "description": "spans that came so fast that failed ones may be among them"},
    ),
    "Baseline": _object(
        count={"type": "integer"},
        failed={"type": "integer"},
        p50_ns={"type": ["string", "null"]},
        p95_ns={"type": ["string", "null"]},
        p99_ns={"type": ["string", "null"]},
        **{"from": _DECIMAL, "to": _DECIMAL},
        counted=_COUNTED,
    ),
    "Dependency": _object(
        caller={"type": "string"},
        callee={"type": "string"},
        kind={"enum": list(get_args(CallKind))},
        uninstrumented={
            "enum": [*get_args(Uninstrumented), None],
            "description": "the side that sends no spans, null: both do",
        },
        calls={"type": "integer"},
        failed={"type": "integer", "description": "calls of which a side's span has status error"},
    ),
    "Dependencies": _object(
        dependencies=_list(_ref("Dependency")), complete={"type": "boolean"}, reason=_or_null("string")
    ),
    "FoundSpans": _object(span_ids=_STRINGS, complete={"type": "boolean"}),
    "SpanValues": _object(
        values=_list(
            _object(
                value={"type": "string", "description": "its first 300 characters"},
                span_ids={"type": "string", "description": "16 hex digits a span"},
            )
        ),
        other={"type": "integer", "description": "spans with another value"},
        without={"type": "integer", "description": "spans without a value"},
    ),
    "QueryKey": _object(
        key={"type": "string", "description": "as a query writes it"},
        type={"enum": ["text", "word", "boolean", "length", "time", "number", "id", "list", "bytes", "any"]},
        count={**_or_null("integer"), "description": "spans that have it, null: a key of the language, which all have"},
    ),
    "QueryKeys": _object(
        keys=_list(_ref("QueryKey")), counted=_COUNTED, complete={"type": "boolean"}, reason=_or_null("string")
    ),
    "KeyValue": _object(
        value={"type": "string", "description": "as a query writes it, without quotes"},
        count={**_or_null("integer"), "description": "spans that have it, null: not counted"},
    ),
    "KeyValues": _object(
        values=_list(_ref("KeyValue")), counted=_COUNTED, complete={"type": "boolean"}, reason=_or_null("string")
    ),
    "FacetValue": _object(
        value={"type": "string"},
        count={"type": "integer", "description": "traces that have a span with it"},
        failed={"type": "integer"},
        selected={"type": "integer"},
    ),
    "Facet": _object(
        key={"type": "string", "description": "as a query writes it"},
        difference={
            "type": "number",
            "description": "by how much the share of a value differs, 0 where that may be chance",
        },
        values={**_list(_ref("FacetValue")), "description": "the ten most frequent"},
        other={"type": "integer", "description": "how many more values there are"},
    ),
    "FacetsOf": _object(
        matched={"type": "integer"},
        failed={"type": "integer"},
        selected={"type": "integer"},
        from_unix_nano=_DECIMAL,
        to_unix_nano=_DECIMAL,
    ),
    "Heatmap": _object(
        x_unix_nano={**_list(_DECIMAL), "description": "edges of the columns, one more than there are"},
        y_ns={**_list(_DECIMAL), "description": "edges of the rows, one more than there are"},
        cells={**_list(_INTS), "description": "column, row, traces, failed ones; cells with traces only"},
        estimated={
            **_list(_INTS),
            "description": "of each cell how many traces, and failed ones, there were; empty where nothing was sampled",
        },
    ),
    "RangeFinding": _object(
        kind={"enum": list(get_args(RangeFindingKind))},
        text={"type": "string", "description": "a sentence; its times are in UTC"},
        times={**_list(_ref("SaidTime")), "description": "the times that the text says, in their order"},
        q={"type": "string", "description": "a query that finds the traces it is about"},
    ),
    "SaidTime": _object(
        text={"type": "string", "description": "as the sentence says it, in UTC"},
        unix_nano=_DECIMAL,
    ),
    "EstimatedTraces": _object(
        matched={"type": "integer"},
        failed={"type": "integer"},
        selected={"anyOf": [_ref("SelectedTraces"), {"type": "null"}]},
    ),
    "SelectedTraces": _object(matched={"type": "integer"}, failed={"type": "integer"}),
    "Excluded": _object(
        condition={"type": "string", "description": "as it stands in q"},
        position={"type": "integer"},
        matched_without={"type": "integer"},
        nearest={**_or_null("string"), "description": "the value or key there is that is spelled most like it"},
        nearest_is={"enum": ["value", "key", None]},
    ),
    "Summary": _object(
        matched={"type": "integer"},
        failed={"type": "integer", "description": "traces that hold a failed span"},
        selected={"anyOf": [_ref("SelectedTraces"), {"type": "null"}]},
        estimated={
            "anyOf": [_ref("EstimatedTraces"), {"type": "null"}],
            "description": "how many there were, by the probability with which traces say they were sampled; null: none says one",
        },
        p50_ns={"type": ["string", "null"], "description": "of the traces' durations, null: there are none"},
        p95_ns=_or_null("string"),
        p99_ns=_or_null("string"),
        heatmap=_ref("Heatmap"),
        facets={**_list(_ref("Facet")), "description": "those that differ most first"},
        facets_of={**_ref("FacetsOf"), "description": "the traces that facets are counted in"},
        findings={**_list(_ref("RangeFinding")), "description": "at most two"},
        excluded={
            "anyOf": [_ref("Excluded"), {"type": "null"}],
            "description": "where nothing matches: the condition without which most traces would",
        },
        complete={"type": "boolean"},
        reason=_or_null("string"),
    ),
    "Points": _object(
        trace_id=_STRINGS,
        start_unix_nano=_list(_DECIMAL),
        duration_ns=_list(_DECIMAL),
        failed={**_INTS, "description": "1: the trace holds a failed span"},
        complete={
            "type": "boolean",
            "description": "false: there are more; those that failed come first, of the others a sample",
        },
        reason=_or_null("string"),
    ),
    "Version": _object(service={"type": "string"}, version={"type": "string"}, first_unix_nano=_DECIMAL),
    "Versions": _object(
        versions={**_list(_ref("Version")), "description": "the earliest first"},
        complete={"type": "boolean"},
        reason=_or_null("string"),
    ),
    "RedSeries": _object(
        service={**_or_null("string"), "description": "by operation: whose it is"},
        value={"type": "string", "description": "the service, the operation, or the attribute's value"},
        count={"type": "integer"},
        failed={"type": "integer", "description": "spans with status error"},
        p50_ns=_DECIMAL,
        p95_ns=_DECIMAL,
        p99_ns=_DECIMAL,
        estimated_count={
            "type": "integer",
            "description": "how many there were, by the probability with which spans say they were sampled",
        },
        estimated_failed={"type": "integer"},
        points={
            **_list(_INTS),
            "description": "step from 0, count, failed, p50, p95, p99 in ns, estimated count and failed; a step without spans has none",
        },
    ),
    "Red": _object(
        from_unix_nano=_DECIMAL,
        to_unix_nano=_DECIMAL,
        step_ns=_DECIMAL,
        series={**_list(_ref("RedSeries")), "description": "those with most spans first, a hundred at most"},
        counted=_COUNTED,
        complete={"type": "boolean"},
        reason=_or_null("string"),
    ),
    "Page": _object(
        traces=_list(_ref("TraceSummary")),
        complete={"type": "boolean"},
        reason=_or_null("string"),
        next=_or_null("string"),
    ),
    "Skeleton": _object(
        t0=_DECIMAL,
        services=_STRINGS,
        names=_STRINGS,
        span_id={"type": "string", "description": "one joined hex text, 16 digits a row"},
        parent={**_INTS, "description": "row; -1 root, -2 missing"},
        missing=_list({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}),
        start={**_INTS, "description": "ns from t0"},
        dur={**_INTS, "description": "ns"},
        self={
            **_INTS,
            "description": "ns in which no child ran, clocks aligned: one for each row that has children, in row order; of the others it is dur",
        },
        negative={
            **_list(_INTS),
            "description": "row and negative length in ns of spans that end before they begin; their dur is 0",
        },
        svc={**_INTS, "description": "index into services"},
        name={**_INTS, "description": "index into names"},
        kind={**_INTS, "description": "OTLP's numbers"},
        flags={
            **_INTS,
            "description": "bits: " + "; ".join(f"{flag.bit} {flag.meaning}" for flag in FLAGS),
            "x-bits": {flag.name: flag.bit for flag in FLAGS},
        },
        shifted={
            **_list(_INTS),
            "description": "row and ns by which the analysis moves spans whose host's clock is off; start is as it was sent",
        },
        critical={
            **_list(_INTS),
            "description": "the critical path of the first root in time order: row, from, to in ns from t0, with spans moved as in shifted",
        },
        total={"type": "integer"},
        etag={"type": "string"},
    ),
}

_SPAN_ID = {"type": "string", "description": "16 hex digits"}
_DECIMAL_OR_NULL = {"type": ["string", "null"], "pattern": "^-?[0-9]+$"}
_SHARE = {"type": "number", "description": "of the root's duration, 0 to 1"}
_SCHEMAS |= {
    "Failure": _object(
        span_id=_SPAN_ID,
        role={"enum": ["origin", "propagated", "handled", "abandoned"]},
        type={"type": "string", "description": "of the exception; empty where there is none, as is the message"},
        message={"type": "string"},
        service={"type": "string"},
        operation={"type": "string"},
    ),
    "PathSection": _or_without(
        _object(span_id=_SPAN_ID, start_unix_nano=_DECIMAL, end_unix_nano=_DECIMAL),
        sections={"type": "integer", "description": "where so many short sections are told as one: the span is that of the longest"},
    ),
    "Share": _object(
        owner={"type": "string", "description": "the service that answers for the time"},
        operation={"type": "string"},
        critical_ns=_DECIMAL,
        share=_SHARE,
        usual_ns={**_DECIMAL_OR_NULL, "description": "null: too few samples"},
        span_ids={**_STRINGS, "description": "up to 20, the longest first"},
    ),
    "Finding": _object(
        kind={"enum": list(get_args(FindingKind))},
        text={"type": "string"},
        share=_SHARE,
        numbers={"type": "object", "additionalProperties": {"type": "number"}},
        span_ids={**_STRINGS, "description": "the most telling first"},
        certainty={"enum": list(get_args(Certainty))},
    ),
    "UsualOperation": _object(
        service={"type": "string"},
        operation={"type": "string"},
        count={"type": "integer"},
        p50_ns=_DECIMAL_OR_NULL,
        p95_ns=_DECIMAL_OR_NULL,
    ),
    "LeftOut": _object(
        origin={"type": "integer", "description": "so many more spans began a failure"},
        failures={"type": "integer", "description": "so many more failures, those of `origin` too"},
        sections={"type": "integer", "description": "so many sections of the critical path are not told by themselves"},
        sections_ns=_DECIMAL,
    ),
    "Explanation": _or_without(_object(
        verdict={"enum": list(get_args(Word))},
        summary={"type": "string"},
        origin={**_STRINGS, "description": "span ids, the cause first; handled failures are not in it"},
        failures=_list(_ref("Failure")),
        critical_path={**_list(_ref("PathSection")), "description": "in time order; sections touch and sum to the root's duration"},
        path_uncertain={"type": "boolean", "description": "siblings overlapped: the path is one of several"},
        shares={**_list(_ref("Share")), "description": "of the critical path, largest first"},
        findings={**_list(_ref("Finding")), "description": "failures first, then by share"},
        usual=_list(_ref("UsualOperation")),
        root=_object(
            span_id=_SPAN_ID,
            service={"type": "string"},
            operation={"type": "string"},
            duration_ns=_DECIMAL,
            count={"type": "integer", "description": "samples of the operation"},
            percentile={"type": ["integer", "null"], "description": "percent of the samples that were shorter, null: too few"},
            p50_ns=_DECIMAL_OR_NULL,
            p95_ns=_DECIMAL_OR_NULL,
            percentiles_ns={**_list(_DECIMAL), "description": "the 1st to the 99th of the samples, empty: too few"},
        ),
        completeness=_object(
            missing_parents={"type": "integer"},
            roots={"type": "integer"},
            young={"type": "boolean", "description": "spans came less than 30 s ago"},
            notes=_STRINGS,
        ),
        clock_shifts=_list(_object(host={"type": "string"}, shift_ns=_DECIMAL)),
        etag={"type": "string"},
    ), left_out={**_ref("LeftOut"), "description": "only of a very large trace"}),
}  # fmt: skip

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "clew", "version": "1", "description": "Traces: search, read, and how the collector is doing."},
    "paths": {
        "/api/v1/status": {"get": {"summary": "Counters, limits and receivers", "responses": _answers(_ref("Status"))}},
        "/api/v1/flush": {
            "post": {
                "summary": "Return when all that was acknowledged before is visible in every answer",
                "parameters": [_query("timeout_s", "seconds, 0 to 300", type="number", default=10)],
                "responses": _answers(_object(flushed={"type": "boolean"})),
            }
        },
        "/api/v1/services": {"get": {"summary": "Names of all services", "responses": _answers(_object(services=_STRINGS))}},
        "/api/v1/operations": {
            "get": {
                "summary": "Operations of a service",
                "parameters": [_query("service", "whose", required=True)],
                "responses": _answers(_object(operations=_list(_object(name={"type": "string"}, kind={"type": "string"})))),
            }
        },
        "/api/v1/baseline": {
            "get": {
                "summary": "What is usual for an operation: the hour before and the same hour a day earlier; below 30 spans no percentiles",
                "parameters": [
                    _query("service", "whose", required=True),
                    _query("operation", "name of the span", required=True),
                    _query("kind", "of one kind of span only: server, client, …"),
                    _query("at", "the hour before this: now, now-1h, ISO time with zone, or ns since the epoch", default="now"),
                ],
                "responses": _answers(_ref("Baseline")),
            }
        },
        "/api/v1/dependencies": {
            "get": {
                "summary": "Which services call which, from the spans themselves",
                "parameters": [*_RANGE],
                "responses": _answers(_ref("Dependencies")),
            }
        },
        "/api/v1/decode": {
            "post": {
                "summary": "A file of OTLP, Jaeger JSON or Zipkin JSON as traces; nothing is kept",
                "requestBody": {"required": True, "content": {"application/octet-stream": {}}},
                "responses": _answers(
                    _object(
                        traces=_list(
                            _object(
                                trace_id={"type": "string"}, skeleton=_ref("Skeleton"), explanation=_ref("Explanation"), otlp=_OTLP
                            )
                        ),
                        left_out={"type": "integer", "description": "traces beyond the 20 with most spans"},
                        unread={"type": ["string", "null"], "description": "what of the file could not be read"},
                    ),
                    errors=(400, 413, 415, 503),
                ),
            }
        },
        "/api/v1/keys": {
            "get": {
                "summary": "Keys that a query may ask for: the language's, then attributes, most frequent first",
                "parameters": [*_POPULATION, *_completing(100)],
                "responses": _answers(_ref("QueryKeys")),
            }
        },
        "/api/v1/values": {
            "get": {
                "summary": "Values of a key, most frequent first",
                "parameters": [_query("key", "as a query writes it", required=True), *_POPULATION, *_completing(20)],
                "responses": _answers(_ref("KeyValues")),
            }
        },
        "/api/v1/red": {
            "get": {
                "summary": "Rate, failures and durations of calls over time",
                "parameters": [
                    *_POPULATION,
                    _query("by", "service, operation, kind, status, scope, or an attribute as a query writes it", default="service"),
                    _query("step", "as 60s; without it about 60 steps"),
                ],
                "responses": _answers(_ref("Red")),
            }
        },
        "/api/v1/tail": {
            "get": {
                "summary": "Live tail: traces that match, while they arrive, as server-sent events",
                "description": (
                    "Events: `open` (TailOpen, once), `trace` (TailTrace; again, with the same id, when more of it came), `gone`"
                    " (the id of a trace that does not match any more), `counts` (TailCounts, at most once a second), `end` (the server"
                    " stops). A comment every 10 s where nothing else is sent. `open`, `trace` and `gone` have ids: who asks the same again"
                    " within 20 s, with the last of them in the header Last-Event-ID, is sent what it has not."
                ),
                "parameters": [
                    {
                        "name": "Last-Event-ID",
                        "in": "header",
                        "description": "`id` of the last event that came on a connection that broke",
                        "schema": {"type": "string"},
                    },
                    _query("q", "a query in the query language, answered by what has arrived of a trace"),
                    _query("failed", "only traces with a span that failed", type="boolean", default=False),
                    _query(
                        "rate",
                        "traces a second that did not fail, 1 to 500; more are skipped and counted",
                        type="integer",
                        default=50,
                    ),
                ],
                "responses": _answers({"type": "string"}, media_type="text/event-stream"),
            }
        },
        "/api/v1/traces": {
            "get": {
                "summary": "Search: a page of traces",
                "parameters": [
                    _query("q", "a query in the query language (docs/reference/query.md), as in the search box"),
                    _query("from", "now-1h, ISO time with zone, or ns since the epoch"),
                    _query("to", "likewise, exclusive"),
                    _query("limit", "1 to 1,000", type="integer", default=50),
                    _query("cursor", "`next` of the page before"),
                    _query("sort", "newest, oldest, longest, shortest first, most spans first", enum=list(SORTS), default="-start"),
                    _query("service", "name of the service"),
                    _query("operation", "name of the span"),
                    _query("status", "error, ok or unset"),
                    _query("min_duration_ms", "of the trace", type="number"),
                    _query("max_duration_ms", "of the trace", type="number"),
                    _query("attr", "key:value, may be repeated", type="array", items={"type": "string"}),
                ],
                "responses": _answers(_ref("Page")),
            }
        },
        "/api/v1/traces/summary": {
            "get": {
                "summary": "All traces that match: totals, percentiles, heatmap, facets",
                "parameters": [
                    *_POPULATION,
                    _query("sel", "t0,t1,d0,d1 in ns: a box of the heatmap, whose traces facets count beside all"),
                ],
                "responses": _answers(_ref("Summary")),
            }
        },
        "/api/v1/traces/points": {
            "get": {
                "summary": "Up to 5,000 traces that match as points: when each starts, how long it is, whether it failed",
                "parameters": [*_POPULATION],
                "responses": _answers(_ref("Points")),
            }
        },
        "/api/v1/versions": {
            "get": {
                "summary": "Versions of services first seen in a time, of services that had another one before",
                "parameters": [*_RANGE],
                "responses": _answers(_ref("Versions")),
            }
        },
        "/api/v1/traces/answers": {
            "post": {
                "summary": "Of up to 50 traces: where each failed, and its critical path by service",
                "requestBody": {"required": True, "content": {"application/json": {"schema": _TRACES_AND_COLUMNS}}},
                "responses": _answers(_object(answers=_list(_ref("TraceAnswer")))),
            }
        },
        "/api/v1/traces/{trace_id}": {
            "get": {
                "summary": "The whole trace as OTLP JSON, or as protobuf with Accept: application/x-protobuf",
                "parameters": [_TRACE_ID],
                "responses": _answers(_OTLP, errors=(400, 404, 500, 503)),
            }
        },
        "/api/v1/traces/{trace_id}/skeleton": {
            "get": {"summary": "The tree as columns", "parameters": [_TRACE_ID], "responses": _answers(_ref("Skeleton"), errors=(400, 404, 500, 503))}
        },
        "/api/v1/traces/{trace_id}/explain": {
            "get": {
                "summary": "The verdict: where it failed, what made it slow, what could not be seen",
                "parameters": [_TRACE_ID],
                "responses": _answers(_ref("Explanation"), errors=(400, 404, 500, 503)),
            }
        },
        "/api/v1/traces/{trace_id}/find": {
            "get": {
                "summary": "Spans of the trace with a text in attributes, events, links, status, resource or scope; the first 10,000",
                "parameters": [_TRACE_ID, _query("q", "the text, up to 200 characters; upper and lower case are the same")],
                "responses": _answers(_ref("FoundSpans"), errors=(400, 404, 500, 503)),
            }
        },
        "/api/v1/traces/{trace_id}/values": {
            "get": {
                "summary": "Spans of the trace by the value they have for an attribute, their own or their resource's; the 50 most frequent",
                "parameters": [_TRACE_ID, _query("key", "the attribute, up to 200 characters", required=True)],
                "responses": _answers(_ref("SpanValues"), errors=(400, 404, 500, 503)),
            }
        },
        "/api/v1/traces/{trace_id}/spans": {
            "post": {
                "summary": "Up to 100 spans of the trace, whole, as OTLP JSON",
                "parameters": [_TRACE_ID],
                "requestBody": {"required": True, "content": {"application/json": {"schema": _object(span_ids=_STRINGS)}}},
                "responses": _answers(_OTLP, errors=(400, 404, 500, 503)),
            }
        },
    },
    "components": {"schemas": _SCHEMAS},
}  # fmt: skip

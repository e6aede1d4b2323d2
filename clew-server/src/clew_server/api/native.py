"""`/api/v1`: clew's own dialect, as docs/reference/api.md describes it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Match, Route

from clew_server.api.briefs import NO_ANSWER, brief_as_json, cut
from clew_server.api.explain import Explanation, explanation
from clew_server.api.forms import accepts_gzip, gzipped, preferred
from clew_server.api.http import parameters
from clew_server.api.leaving import both_of, while_asked
from clew_server.api.openapi import DOCUMENT
from clew_server.api.similar import or_similar
from clew_server.api.skeleton import joined, packed_skeleton, skeleton_from_trace
from clew_server.api.summaries import AS_SENT, points_as_json, red_as_json, summary_as_json, versions_as_json
from clew_server.errors import BadInput, NotFound
from clew_server.model.completion import ValuesAsked
from clew_server.model.lengths import length_ns
from clew_server.model.otlp_read import otlp_json_pieces, otlp_pieces
from clew_server.model.query_tree import SpanTerm
from clew_server.model.red import MOST_POINTS, RedAsked, usual_step_ns
from clew_server.model.search import KIND_WORDS, Search
from clew_server.model.summary import Box
from clew_server.model.times import bad_parameter, range_from_texts, time_from_text
from clew_server.model.trace import Trace
from clew_server.model.usual import Operation, Usual
from clew_server.query.find import find
from clew_server.query.language.keys import from_text as key_from_text
from clew_server.query.language.parameters import limit_from_text, search_from_parameters
from clew_server.query.service import QueryService, Skipped, trace_id_from_text
from clew_server.query.values import groups
from clew_server.status import Status
from clew_server.store.contract import TraceSummary

_JSON, _PROTOBUF = "application/json", "application/x-protobuf"
_LARGEST_NS = (1 << 63) - 1
_SHORTEST_STEP_NS = 1_000_000_000
_MAX_BODY_BYTES = 64 * 1024
_MAX_ANSWERS = 50
_MAX_COLUMNS = 10
_LONGEST_KEY = 200
_BASELINE_PARAMETERS = frozenset(("service", "operation", "kind", "at"))
_RANGE_PARAMETERS = frozenset(("from", "to"))
_POPULATION = ("q", "from", "to")
_POPULATION_PARAMETERS = frozenset(_POPULATION)
_KEYS_PARAMETERS = frozenset((*_POPULATION, "prefix", "limit"))
_VALUES_PARAMETERS = frozenset((*_POPULATION, "key", "prefix", "limit"))
_SUMMARY_PARAMETERS = frozenset((*_POPULATION, "sel"))
_RED_PARAMETERS = frozenset((*_POPULATION, "by", "step"))
_HOUR_NS = 3_600_000_000_000
_DEFAULT_KEYS, _DEFAULT_VALUES = 100, 20
_SEARCH_PARAMETERS = frozenset(
    (
        "q",
        "from",
        "to",
        "limit",
        "cursor",
        "sort",
        "service",
        "operation",
        "status",
        "min_duration_ms",
        "max_duration_ms",
        "attr",
    )
)


class NativeApi:
    """Routes of the native API.

    `status` gives what `/status` answers; `flush(timeout_s)` raises Unavailable when the time is over; `clock_ns` is now.
    """

    def __init__(
        self,
        query: QueryService,
        *,
        status: Callable[[], Awaitable[Status]],
        flush: Callable[[float], Awaitable[None]],
        clock_ns: Callable[[], int],
    ) -> None:
        self._query = query
        self._status = status
        self._flush = flush
        self._clock_ns = clock_ns

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/status", self.status),
            Route("/api/v1/flush", self.flush, methods=["POST"]),
            Route("/api/v1/services", self.services),
            Route("/api/v1/operations", self.operations),
            Route("/api/v1/baseline", self.baseline),
            Route("/api/v1/dependencies", self.dependencies),
            Route("/api/v1/keys", self.keys),
            Route("/api/v1/values", self.key_values),
            Route("/api/v1/red", self.red),
            Route("/api/v1/traces", self.traces),
            Route("/api/v1/versions", self.versions),
            Route("/api/v1/traces/summary", self.summary),
            Route("/api/v1/traces/points", self.points),
            Route("/api/v1/traces/answers", self.answers, methods=["POST"]),
            Route("/api/v1/traces/{trace_id}", self.trace),
            Route("/api/v1/traces/{trace_id}/skeleton", self.skeleton),
            Route("/api/v1/traces/{trace_id}/explain", self.explain),
            Route("/api/v1/traces/{trace_id}/find", self.find),
            Route("/api/v1/traces/{trace_id}/values", self.values),
            Route("/api/v1/traces/{trace_id}/spans", self.spans, methods=["POST"]),
            Route("/api/v1/openapi.json", self.openapi),
            Route("/api/v1/{path:path}", self.nothing, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ]

    async def status(self, request: Request) -> Response:
        return JSONResponse((await self._status()).as_json(), headers={"Cache-Control": "no-store"})

    async def flush(self, request: Request) -> Response:
        text = _once(request, "timeout_s") or "10"
        try:
            timeout_s = float(text)
        except ValueError:
            timeout_s = -1.0
        if not 0 <= timeout_s <= 300:
            raise BadInput(f"timeout_s {text!r}: wants seconds from 0 to 300", code="bad_parameter")
        await self._flush(timeout_s)
        return JSONResponse({"flushed": True})

    async def services(self, request: Request) -> Response:
        names = await self._query.services()
        return JSONResponse({"services": names.found}, headers=_incomplete(names.missing))

    async def operations(self, request: Request) -> Response:
        service = _once(request, "service")
        if service is None:
            raise BadInput("say whose operations: ?service=NAME", code="missing_parameter")
        names = await self._query.operations(service)
        found = [{"name": name, "kind": kind} for name, kind in names.found]
        return JSONResponse({"operations": found}, headers=_incomplete(names.missing))

    async def baseline(self, request: Request) -> Response:
        _refuse_unknown(request, _BASELINE_PARAMETERS, "a baseline")
        service, operation, kind = (_once(request, name) for name in ("service", "operation", "kind"))
        if service is None or operation is None:
            raise BadInput("say of what: ?service=NAME&operation=NAME", code="missing_parameter")
        if kind is not None and kind not in KIND_WORDS:
            raise BadInput(f"kind={kind[:60]!r}: wants one of {', '.join(KIND_WORDS)}.", code="bad_parameter")
        at_unix_nano = time_from_text("at", _once(request, "at") or "now", self._clock_ns())
        kind_number = None if kind is None else KIND_WORDS.index(kind)
        usual, missing = await self._query.baseline(Operation(service, operation), kind_number, at_unix_nano)
        return JSONResponse(
            {
                "count": usual.count,
                "failed": usual.failed,
                "p50_ns": _text(usual.p50_ns),
                "p95_ns": _text(usual.p95_ns),
                "p99_ns": _text(usual.p99_ns),
                "from": str(usual.from_unix_nano),
                "to": str(usual.to_unix_nano),
                **AS_SENT,
            },
            headers={"Cache-Control": "no-store", **_incomplete(missing)},
        )

    async def dependencies(self, request: Request) -> Response:
        _refuse_unknown(request, _RANGE_PARAMETERS, "the dependencies")
        from_ns, to_ns = self._range(request)
        found, reason = await while_asked(request, self._query.dependencies(from_ns, to_ns))
        return JSONResponse(
            {"dependencies": [asdict(one) for one in found], "complete": reason is None, "reason": reason},
            headers={"Cache-Control": "no-store"},
        )

    async def traces(self, request: Request) -> Response:
        _refuse_unknown(request, _SEARCH_PARAMETERS, "a search")
        given = {name: _once(request, name) for name in _SEARCH_PARAMETERS if name != "attr"}
        cursor, now_unix_nano = _going_on(given["cursor"], self._clock_ns())
        search = search_from_parameters(
            q=given["q"],
            service=given["service"],
            operation=given["operation"],
            status=given["status"],
            min_duration_ms=given["min_duration_ms"],
            max_duration_ms=given["max_duration_ms"],
            attr=parameters(request).getlist("attr"),
            from_=given["from"],
            to=given["to"],
            limit=given["limit"],
            cursor=cursor,
            sort=given["sort"],
            now_unix_nano=now_unix_nano,
        )
        page = await while_asked(request, self._query.search(search))
        return JSONResponse(
            {
                "traces": [_summary(trace) for trace in page.traces],
                "complete": page.complete,
                "reason": page.reason,
                "next": None if page.next is None else f"{page.next}.{now_unix_nano}",
            },
            headers={"Cache-Control": "no-store"},
        )

    async def keys(self, request: Request) -> Response:
        _refuse_unknown(request, _KEYS_PARAMETERS, "the keys")
        prefix, limit = _once(request, "prefix") or "", limit_from_text(_once(request, "limit"), _DEFAULT_KEYS)
        found = await while_asked(request, self._query.keys(self._population(request), prefix[:_LONGEST_KEY], limit))
        listed = [{"key": one.key, "type": one.type, "count": one.spans} for one in found.found]
        return JSONResponse(
            {"keys": listed, **AS_SENT, "complete": found.complete, "reason": found.reason},
            headers={"Cache-Control": "no-store"},
        )

    async def key_values(self, request: Request) -> Response:
        _refuse_unknown(request, _VALUES_PARAMETERS, "the values")
        text = _once(request, "key") or ""
        if not 0 < len(text) <= 2 * _LONGEST_KEY:
            raise BadInput("say of what: ?key=KEY, as a query writes it", code="missing_parameter")
        key = key_from_text(text)
        asked = ValuesAsked(
            place=key.place,
            key=key.name,
            exact=key.exact,
            prefix=(_once(request, "prefix") or "")[:_LONGEST_KEY],
            limit=limit_from_text(_once(request, "limit"), _DEFAULT_VALUES),
        )
        found = await while_asked(request, self._query.key_values(self._population(request), asked))
        listed = [{"value": one.value, "count": one.spans} for one in found.found]
        return JSONResponse(
            {"values": listed, **AS_SENT, "complete": found.complete, "reason": found.reason},
            headers={"Cache-Control": "no-store"},
        )

    async def summary(self, request: Request) -> Response:
        _refuse_unknown(request, _SUMMARY_PARAMETERS, "a summary")
        sel = _once(request, "sel")
        box = _box(sel) if sel else None
        search = self._population(request)
        both = both_of(self._query.summary(search, box), self._query.findings(self._until_now(search)))
        found, findings = await while_asked(request, both)
        excluded = None
        if not found.totals.matched:
            excluded = await while_asked(request, self._query.excluded(search, _once(request, "q") or ""))
        answer = summary_as_json(found, findings, excluded, is_selected=box is not None)
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    async def points(self, request: Request) -> Response:
        _refuse_unknown(request, _POPULATION_PARAMETERS, "points")
        found = await while_asked(request, self._query.points(self._population(request)))
        return JSONResponse(points_as_json(found), headers={"Cache-Control": "no-store"})

    async def versions(self, request: Request) -> Response:
        _refuse_unknown(request, _RANGE_PARAMETERS, "versions")
        found = await while_asked(request, self._query.versions(*self._range(request)))
        return JSONResponse(versions_as_json(found), headers={"Cache-Control": "no-store"})

    async def red(self, request: Request) -> Response:
        _refuse_unknown(request, _RED_PARAMETERS, "rates")
        search = self._until_now(self._population(request))
        if search.from_unix_nano is None:
            search = replace(search, from_unix_nano=max(0, (search.to_unix_nano or 0) - _HOUR_NS))
        range_ns = (search.to_unix_nano or 0) - (search.from_unix_nano or 0)
        asked = RedAsked(search, _by(_once(request, "by") or "service"), _step(_once(request, "step"), range_ns))
        return JSONResponse(
            red_as_json(await while_asked(request, self._query.red(asked))), headers={"Cache-Control": "no-store"}
        )

    def _range(self, request: Request) -> tuple[int, int]:
        """`from` and `to` in nanoseconds: all there is, where they are not given."""
        now = self._clock_ns()
        from_ns, to_ns = range_from_texts(_once(request, "from"), _once(request, "to"), now)
        return from_ns or 0, now if to_ns is None else to_ns

    def _until_now(self, search: Search) -> Search:
        return search if search.to_unix_nano is not None else replace(search, to_unix_nano=self._clock_ns())

    def _population(self, request: Request) -> Search:
        """The traces that `q`, `from` and `to` mean."""
        return search_from_parameters(
            q=_once(request, "q"), from_=_once(request, "from"), to=_once(request, "to"), now_unix_nano=self._clock_ns()
        )

    async def trace(self, request: Request) -> Response:
        is_protobuf = preferred(request.headers.get("accept", ""), (_JSON, _PROTOBUF)) == _PROTOBUF
        form = otlp_pieces if is_protobuf else otlp_json_pieces
        zips = accepts_gzip(request.headers.get("accept-encoding", ""))
        headers = {"Vary": "Accept"}
        if zips:
            headers = {"Vary": "Accept, Accept-Encoding", "Content-Encoding": "gzip"}

        def pieces(trace: Trace) -> Iterator[bytes]:
            made = form(trace.stored)
            return gzipped(made) if zips else made

        trace_id = request.path_params["trace_id"]
        found = await or_similar(self._query, trace_id, self._query.pieces(trace_id, pieces))
        headers.update(_incomplete(found.incomplete))
        kind = _PROTOBUF if is_protobuf else _JSON
        if request.method == "HEAD":
            empty = Response(headers=headers, media_type=kind)
            del empty.headers["Content-Length"]
            return empty
        return StreamingResponse(found.pieces, headers=headers, media_type=kind)

    async def skeleton(self, request: Request) -> Response:
        zips = accepts_gzip(request.headers.get("accept-encoding", ""))
        form = packed_skeleton if zips else skeleton_from_trace
        trace_id = request.path_params["trace_id"]
        skeleton = await or_similar(self._query, trace_id, self._query.kept_view(trace_id, form))
        answer = _unless_known(request, skeleton.json, skeleton.etag, skeleton.incomplete)
        if zips:
            answer.headers["Vary"] = "Accept-Encoding"
            if answer.status_code == 200:
                answer.headers["Content-Encoding"] = "gzip"
        return answer

    async def explain(self, request: Request) -> Response:
        def view(trace: Trace, usual: Usual) -> Explanation:
            return explanation(trace, usual, self._clock_ns())

        trace_id = request.path_params["trace_id"]
        explained = await or_similar(self._query, trace_id, self._query.explain(trace_id, view))
        return _unless_known(request, explained.json, explained.etag, explained.incomplete)

    async def find(self, request: Request) -> Response:
        text = _once(request, "q") or ""

        def view(trace: Trace) -> dict[str, Any]:
            found = find(trace, text)
            return {"span_ids": [trace.span_ids[row].hex() for row in found.rows], "complete": found.is_complete}

        found = await self._query.trace(request.path_params["trace_id"], view)
        return JSONResponse(found, headers={"Cache-Control": "no-store"})

    async def values(self, request: Request) -> Response:
        key = _once(request, "key") or ""
        if not 0 < len(key) <= _LONGEST_KEY:
            raise BadInput(f"key: wants the name of an attribute, 1 to {_LONGEST_KEY} characters", code="bad_parameter")

        def view(trace: Trace) -> dict[str, Any]:
            found = groups(trace, key)
            return {
                "values": [
                    {"value": cut(one.value), "span_ids": joined(trace.span_ids[row] for row in one.rows)}
                    for one in found.most
                ],
                "other": found.other,
                "without": found.without,
            }

        found = await self._query.trace(request.path_params["trace_id"], view)
        return JSONResponse(found, headers={"Cache-Control": "no-store"})

    async def spans(self, request: Request) -> Response:
        span_ids = await _span_ids(request)
        answer = await self._query.spans(request.path_params["trace_id"], span_ids)
        return Response(answer.body, media_type="application/json", headers=_incomplete(answer.incomplete))

    async def answers(self, request: Request) -> Response:
        """Where each trace failed and where its time went. Stops when the client has gone away."""
        answers: list[dict[str, Any]] = []
        trace_ids, columns = await _traces_and_columns(request)
        view = partial(brief_as_json, columns=columns)
        for trace_id in trace_ids:
            if await request.is_disconnected():
                break
            answer = await self._query.brief(trace_id, view)
            answers.append(
                {"trace_id": trace_id, **NO_ANSWER, "skipped": answer.reason}
                if isinstance(answer, Skipped)
                else {"trace_id": trace_id, **answer}
            )
        return JSONResponse({"answers": answers}, headers={"Cache-Control": "no-store"})

    async def nothing(self, request: Request) -> Response:
        """Asked for what is not there: another path, or another method of one that is (the UI's route would take it for a page)."""
        for route in self.routes()[:-1]:
            if route.matches(request.scope)[0] is Match.PARTIAL:
                raise HTTPException(405, headers={"Allow": ", ".join(sorted(route.methods or ()))})
        raise NotFound(f"there is nothing at {request.url.path}")

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(DOCUMENT)


def _going_on(cursor: str | None, now_unix_nano: int) -> tuple[str | None, int]:
    """The store's cursor, and when the first page was asked for: `now-1h` means the same time on all pages. Raises BadInput."""
    if not cursor:
        return None, now_unix_nano
    of_store, dot, first_unix_nano = cursor.rpartition(".")
    if not dot or not re.fullmatch(r"[0-9]{1,19}", first_unix_nano):
        raise BadInput("cursor: not one that an earlier answer gave as `next`.", code="bad_cursor")
    return of_store, min(int(first_unix_nano), now_unix_nano)


def _once(request: Request, name: str) -> str | None:
    """The parameter's value, None without one. Raises BadInput where it came twice: which one is meant?"""
    values = parameters(request).getlist(name)
    if len(values) > 1:
        raise BadInput(f"{name} came {len(values)} times and can be given once", code="repeated_parameter")
    return values[0] if values else None


def _refuse_unknown(request: Request, known: frozenset[str], what: str) -> None:
    """Raise BadInput where a parameter is not one of `known`."""
    unknown = sorted(set(parameters(request)) - known)
    if unknown:
        raise BadInput(f"{unknown[0][:80]!r} is not a parameter of {what}", code="unknown_parameter")


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _unless_known(request: Request, body: bytes, etag: str, incomplete: str | None) -> Response:
    """The JSON with its etag; 304 where the asker has it already."""
    quoted = f'"{etag}"'
    headers = {"ETag": quoted, "Cache-Control": "no-cache", **_incomplete(incomplete)}
    if quoted in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _incomplete(reason: str | None) -> dict[str, str]:
    """The header that says what is missing of a trace, since OTLP's forms have no place for it."""
    return {} if reason is None else {"Clew-Incomplete": reason.encode("ascii", "replace").decode()}


def _summary(trace: TraceSummary) -> dict[str, Any]:
    return {
        "trace_id": trace.trace_id,
        "start_unix_nano": str(trace.start_unix_nano),
        "duration_ns": str(trace.duration_ns),
        "spans": trace.spans,
        "errors": trace.errors,
        "root_service": trace.root_service,
        "root_name": trace.root_name,
        "has_root": trace.has_root,
        "services": list(trace.services),
    }


def _by(text: str) -> SpanTerm | str:
    """What rates are told apart by. Raises BadInput."""
    if text in ("service", "operation", "name"):
        return "operation" if text == "name" else text
    key = key_from_text(text, "by")
    if key.place not in ("attr", "of_span", "of_resource", "kind", "status", "scope"):
        wants = "by: wants service, operation, kind, status, scope, or an attribute of spans or resources"
        raise BadInput(wants, code="bad_parameter")
    return SpanTerm(key.place, "exists", key=key.name, exact=key.exact)


def _step(text: str | None, range_ns: int) -> int:
    """The length of a step. Raises BadInput."""
    if not text:
        return usual_step_ns(range_ns)
    step_ns = length_ns(text)
    if not step_ns or step_ns < _SHORTEST_STEP_NS or step_ns * MOST_POINTS < range_ns:
        wants = f"wants a length of 1s or more, as 60s, and at most {MOST_POINTS:,} steps"
        raise bad_parameter("step", text, wants)
    return step_ns


def _box(text: str) -> Box:
    """The box that `sel` means. Raises BadInput."""
    parts = text.split(",")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) <= 19 for part in parts):
        raise BadInput("sel: wants t0,t1,d0,d1 in ns: t0 ≤ start < t1 and d0 ≤ duration < d1", code="bad_parameter")
    return Box(*(min(int(part), _LARGEST_NS) for part in parts))


async def _span_ids(request: Request) -> list[bytes]:
    wants = 'wants a JSON body {"span_ids": ["00f067aa0ba902b7", …]}'
    span_ids = _texts(await _body(request, wants), "span_ids", wants)
    try:
        parsed = [bytes.fromhex(span_id) for span_id in span_ids]
    except ValueError:
        raise BadInput(wants, code="bad_body") from None
    if any(len(span_id) != 8 for span_id in parsed):
        raise BadInput("a span id has 16 hex digits", code="bad_id")
    return parsed


async def _traces_and_columns(request: Request) -> tuple[list[str], list[str]]:
    """Ids of traces in lower-case hex and keys of attributes, each once."""
    wants = 'wants a JSON body {"trace_ids": ["4bf92f3577b34da6a3ce929d0e0e4736", …], "columns": ["http.route", …]}, without columns too'
    body = await _body(request, wants)
    trace_ids = _texts(body, "trace_ids", wants)
    columns = _texts(body, "columns", wants) if "columns" in body else []
    if len(trace_ids) > _MAX_ANSWERS:
        raise BadInput(f"At most {_MAX_ANSWERS} traces at once, not {len(trace_ids)}.", code="too_many")
    if len(columns) > _MAX_COLUMNS:
        raise BadInput(f"At most {_MAX_COLUMNS} columns at once, not {len(columns)}.", code="too_many")
    ids = dict.fromkeys(trace_id_from_text(trace_id).hex() for trace_id in trace_ids)
    return list(ids), list(dict.fromkeys(columns))


async def _body(request: Request, wants: str) -> dict[str, Any]:
    """The JSON object that came. Raises BadInput, code `bad_body`, which says what it `wants`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise BadInput(f"the body is longer than {_MAX_BODY_BYTES >> 10} KiB", code="bad_body")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput(wants, code="bad_body") from None
    if not isinstance(fields, dict):
        raise BadInput(wants, code="bad_body")
    return fields


def _texts(body: dict[str, Any], name: str, wants: str) -> list[str]:
    """The list of texts that is `name` in a JSON body. Raises BadInput as `_body`."""
    texts = body.get(name)
    if not isinstance(texts, list) or not all(isinstance(one, str) and _is_text(one) for one in texts):
        raise BadInput(wants, code="bad_body")
    return texts


def _is_text(text: str) -> bool:
    """JSON can escape lone surrogates, which UTF-8 cannot encode."""
    return not any("\ud800" <= character <= "\udfff" for character in text)

"""Tools for assistants: each asks the server about traces and returns a short text with evidence instead of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from clew_server.cli._client import Client, quoted_id
from clew_server.cli._text import clean, named, time_text
from clew_server.cli.show import waterfall
from clew_server.model.columns import FAILED
from clew_server.model.words import count_text, counted, duration_text, percent_text, shortened

MOST_TRACES: Final = 50
_MOST_ROWS, _MOST_SPANS, _MOST_SHARES, _MOST_FINDINGS, _MOST_NAMES = 40, 5, 5, 10, 200
_WIDTH: Final = 120
_VALUE_LENGTH: Final = 400
_STACK_LENGTH: Final = 2_000


class Tools:
    """The tools, over one server. Each raises CommandFailed with a sentence."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def search(self, conditions: str = "", start: str = "now-1h", end: str = "", limit: int = 10) -> str:
        """Traces that match, newest first: id, start, duration, failed spans, root."""
        given = [("q", conditions), ("from", start), ("to", end), ("limit", str(max(1, min(limit, MOST_TRACES))))]
        page = self._client.get("/api/v1/traces", [(name, value) for name, value in given if value], wants="traces")
        found = [_trace_line(trace) for trace in page["traces"]]
        if not found:
            found = [f"No trace matches{f' {conditions}' if conditions else ''}{f' since {start}' if start else ''}."]
        if page["next"] is not None:
            found.append("There are more: narrow the conditions or the time.")
        if not page["complete"]:
            found.append(f"Not everything is here: {page['reason']}")
        return "\n".join(found)

    def explain(self, trace_id: str) -> str:
        """The verdict with its findings, the largest shares of the time, and what could not be seen."""
        answer = self._client.get(f"/api/v1/traces/{quoted_id(trace_id)}/explain", wants="verdict")
        return "\n".join(_explained(answer))

    def trace(self, trace_id: str, span_ids: Sequence[str] = ()) -> str:
        """The tree with equal siblings together; with span ids, what these spans say."""
        path = f"/api/v1/traces/{quoted_id(trace_id)}"
        if span_ids:
            asked = {"span_ids": list(span_ids)[:_MOST_SPANS]}
            found = self._client.post(f"{path}/spans", asked, wants="resourceSpans")
            lines = [line for resource, span in _spans(found) for line in _span(resource, span)]
            if len(span_ids) > _MOST_SPANS:
                lines.append(f"At most {_MOST_SPANS} spans at once.")
            return "\n".join(lines) or "The trace has none of these spans."
        skeleton = self._client.get(f"{path}/skeleton", wants="span_id")
        lines = waterfall(skeleton, width=_WIDTH, max_rows=_MOST_ROWS, colour=False)
        return "\n".join([*lines, *_failed_ids(skeleton)])

    def services(self, service: str = "") -> str:
        """Names of all services; of one service, its operations."""
        if service:
            names = self._client.get("/api/v1/operations", [("service", service)], wants="operations")["operations"]
            found = [f"{named(one['name'], 'name')} ({one['kind']})" for one in names]
        else:
            found = [
                named(name, "service") for name in self._client.get("/api/v1/services", wants="services")["services"]
            ]
        left = len(found) - _MOST_NAMES
        if left > 0:
            found = [*found[:_MOST_NAMES], f"… {count_text(left)} more"]
        return "\n".join(found) or ("No operation of that service is known." if service else "No service is known yet.")


def _trace_line(trace: dict[str, Any]) -> str:
    failed = f"{counted(trace['errors'], 'failed span')}" if trace["errors"] else "ok"
    root = f"{named(trace['root_service'], 'service')} · {named(trace['root_name'], 'name')}" + (
        "" if trace["has_root"] else " (root not received)"
    )
    started = time_text(int(trace["start_unix_nano"]))
    return f"{trace['trace_id']}  {started} UTC  {duration_text(int(trace['duration_ns']))}  {failed}  {root}"


def _explained(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['verdict']}: {_cut(answer['summary'], _STACK_LENGTH)}"
    findings = answer["findings"]
    if findings:
        yield "findings (share of the root's time, certainty, first span):"
    for finding in findings[:_MOST_FINDINGS]:
        yield (
            f"- {finding['kind']}, {percent_text(finding['share'])}, {finding['certainty']}, {finding['span_ids'][0]}: "
            f"{_cut(finding['text'], _STACK_LENGTH)}"
        )
    if len(findings) > _MOST_FINDINGS:
        yield f"- {count_text(len(findings) - _MOST_FINDINGS)} more"
    yield "time on the critical path:"
    for share in answer["shares"][:_MOST_SHARES]:
        usual = "" if share["usual_ns"] is None else f", usually {duration_text(int(share['usual_ns']))}"
        label = clean(f"{shortened(share['owner'])} · {shortened(share['operation'])}")
        yield f"- {percent_text(share['share'])} {duration_text(int(share['critical_ns']))} {label}{usual}"
    notes = answer["completeness"]["notes"]
    if notes:
        yield "not seen:"
    for note in notes:
        yield f"- {_cut(note, _VALUE_LENGTH)}"


def _failed_ids(skeleton: dict[str, Any]) -> Iterator[str]:
    """Ids of failed spans, to ask for them."""
    rows = [row for row, flag in enumerate(skeleton["flags"]) if flag & FAILED][:_MOST_SPANS]
    for row in rows:
        name = clean(shortened(skeleton["names"][skeleton["name"][row]]))
        yield f"failed span {skeleton['span_id'][row * 16 : row * 16 + 16]}: {name}"


def _spans(found: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for resource_spans in found["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                yield resource_spans.get("resource", {}), span


def _span(resource: dict[str, Any], span: dict[str, Any]) -> Iterator[str]:
    took_ns = max(0, int(span.get("endTimeUnixNano", 0)) - int(span.get("startTimeUnixNano", 0)))
    yield f"span {span['spanId']}: {_cut(span.get('name', ''), _VALUE_LENGTH)}, {duration_text(took_ns)}"
    status = span.get("status", {})
    if status.get("code"):
        yield f"  status {'error' if status['code'] == 2 else 'ok'} {_cut(status.get('message', ''), _VALUE_LENGTH)}".rstrip()
    yield from _attributes(span, "  ")
    for event in span.get("events", ()):
        yield f"  event {clean(event.get('name', ''))}"
        yield from _attributes(event, "    ")
    yield "  resource"
    yield from _attributes(resource, "    ")


def _attributes(holder: dict[str, Any], indent: str) -> Iterator[str]:
    for attribute in holder.get("attributes", ()):
        [value] = attribute.get("value", {}).values() or [""]
        length = _STACK_LENGTH if attribute["key"] == "exception.stacktrace" else _VALUE_LENGTH
        yield f"{indent}{clean(attribute['key'])} = {_cut(str(value), length)}"


def _cut(text: str, length: int) -> str:
    """Of a long text its beginning and its end: the most useful parts of a stack trace. Lines are kept."""
    text = "\n".join(clean(line) for line in text.splitlines())
    if len(text) <= length:
        return text
    half = length // 2
    return f"{text[:half]} … {count_text(len(text) - 2 * half)} characters left out … {text[-half:]}"

"""The query text (`q`) and the plain parameters of a search, read into a Search. Pure: now is an argument."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, cast

from clew_server.errors import BadInput
from clew_server.model.lengths import MAX_NS, UNITS_NS
from clew_server.model.search import (
    KIND_WORDS,
    STATUS_WORDS,
    Compare,
    Search,
    SpanCondition,
    TraceCondition,
)

MAX_LIMIT: Final = 1_000
DEFAULT_LIMIT: Final = 50
_MAX_CHARACTERS: Final = 4_096
_MAX_CONDITIONS: Final = 32

_SUPPORTED: Final = (
    "A query is conditions separated by spaces: KEY=VALUE or KEY!=VALUE for service, name, kind, status, event, event.KEY, link.trace"
    ' or an attribute, and dur or trace.duration with = > >= < <=, as in: service=cart status=error dur>500ms http.route="/pay"'
)
_AGO_NS: Final = UNITS_NS | {"d": 86_400_000_000_000}
_LENGTH: Final = re.compile(r"(\d{1,19}(?:\.\d{1,9})?)(ns|us|µs|μs|ms|s|m|h)")
_RELATIVE: Final = re.compile(r"now(?:-(\d{1,9})(s|m|h|d))?")
_FRACTION: Final = re.compile(r"([0-9W-]{8,10}\D[0-9]{2}:?[0-9]{2}:?[0-9]{2})[.,]([0-9]+)")
_TRACE_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
_KEY: Final = re.compile(r'[^\s"=<>!~()]+')
_OPERATOR: Final = re.compile(r"[=<>!~]+")
_BARE_VALUE: Final = re.compile(r'[^\s"()]+')
_COMPARES: Final = ("=", ">", ">=", "<", "<=")
_EQUALITIES: Final = ("=", "!=")


def search_from_parameters(
    *,
    q: str | None = None,
    service: str | None = None,
    operation: str | None = None,
    status: str | None = None,
    min_duration_ms: str | None = None,
    max_duration_ms: str | None = None,
    attr: Sequence[str] = (),
    from_: str | None = None,
    to: str | None = None,
    limit: str | int | None = None,
    cursor: str | None = None,
    now_unix_nano: int,
) -> Search:
    """The search that `q` and the plain parameters mean together; an absent or empty one asks nothing.

    Raises BadInput: code `bad_query` with the position in `q`, or `bad_parameter` with the parameter's name in its message.
    """
    parsed = parse_query(q or "")
    span, trace = list(parsed.span), list(parsed.trace)
    if service:
        span.append(SpanCondition("service", "=", service))
    if operation:
        span.append(SpanCondition("name", "=", operation))
    if status:
        if status.lower() not in STATUS_WORDS:
            raise _bad("status", status, f"wants one of {', '.join(STATUS_WORDS)}")
        span.append(SpanCondition("status", "=", status.lower()))
    for pair in attr:
        key, colon, value = pair.partition(":")
        if not colon or not key:
            raise _bad("attr", pair, "wants KEY:VALUE; the key ends at the first colon")
        span.append(SpanCondition("attr", "=", value, key))
    if min_duration_ms:
        trace.append(TraceCondition("duration", ">=", _milliseconds("min_duration_ms", min_duration_ms)))
    if max_duration_ms:
        trace.append(TraceCondition("duration", "<=", _milliseconds("max_duration_ms", max_duration_ms)))
    return Search(
        span=tuple(span),
        trace=tuple(trace),
        from_unix_nano=time_from_text("from", from_, now_unix_nano) if from_ else None,
        to_unix_nano=time_from_text("to", to, now_unix_nano) if to else None,
        limit=_limit(limit),
        cursor=cursor or None,
    )


def parse_query(q: str) -> Search:
    """The conditions of a query text. Raises BadInput with the position (in characters) of what is not understood."""
    if len(q) > _MAX_CHARACTERS:
        raise _bad_query(f"The query is longer than {_MAX_CHARACTERS} characters.", _MAX_CHARACTERS)
    span: list[SpanCondition] = []
    trace: list[TraceCondition] = []
    at = 0
    while True:
        while at < len(q) and q[at].isspace():
            at += 1
        if at == len(q):
            return Search(span=tuple(span), trace=tuple(trace))
        if len(span) + len(trace) == _MAX_CONDITIONS:
            raise _bad_query(f"More than {_MAX_CONDITIONS} conditions.", at)
        start = at
        key, quoted, at = _key(q, at)
        operator = _OPERATOR.match(q, at)
        if operator is None:
            raise _bad_query(f"A condition is missing after {key!r}. {_SUPPORTED}.", start)
        value_at = operator.end()
        value, at = _value(q, value_at)
        if at < len(q) and not q[at].isspace():
            raise _bad_query(
                "A blank is missing between two conditions; quote a value that has special characters.", at
            )
        op = operator.group()
        comparable = key in ("dur", "trace.duration") and not quoted
        if op not in (_COMPARES if comparable else _EQUALITIES):
            raise _bad_query(f"{op} is not supported after {key!r}. {_SUPPORTED}.", operator.start())
        compare = cast(Compare, op)
        if comparable:
            if key == "dur":
                span.append(SpanCondition("dur", compare, _length_ns(value, value_at)))
            else:
                trace.append(TraceCondition("duration", compare, _length_ns(value, value_at)))
        else:
            span.append(replace(_equality(key, quoted, value, value_at), op=compare))


def _key(q: str, at: int) -> tuple[str, bool, int]:
    if q[at] == '"':
        key, end = _quoted(q, at)
        return key, True, end
    bare = _KEY.match(q, at)
    if bare is None:
        raise _bad_query(f"{q[at]!r} is not understood here. {_SUPPORTED}.", at)
    return bare.group(), False, bare.end()


def _value(q: str, at: int) -> tuple[str, int]:
    if at < len(q) and q[at] == '"':
        return _quoted(q, at)
    bare = _BARE_VALUE.match(q, at)
    if bare is None:
        raise _bad_query('A value is missing; "" is the empty one.', at)
    return bare.group(), bare.end()


def _quoted(q: str, start: int) -> tuple[str, int]:
    r"""The text in quotes that begin at `start`, and the place after them. \" \\ \n \t are escapes."""
    out: list[str] = []
    at = start + 1
    while at < len(q):
        character = q[at]
        if character == '"':
            return "".join(out), at + 1
        if character == "\\":
            at += 1
            escaped = q[at : at + 1]
            if escaped not in ('"', "\\", "n", "t"):
                raise _bad_query(r"Only \" \\ \n and \t are escapes.", at - 1)
            character = {"n": "\n", "t": "\t"}.get(escaped, escaped)
        out.append(character)
        at += 1
    raise _bad_query("The quotes are never closed.", start)


def _equality(key: str, quoted: bool, value: str, value_at: int) -> SpanCondition:
    if quoted:
        return SpanCondition("attr", "=", value, key)
    if key == "service":
        return SpanCondition("service", "=", value)
    if key in ("name", "operation"):
        return SpanCondition("name", "=", value)
    if key == "kind":
        if value.lower() not in KIND_WORDS:
            raise _bad_query(f"{value!r} is not a kind of span; they are {', '.join(KIND_WORDS)}.", value_at)
        return SpanCondition("kind", "=", value.lower())
    if key == "status":
        if value.lower() not in STATUS_WORDS:
            raise _bad_query(f"{value!r} is not a status; they are {', '.join(STATUS_WORDS)}.", value_at)
        return SpanCondition("status", "=", value.lower())
    if key == "event":
        return SpanCondition("event", "=", value)
    if key == "link.trace":
        if _TRACE_ID.fullmatch(value) is None:
            raise _bad_query(f"{value!r} is not a trace id: it has 32 hex digits.", value_at)
        return SpanCondition("link_trace", "=", value.lower())
    if key.startswith("event.") and key != "event.":
        return SpanCondition("event", "=", value, key.removeprefix("event."))
    return SpanCondition("attr", "=", value, key)


def _length_ns(text: str, at: int) -> int:
    parsed = _LENGTH.fullmatch(text)
    if parsed is None:
        raise _bad_query(f"{text!r} is not a length of time: a number with ns, us, ms, s, m or h, as in 500ms.", at)
    return min(int(Decimal(parsed.group(1)) * UNITS_NS[parsed.group(2)]), MAX_NS)


def _milliseconds(name: str, text: str) -> int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise _bad(name, text, "wants a number of milliseconds")
    return int(min(value, Decimal(MAX_NS // 1_000_000)) * 1_000_000)


def time_from_text(name: str, text: str, now_unix_nano: int) -> int:
    """Nanoseconds since 1970 of `now`, `now-15m`, an ISO time with its zone, or digits; `name` is the parameter's.

    Raises BadInput, code `bad_parameter`.
    """
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        number, unit = relative.groups()
        return max(0, now_unix_nano - (int(number) * _AGO_NS[unit] if number else 0))
    if text.isascii() and text.isdigit():
        return min(int(text[:20]), MAX_NS)
    # A "+" of a zone that was not escaped in a URL arrives as a blank.
    whole = re.sub(r" (\d\d:?\d\d)$", r"+\1", text)
    fraction = _FRACTION.match(whole)  # of the second; datetime would cut it to microseconds
    if fraction is not None:
        whole = fraction.group(1) + whole[fraction.end() :]
    try:
        moment = datetime.fromisoformat(whole)
        if moment.tzinfo is None:
            raise ValueError
        since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        wants = "wants now-15m, a time with its zone as in 2026-11-23T12:04:00Z, or ns since 1970"
        raise _bad(name, text, wants) from None
    fraction_ns = int(fraction.group(2)[:9].ljust(9, "0")) if fraction is not None else 0
    return max(0, (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000 + fraction_ns)


def _limit(given: str | int | None) -> int:
    if given is None or given == "":
        return DEFAULT_LIMIT
    text = str(given)
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_LIMIT):
        raise _bad("limit", text, f"wants a number from 1 to {MAX_LIMIT}")
    return int(text)


def _bad_query(message: str, position: int) -> BadInput:
    return BadInput(message, code="bad_query", position=position)


def _bad(name: str, value: str, wants: str) -> BadInput:
    shown = value if len(value) <= 60 else value[:60] + "…"
    return BadInput(f"{name}={shown!r}: {wants}.", code="bad_parameter")

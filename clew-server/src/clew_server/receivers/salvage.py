"""Parses a request; where the parser refuses it, what it takes of it piece by piece. No I/O."""

from __future__ import annotations

from collections import Counter
from typing import Any

from google.protobuf.message import DecodeError

from clew.otlp.encode import delimited
from clew_server.errors import TooLarge
from clew_server.model.otlp_raw import RawResourceSpans, RawScopeSpans, parse_raw
from clew_server.receivers.contract import MAX_REQUEST_SPANS
from clew_server.receivers.memory import check_memory
from clew_server.receivers.signals import Signal


def parsed(body: bytes, rejected: Counter[str], signal: Signal) -> tuple[Any, DecodeError | None]:
    """The request, and what the parser said where it took only some of the spans or log records.

    One that it refuses alone is left out and counted, and so is what hangs on a resource or scope that it refuses. Raises
    BadInput where nothing can be read, TooLarge, MemoryError.
    """
    try:
        return signal.request.FromString(body), None
    except DecodeError as error:
        check_memory(error)
        return _Salvage(signal).request(body, rejected), error


class _Salvage:
    """Requests of all signals are nested alike, so their bytes are cut by the one schema of `model.otlp_raw`."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal

    def request(self, body: bytes, rejected: Counter[str]) -> Any:
        raw = parse_raw(body)
        total = sum(len(scope.spans) for resource in raw.resource_spans for scope in resource.scope_spans)
        if total > MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} {self._signal.one}s in one request")
        message = self._signal.request()
        for resource in raw.resource_spans:
            self._merge_good_scopes(message, resource)
        rejected[self._signal.malformed] += total - self._signal.count(message)
        return message

    def _merge_good_scopes(self, message: Any, resource: RawResourceSpans) -> None:
        head = _field(1, resource.resource) + _field(3, resource.schema_url)
        if not self._parses(_field(1, head)):
            return
        scopes = b"".join(
            _field(2, self._good_items(scope)) for scope in resource.scope_spans if self._parses(_scope_alone(scope))
        )
        # Every part parsed at the depth it has here, so the whole does too.
        message.MergeFromString(_field(1, head + scopes))

    def _good_items(self, scope: RawScopeSpans) -> bytes:
        items = b"".join(_field(2, item) for item in scope.spans if self._parses(_field(1, _field(2, _field(2, item)))))
        return _field(1, scope.scope) + items + _field(3, scope.schema_url)

    def _parses(self, request: bytes) -> bool:
        try:
            self._signal.request.FromString(request)
        except DecodeError as error:
            check_memory(error)
            return False
        return True


def _scope_alone(scope: RawScopeSpans) -> bytes:
    return _field(1, _field(2, _field(1, scope.scope) + _field(3, scope.schema_url)))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field; nothing at all for empty content."""
    return delimited(number, content) if content else b""

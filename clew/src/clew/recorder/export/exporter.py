"""One attempt to hand a batch over: OTLP/HTTP with the standard library, or lines on the console."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from time import time
from typing import Any, Final, Literal, Protocol, TextIO
from urllib.parse import SplitResult, urlsplit, urlunsplit

from clew.otlp import decode
from clew.otlp import fields as f
from clew.recorder.export.connection import Deadline, basic_authorization, open_connection, proxy_for

# protocols: the only statuses after which OTLP/HTTP clients may try again.
_RETRYABLE: Final = frozenset((429, 502, 503, 504))
_MAX_RESPONSE_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    `delivered`: done; of its spans the receiver refused `rejected`. `again`: may be tried again, not before
    `retry_after_s` where that is given. `refused`: never to be tried again. `reason` is a word to count
    spans under when they are given up, `detail` a sentence for the log.
    """

    verdict: Literal["delivered", "again", "refused"]
    rejected: int = 0
    retry_after_s: float | None = None
    reason: str = ""
    detail: str = ""


class Exporter(Protocol):
    """Takes serialized ExportTraceServiceRequests, one at a time, from one thread."""

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        """One attempt that takes `timeout_s` at most. Raises nothing it can name in an Outcome."""

    def forget(self) -> None:
        """Called in a forked child: leave connections to the parent."""

    def close(self) -> None:
        """No further export comes."""


class OtlpHttpExporter:
    """POSTs protobuf to one address over a connection that is kept open."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        compression: str = "none",
        certificate_file: str | None = None,
        client_certificate_file: str | None = None,
        client_key_file: str | None = None,
    ) -> None:
        """`url` is the whole address, `https` for TLS; `compression` is `none` or `gzip`. Files are PEM:
        `certificate_file` holds the authorities to trust, `client_certificate_file` what this client shows, and
        `client_key_file` its private key, unless that is in the same file; a key with a password is not read.

        A user and password in the address are sent as Basic authorization. A proxy is taken from the environment.
        Raises ValueError for an address that is none, OSError for an unreadable file.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{_shown(parts)!r} is not an http:// or https:// address")
        if compression not in ("none", "gzip", ""):
            raise ValueError(f"compression is none or gzip, not {compression!r}")
        if client_key_file and not client_certificate_file:
            raise ValueError("a client's key is of no use without its certificate")
        #: The address without user and password.
        self.url = _shown(parts)
        self._parts = parts
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls: Any = None
        if parts.scheme == "https":
            import ssl

            self._tls = ssl.create_default_context(cafile=certificate_file)
            if client_certificate_file:
                # Without the function OpenSSL would ask for a password at the terminal.
                self._tls.load_cert_chain(client_certificate_file, client_key_file, password=lambda: b"")
        # What sending needs is imported here: if a process forks while another thread imports, its child has half a
        # module for ever.
        codecs.lookup("idna")
        self._gzip = compression == "gzip"
        if self._gzip:
            import gzip  # noqa: F401
        self._headers = {"Content-Type": "application/x-protobuf", "User-Agent": "clew-otlp-exporter"}
        if (authorization := basic_authorization(parts)) is not None:
            self._headers["Authorization"] = authorization
        self._headers.update(headers or {})
        if self._gzip:
            self._headers["Content-Encoding"] = "gzip"
        self._proxy = proxy_for(parts)
        if self._proxy is not None and self._tls is None:
            self._target = self.url
            if self._proxy.authorization is not None:
                self._headers["Proxy-Authorization"] = self._proxy.authorization
        self._deadline = Deadline()
        self._connection: HTTPConnection | None = None

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        """Send one request and read its answer, within `timeout_s` altogether."""
        if self._gzip:
            import gzip

            # Level 6 costs more CPU than making the spans.
            request = gzip.compress(request, compresslevel=1, mtime=0)
        self._deadline.set(timeout_s)
        kept_open = self._connection is not None
        try:
            try:
                return self._attempt(request)
            except (ConnectionError, HTTPException):
                # The server may have closed an idle connection; try once more with a new one.
                if not kept_open:
                    raise
                return self._attempt(request)
        except (OSError, HTTPException, ValueError) as error:
            return Outcome("again", reason="unreachable", detail=f"{self.url}: {error or type(error).__name__}")

    def _attempt(self, request: bytes) -> Outcome:
        deadline = self._deadline
        connection = self._connection
        if connection is None:
            connection = self._connection = open_connection(self._parts, self._tls, self._proxy, deadline)
        try:
            if connection.sock is None:
                connection.connect()
                if connection is not self._connection:
                    # A greenlet of gevent that was connecting when the process forked, and was copied with it.
                    raise OSError("the connection belongs to the parent process")
            connection.sock.settimeout(deadline.left_s())
            connection.request("POST", self._target, body=request, headers=self._headers)
            response = connection.getresponse()
            body = response.read(_MAX_RESPONSE_BYTES)
            if response.length and len(body) < _MAX_RESPONSE_BYTES:
                # Cut off, which `read` does not say: how many spans were rejected stood in what is lost.
                raise IncompleteRead(body, response.length)
        except BaseException:
            connection.close()
            if self._connection is connection:
                self._connection = None
            raise
        if not response.isclosed():
            # The body is longer than any OTLP response: close the connection instead of reading the rest.
            self.close()
        return self._judge(response, body)

    def _judge(self, response: HTTPResponse, body: bytes) -> Outcome:
        status = response.status
        if 200 <= status < 300:
            rejected, message = 0, ""
            if response.headers.get_content_type() == "application/x-protobuf":
                try:
                    rejected, message = decode.rejection(body)
                except ValueError:
                    # The spans were accepted; what else the answer says is lost.
                    message = "an answer that is no OTLP message"
            return Outcome("delivered", rejected=rejected, detail=message)
        detail = f"{self.url} answered {status} {response.reason}: {_message(response, body)}".rstrip(": ")
        if status in _RETRYABLE:
            after = retry_after_s(response.headers.get("Retry-After"), time())
            return Outcome("again", retry_after_s=after, reason=f"http_{status}", detail=detail)
        return Outcome("refused", reason=f"http_{status}", detail=detail)

    def forget(self) -> None:
        """Leave the connection to the parent process: this one's copy is closed without sending anything to the server.

        A greenlet of gevent comes along when the process forks, and must find nothing to read or write on.
        """
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            descriptor = connection.sock.detach()
            if descriptor >= 0:
                os.close(descriptor)

    def close(self) -> None:
        """Close the connection; the next export opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _shown(parts: SplitResult) -> str:
    """The address without user and password."""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, parts.query, ""))


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Seconds to wait by a Retry-After header, seconds or an HTTP date; `None` if it says nothing usable."""
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def _message(response: HTTPResponse, body: bytes) -> str:
    if response.headers.get_content_type() == "application/x-protobuf":
        try:
            for message in decode.messages(body, f.RPC_STATUS_MESSAGE):
                return message.decode("utf-8", "replace")
        except ValueError:
            return ""
    return body[:200].decode("utf-8", "replace")


class ConsoleExporter:
    """Prints one line of JSON a span; for looking at, not for machines."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        """Print the spans of one request."""
        stream = self._stream or sys.stdout
        for resource_spans in decode.messages(request, f.REQUEST_RESOURCE_SPANS):
            for scope_spans in decode.messages(resource_spans, f.RESOURCE_SPANS_SCOPE_SPANS):
                for span in decode.messages(scope_spans, f.SCOPE_SPANS_SPANS):
                    print(json.dumps(_printable(span), default=str, ensure_ascii=False), file=stream)
        stream.flush()
        return Outcome("delivered")

    def forget(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to close."""


_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES: Final = ("unset", "ok", "error")


def _printable(span: bytes) -> dict[str, Any]:
    values = dict(decode.fields(span))
    status = dict(decode.fields(_raw(values.get(f.SPAN_STATUS))))
    start_ns, end_ns = _number(values.get(f.SPAN_START)), _number(values.get(f.SPAN_END))
    return {
        "name": _raw(values.get(f.SPAN_NAME)).decode(),
        "kind": _KINDS[_number(values.get(f.SPAN_KIND))],
        "trace_id": _raw(values.get(f.SPAN_TRACE_ID)).hex(),
        "span_id": _raw(values.get(f.SPAN_SPAN_ID)).hex(),
        "parent_span_id": _raw(values.get(f.SPAN_PARENT_SPAN_ID)).hex(),
        "start_unix_nano": start_ns,
        "duration_ms": (end_ns - start_ns) / 1e6,
        "status": _STATUSES[_number(status.get(f.STATUS_CODE))],
        "message": _raw(status.get(f.STATUS_MESSAGE)).decode(),
        "attributes": decode.attributes(span, f.SPAN_ATTRIBUTES),
        "events": [_printable_event(event) for event in decode.messages(span, f.SPAN_EVENTS)],
    }


def _printable_event(event: bytes) -> dict[str, Any]:
    name = b"".join(decode.messages(event, f.EVENT_NAME)).decode()
    return {"name": name, "attributes": decode.attributes(event, f.EVENT_ATTRIBUTES)}


def _raw(value: int | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _number(value: int | bytes | None) -> int:
    return value if isinstance(value, int) else 0

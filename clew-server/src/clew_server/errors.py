"""Exceptions by which every room refuses a request. Imports no other room; each protocol maps them to its own status."""

from __future__ import annotations

from collections.abc import Sequence


class BadInput(ValueError):
    """The sender's bytes cannot be accepted, now or later: never retry. HTTP 400, gRPC INVALID_ARGUMENT. `similar` as in NotFound."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "bad_input",
        position: int | None = None,
        similar: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.similar = similar
        self.position = position


class TooLarge(BadInput):
    """Over the size a request may have: never retry. HTTP 413, gRPC RESOURCE_EXHAUSTED without RetryInfo."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="too_large")


class Unsupported(BadInput):
    """Well-formed, but this server does not do it. HTTP 415 for a media type, 400 for a query."""


class Unavailable(Exception):
    """Not now: the sender should retry after `retry_after_s` seconds. HTTP 503 + Retry-After, gRPC UNAVAILABLE + RetryInfo."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotFound(LookupError):
    """Asked for something that is not there. HTTP 404. `similar`: ids of traces that were probably meant, and why each."""

    def __init__(self, message: str, *, similar: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.similar = similar


class Damaged(Exception):
    """What was asked for is known here, but its bytes cannot be read, or are gone. HTTP 500, code `damaged`."""

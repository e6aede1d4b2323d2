"""Remote sampling as Jaeger's clients ask for it: `GET /sampling` and `/api/sampling`, and the gRPC method.

The strategies come from a file in Jaeger's own format, which is read again when it changes, and from the traffic where a target is set;
without either every trace is recorded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from clew_server.errors import BadInput
from clew_server.receivers.jaeger.adaptive import AdaptiveRates
from clew_server.receivers.jaeger.strategies import Strategies, Strategy, strategies_from
from clew_server.receivers.wire import fields

_log = logging.getLogger(__name__)

PATHS: Final = ("/sampling", "/api/sampling")
BAGGAGE_PATH: Final = "/baggageRestrictions"
GET_STRATEGY: Final = "/jaeger.api_v2.SamplingManager/GetSamplingStrategy"
MAX_FILE_BYTES: Final = 16 << 20
_LOOK_EVERY_S: Final = 1.0

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Sampling:
    """The strategies in force, and both forms in which they are asked for. Asked in the event loop only."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        rates: AdaptiveRates | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the file. Raises ValueError, with a sentence, where it cannot be used. `rates` answer for services that it does not
        name."""
        self._path = path
        self._rates = rates
        self._clock_s = clock_s
        self._stamp = self._stamp_of_file()
        self._looked_s = clock_s()
        self._strategies = _read(path) if path is not None else Strategies()

    def strategies(self) -> Strategies:
        """What the file says now; what it said before, where it cannot be used any more."""
        now_s = self._clock_s()
        if self._path is not None and now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            stamp = self._stamp_of_file()
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._strategies = _read(self._path)
                except ValueError as error:
                    _log.warning("sampling strategies stay as they were: %s", error)
                else:
                    _log.info("sampling strategies were read from %s again", self._path)
        return self._strategies

    def strategy(self, service: str) -> Strategy:
        """What this service is told now."""
        strategies = self.strategies()
        return strategies.of(service) if self._rates is None else self._rates.of(service, strategies)

    def _stamp_of_file(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def get_strategy(self, request: bytes) -> bytes:
        """The gRPC method: `SamplingStrategyParameters` to `SamplingStrategyResponse`. Raises BadInput."""
        names = [request[f.content : f.end] for f in fields(request, 0, len(request)) if f.number == 1]
        if not names or not names[-1]:
            raise BadInput("serviceName is missing", code="malformed")
        return self.strategy(names[-1].decode("utf-8", "replace")).as_protobuf()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """The ASGI app of ports 5778 and 14268."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path not in (*PATHS, BAGGAGE_PATH):
            await _answer(send, 404, "text/plain", b"clew answers Jaeger's clients here: GET /sampling?service=NAME")
        elif scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, "text/plain", b"use GET")
        else:
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
            services = query.get("service", [])
            if len(services) != 1 or not services[0]:
                await _answer(send, 400, "text/plain", b"the parameter 'service' must be there once")
            elif path == BAGGAGE_PATH:
                await _answer(send, 200, "application/json", b"[]")
            else:
                await _answer(send, 200, "application/json", self.strategy(services[0]).as_json())


def _read(path: Path) -> Strategies:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
        return strategies_from(content.decode())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


async def _answer(send: _Send, status: int, media: str, body: bytes) -> None:
    headers = [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode())]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""A made-up shop as OTLP requests, the same for every run with the same seed: what `ingest`, `query` and `idle` send.

12 services in 48 instances, 16 spans a trace over six of the services; a request is what one instance exports in one
batch, so the spans of a trace arrive in six requests, mixed with those of other traces. About 390 bytes a span.
Spans are joined from encoded pieces, so that making them costs little beside storing them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from clew.otlp.encode import delimited as _field
from clew.otlp.encode import varint as _varint

SPANS_A_TRACE = 16
SERVICES = (
    "frontend",
    "checkout",
    "cart",
    "payment",
    "shipping",
    "catalogue",
    "pricing",
    "users",
    "search",
    "reviews",
    "stock",
    "mail",
)
INSTANCES = 4
OPERATIONS = 56  # of each service
USERS = 20_000
_SERVER, _CLIENT = 2, 3
_UNSET, _ERROR = 0, 2


def _attribute(number: int, key: str, value: str | int) -> bytes:
    typed = _field(1, value.encode()) if isinstance(value, str) else b"\x18" + _varint(value)
    return _field(number, _field(1, key.encode()) + _field(2, typed))


def resource_bytes(service: str, instance: int) -> bytes:
    """The encoded `Resource` of one instance."""
    values: dict[str, str | int] = {
        "service.name": service,
        "service.version": f"2.{instance}.1",
        "service.instance.id": f"{service}-{instance:02}-7d9fb6c5d4",
        "host.name": f"node-{instance:02}.shop.example",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.2",
    }
    return b"".join(_attribute(1, key, value) for key, value in values.items())


@dataclass(frozen=True, slots=True)
class _Shape:
    """What repeats of a span: its name and kind, and its attributes around the two that are new each time."""

    head: bytes
    attributes: bytes


def _shapes(chance: random.Random) -> dict[str, list[_Shape]]:
    made: dict[str, list[_Shape]] = {}
    for service in SERVICES:
        made[service] = []
        for number in range(OPERATIONS):
            path = f"/api/{service}/{('items', 'orders', 'lists', 'prices')[number % 4]}/{number // 4}/{{id}}"
            kind = _SERVER if number % 2 == 0 else _CLIENT
            method = ("GET", "GET", "POST", "PUT")[number % 4]
            name = f"{method} {path}"
            code = chance.choice((200, 200, 200, 201, 204, 404))
            attributes = b"".join(
                (
                    _attribute(9, "http.request.method", method),
                    _attribute(9, "http.route", path),
                    _attribute(9, "http.response.status_code", code),
                    _attribute(9, "server.address", f"{service}.shop.internal"),
                    _attribute(9, "server.port", 8080 + number % 3),
                    _attribute(9, "network.peer.address", f"10.4.{number}.17"),
                )
            )
            made[service].append(_Shape(_field(5, name.encode()) + b"\x30" + bytes((kind,)), attributes))
    return made


@dataclass(frozen=True, slots=True)
class Known:
    """One sent trace, to ask for."""

    trace_id: bytes
    start_unix_nano: int
    service: str
    request_id: str


@dataclass(slots=True)
class Requests:
    """Encoded requests, and what is known of them."""

    bodies: list[bytes]
    spans: int
    known: list[Known]

    @property
    def wire_bytes(self) -> int:
        return sum(len(body) for body in self.bodies)


def make_requests(
    spans: int, *, first_start_unix_nano: int, last_start_unix_nano: int, spans_a_request: int = 512, seed: int = 7
) -> Requests:
    """`spans` spans (rounded down to whole traces), traces starting evenly between the two instants."""
    chance = random.Random(seed)
    shapes = _shapes(chance)
    scope = _field(1, _field(1, b"opentelemetry.instrumentation.shop") + _field(2, b"0.66b2"))
    heads = {
        (service, instance): _field(1, resource_bytes(service, instance))
        for service in SERVICES
        for instance in range(INSTANCES)
    }
    waiting: dict[tuple[str, int], list[bytes]] = {key: [] for key in heads}
    bodies: list[bytes] = []
    known: list[Known] = []

    def close(key: tuple[str, int]) -> None:
        bodies.append(_field(1, heads[key] + _field(2, scope + b"".join(waiting[key]))))
        waiting[key].clear()

    traces = spans // SPANS_A_TRACE
    step = (last_start_unix_nano - first_start_unix_nano) / max(traces, 1)
    pack = struct.Struct("<Q").pack
    for number in range(traces):
        trace_id = chance.randbytes(15) + b"\x01"
        ids = chance.randbytes(8 * SPANS_A_TRACE)
        user = f"user-{chance.randrange(USERS):05}"
        request_id = chance.randbytes(12).hex()
        constant = _attribute(9, "enduser.id", user) + _attribute(9, "shop.request.id", request_id)
        services = chance.sample(SERVICES, 6)
        instance = chance.randrange(INSTANCES)
        start = int(first_start_unix_nano + number * step)
        duration = int(chance.lognormvariate(17.5, 1.0))  # median 40 ms, now and then seconds
        failed_at = chance.randrange(SPANS_A_TRACE) if chance.random() < 0.05 else -1
        if number % max(traces // 2000, 1) == 0:
            known.append(Known(trace_id, start, services[0], request_id))
        for at in range(SPANS_A_TRACE):
            service = services[at % 6]
            shape = shapes[service][chance.randrange(OPERATIONS)]
            parent = b"" if at == 0 else b"\x22\x08" + ids[(at - 1) // 2 * 8 : (at - 1) // 2 * 8 + 8]
            begin = start + duration * at // 40
            end = start + duration if at == 0 else begin + duration * (SPANS_A_TRACE - at) // 40
            span = b"".join(
                (
                    b"\x0a\x10",
                    trace_id,
                    b"\x12\x08",
                    ids[at * 8 : at * 8 + 8],
                    parent,
                    shape.head,
                    b"\x39",
                    pack(begin),
                    b"\x41",
                    pack(end),
                    shape.attributes,
                    constant,
                    b"\x7a\x0f\x12\x0bcard denied\x18\x02" if at == failed_at else b"",
                    b"\x85\x01\x00\x01\x00\x00",
                )
            )
            key = (service, instance)
            waiting[key].append(b"\x12" + _varint(len(span)) + span)
            if len(waiting[key]) == spans_a_request:
                close(key)
    for key in heads:
        if waiting[key]:
            close(key)
    return Requests(bodies, traces * SPANS_A_TRACE, known)


def spread(made: Requests, parts: int) -> Iterator[list[bytes]]:
    """The bodies dealt to `parts` senders."""
    for part in range(parts):
        yield made.bodies[part::parts]
